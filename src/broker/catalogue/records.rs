//! The store under the catalogue, for whoever in this room keeps something durably: a table each, records of bytes.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use super::{Catalogue, DELETED_TOPICS, META, damaged, put};
use crate::broker::error::BrokerError;
use crate::storage::{KvOp, StorageError};
use crate::wire::Uuid;

const NEXT_PRODUCER_ID: &[u8] = b"next.producer.id";

/// Producer ids taken from the store at a time; those of a block not used up are lost at the next start.
const PRODUCER_ID_BLOCK: i64 = 1000;

impl Catalogue {
    /// All records of a table in the order of their keys, which must be text; an unknown table is empty. Blocks on the
    /// disk.
    pub(in crate::broker) fn records(
        &self,
        table: &'static str,
    ) -> Result<Vec<(String, Vec<u8>)>, BrokerError> {
        let text = |key| String::from_utf8(key).map_err(|_| damaged(table, "a key is not text"));
        self.store.scan(table)?.into_iter().map(|(key, value)| Ok((text(key)?, value))).collect()
    }

    /// All changes or none; durable on return. After an error it is not known whether they are there. Blocks on the disk.
    pub(in crate::broker) fn change_records(&self, ops: Vec<KvOp>) -> Result<(), StorageError> {
        let _change = self.change();
        self.commit(ops)
    }

    /// A block of producer ids that nobody has had or will have, whatever happens. Blocks on the disk.
    pub fn take_producer_ids(&self) -> Result<Range<i64>, BrokerError> {
        let _change = self.change();
        let first = match self.store.get(META, NEXT_PRODUCER_ID)? {
            None => 0,
            Some(bytes) => i64::from_be_bytes(
                bytes.try_into().map_err(|_| damaged("next producer id", "it is no number"))?,
            ),
        };
        let end = first
            .checked_add(PRODUCER_ID_BLOCK)
            .ok_or_else(|| damaged("next producer id", "there are none left"))?;
        self.commit(vec![put(META, NEXT_PRODUCER_ID, end.to_be_bytes().to_vec())])?;
        Ok(first..end)
    }

    pub(super) fn commit(&self, mut changes: Vec<KvOp>) -> Result<(), StorageError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut unrecorded = self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner);
        changes.extend(unrecorded.iter().cloned());
        let mut removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner);
        let note = |id: &Uuid| KvOp::Delete { table: DELETED_TOPICS, key: id.to_string().into_bytes() };
        changes.extend(removed.iter().map(note));
        self.store.commit(changes)?;
        self.changes.fetch_add(1, Ordering::Relaxed);
        removed.clear();
        if !unrecorded.is_empty() {
            unrecorded.clear();
            self.read_only.store(false, Ordering::Release);
            tracing::info!("the catalogue can be written again: records are taken");
        }
        Ok(())
    }

    /// True from a start on a disk that takes no writes until it takes them: nothing may be appended.
    pub fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Acquire)
    }

    /// [`Catalogue::is_read_only`] for who appends by himself.
    pub(in crate::broker) fn read_only(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.read_only)
    }

    /// Looks whether the disk takes writes again. Blocks on it.
    pub(in crate::broker) fn try_to_write(&self) {
        let _change = self.change();
        let unrecorded = self.unrecorded.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // The start has said what is wrong.
        let _ = self.commit(unrecorded);
    }
}

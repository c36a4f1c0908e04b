//! Keeps a partition of the offsets topic short. Every commit is a record, so the log grows although what is live does not.
//! Kafka compacts; here, when most of a log is out of date, what is live and old is appended again at its end, and when that is
//! on the disk the log's start moves up to where this began.
//!
//! Safe at every moment: until the start has moved the old records are there, and the new ones only repeat them; what changes
//! meanwhile is appended after and wins. Groups are taken one at a time, so that nobody waits for long.

use super::group::Now;
use super::record::GroupRecord;
use super::shard::{Common, Shard};
use super::store::{Trim, read_record};
use crate::storage::StorageError;
use crate::wire::Str;
use std::sync::Arc;

/// Starts a rewrite in the background if this shard's log wants one.
pub(super) fn start(common: &Common, shard: &Arc<Shard>, now: Now) {
    let Some(trim) = shard.begin_rewrite(common) else { return };
    let shard = Arc::clone(shard);
    tokio::spawn(async move {
        // What is to be copied must be readable, that is: committed.
        if let Err(error) = trim.log.flush().await {
            tracing::warn!(log = trim.log.name(), %error, "offsets log not shortened");
            return;
        }
        let worker = Arc::clone(&shard);
        let carried = tokio::task::spawn_blocking(move || {
            let done = carry_over(&worker, &trim, now);
            (trim, done)
        });
        let Ok((trim, carried)) = carried.await else { return };
        let result = match carried {
            Ok(()) => trim.finish().await,
            Err(error) => Err(error),
        };
        if let Err(error) = &result {
            tracing::warn!(log = trim.log.name(), %error, "offsets log not shortened");
        }
        shard.lock().journal.end_rewrite(&trim, result.is_ok());
    });
}

/// Appends again all that is live and stands before the new start. Blocks on the disk.
pub(super) fn carry_over(shard: &Shard, trim: &Trim, now: Now) -> Result<(), StorageError> {
    let ids: Vec<Str> = shard.lock().groups.keys().cloned().collect();
    for id in &ids {
        carry_group(shard, trim, id, now)?;
        carry_offsets(shard, trim, id, now)?;
    }
    Ok(())
}

/// A group's record is copied as it is: in the middle of a rebalance, memory is ahead of what a restart should find.
fn carry_group(shard: &Shard, trim: &Trim, id: &Str, now: Now) -> Result<(), StorageError> {
    loop {
        let at = shard.lock().groups.get(id).and_then(|entry| entry.group_record);
        let Some(at) = at.filter(|at| *at < trim.start) else { return Ok(()) };
        let record = read_record(&trim.log, at)?;
        let mut inner = shard.lock();
        let inner = &mut *inner;
        let Some(entry) = inner.groups.get_mut(id) else { return Ok(()) };
        // Written anew meanwhile: then that one counts.
        if entry.group_record == Some(at) {
            let written = inner.journal.append(std::slice::from_ref(&record), now.unix)?;
            entry.group_record = Some(written.base_offset);
            return Ok(());
        }
    }
}

fn carry_offsets(shard: &Shard, trim: &Trim, id: &Str, now: Now) -> Result<(), StorageError> {
    let mut inner = shard.lock();
    let inner = &mut *inner;
    let Some(entry) = inner.groups.get_mut(id) else { return Ok(()) };
    let old = entry.offsets.iter().filter(|(_, _, committed)| committed.record_offset < trim.start);
    let records: Vec<GroupRecord> = old
        .map(|(topic, partition, committed)| GroupRecord::offset_commit(id, topic, partition, committed))
        .collect();
    if records.is_empty() {
        return Ok(());
    }
    let written = inner.journal.append(&records, now.unix)?;
    let old = entry.offsets.iter_mut().filter(|(_, _, committed)| committed.record_offset < trim.start);
    for ((_, _, committed), record_offset) in old.zip(written.base_offset..) {
        committed.record_offset = record_offset;
    }
    Ok(())
}

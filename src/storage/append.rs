//! What goes into a log: record batches as they came, and what comes back.

use bytes::{BufMut, Bytes, BytesMut};

use super::progress::Ticket;
use super::{LogConfig, StorageError};
use crate::wire::record::{BATCH_OVERHEAD, BatchHeader, set_base_offset, set_leader_epoch};

/// Batches up to this size are copied: cheaper than keeping them in two pieces, and a small batch must not hold on
/// to the large buffer it came in.
const COPY_UP_TO: usize = 4096;

/// One record batch (format 2) as it came, cut after its header so that the header can be patched without touching
/// or copying the records. Whoever makes it has checked the CRC.
#[derive(Debug, Clone)]
pub struct AppendBatch {
    pub header: [u8; BATCH_OVERHEAD],
    /// What follows the header. Kept in memory for a while: no slice of something much larger, please.
    pub body: Bytes,
}

impl AppendBatch {
    /// `batch` is one whole batch.
    pub fn new(mut batch: Bytes) -> Result<Self, StorageError> {
        let header = batch
            .first_chunk()
            .copied()
            .ok_or(StorageError::InvalidBatch("it is shorter than its header"))?;
        let body = batch.split_off(BATCH_OVERHEAD);
        Ok(AppendBatch { header, body })
    }

    fn len(&self) -> usize {
        BATCH_OVERHEAD + self.body.len()
    }
}

/// Batches appended in one step: all of them or none. Mostly one, which costs no allocation.
#[derive(Debug, Clone)]
pub struct AppendBatches {
    first: AppendBatch,
    rest: Vec<AppendBatch>,
}

impl From<AppendBatch> for AppendBatches {
    fn from(first: AppendBatch) -> Self {
        AppendBatches { first, rest: Vec::new() }
    }
}

impl AppendBatches {
    pub fn one(header: [u8; BATCH_OVERHEAD], body: Bytes) -> Self {
        AppendBatch { header, body }.into()
    }

    /// Cuts a run of whole batches.
    pub fn parse(mut bytes: Bytes) -> Result<Self, StorageError> {
        let mut next = || {
            let header = BatchHeader::parse(&bytes)
                .map_err(|_| StorageError::InvalidBatch("its header is damaged"))?;
            if header.size() > bytes.len() {
                return Err(StorageError::InvalidBatch("it is cut short"));
            }
            let batch = AppendBatch::new(bytes.split_to(header.size()))?;
            Ok((batch, bytes.is_empty()))
        };
        let (first, mut done) = next()?;
        let mut rest = Vec::new();
        while !done {
            let batch;
            (batch, done) = next()?;
            rest.push(batch);
        }
        Ok(AppendBatches { first, rest })
    }

    /// Adds another batch to be appended right behind.
    pub fn push(&mut self, batch: AppendBatch) {
        self.rest.push(batch);
    }

    pub(crate) fn len(&self) -> usize {
        1 + self.rest.len()
    }

    pub(crate) fn total_bytes(&self) -> usize {
        self.first.len() + self.rest.iter().map(AppendBatch::len).sum::<usize>()
    }

    pub(crate) fn into_iter(self) -> impl Iterator<Item = AppendBatch> {
        std::iter::once(self.first).chain(self.rest)
    }
}

/// The answer to an append. The offsets are taken; committed they are when the ticket says so.
#[derive(Debug)]
pub struct Appended {
    pub base_offset: i64,
    pub last_offset: i64,
    pub log_start_offset: i64,
    pub ticket: Ticket,
}

/// A batch that has passed all checks that need no lock, in the form it will be written.
pub(crate) struct Prepared {
    pub last_offset_delta: i32,
    pub max_timestamp: i64,
    pieces: Pieces,
}

enum Pieces {
    /// Header and body side by side.
    Whole(BytesMut),
    Cut([u8; BATCH_OVERHEAD], Bytes),
}

/// The bytes of a batch with offset and epoch in place.
#[derive(Debug)]
pub(crate) struct Sealed {
    /// Unused where `body` holds the whole batch.
    header: [u8; BATCH_OVERHEAD],
    whole: bool,
    body: Bytes,
}

impl Prepared {
    pub fn new(batch: AppendBatch, config: &LogConfig) -> Result<Self, StorageError> {
        let header = BatchHeader::parse(&batch.header)
            .map_err(|_| StorageError::InvalidBatch("its header is damaged"))?;
        let size = batch.len();
        if header.size() != size {
            return Err(StorageError::InvalidBatch("it is not as long as its header says"));
        }
        if size > config.max_message_bytes as usize {
            return Err(StorageError::MessageTooLarge { size, max: config.max_message_bytes as usize });
        }
        let pieces = if size <= COPY_UP_TO {
            let mut whole = BytesMut::with_capacity(size);
            whole.put_slice(&batch.header);
            whole.put_slice(&batch.body);
            Pieces::Whole(whole)
        } else {
            Pieces::Cut(batch.header, batch.body)
        };
        Ok(Prepared {
            last_offset_delta: header.last_offset_delta,
            max_timestamp: header.max_timestamp,
            pieces,
        })
    }

    pub fn len(&self) -> usize {
        match &self.pieces {
            Pieces::Whole(whole) => whole.len(),
            Pieces::Cut(_, body) => BATCH_OVERHEAD + body.len(),
        }
    }

    pub fn seal(self, base_offset: i64, leader_epoch: i32) -> Sealed {
        let patch = |header: &mut [u8]| {
            set_base_offset(header, base_offset);
            set_leader_epoch(header, leader_epoch);
        };
        match self.pieces {
            Pieces::Whole(mut whole) => {
                patch(&mut whole);
                Sealed { header: [0; BATCH_OVERHEAD], whole: true, body: whole.freeze() }
            }
            Pieces::Cut(mut header, body) => {
                patch(&mut header);
                Sealed { header, whole: false, body }
            }
        }
    }
}

impl Sealed {
    pub fn len(&self) -> usize {
        self.header().len() + self.body.len()
    }

    /// Empty where the body holds the whole batch.
    pub fn header(&self) -> &[u8] {
        if self.whole { &[] } else { &self.header }
    }

    pub fn body(&self) -> &Bytes {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing::batch;
    use crate::wire::record::verify_crc;

    #[test]
    fn small_and_large_batches_are_patched_alike() {
        for value_len in [10, 10_000] {
            let bytes = batch(0, 3, value_len, 77);
            let batches = AppendBatches::from(AppendBatch::new(bytes.clone()).unwrap());
            assert_eq!(batches.total_bytes(), bytes.len());
            let prepared = Prepared::new(batches.into_iter().next().unwrap(), &LogConfig::default()).unwrap();
            assert_eq!((prepared.last_offset_delta, prepared.max_timestamp), (2, 77));
            assert_eq!(prepared.len(), bytes.len());
            let sealed = prepared.seal(1000, 9);
            let written = [sealed.header(), sealed.body()].concat();
            assert_eq!((written.len(), sealed.len()), (bytes.len(), bytes.len()));
            let header = BatchHeader::parse(&written).unwrap();
            assert_eq!((header.base_offset, header.partition_leader_epoch), (1000, 9));
            verify_crc(&written).unwrap();
            assert_eq!(written[16..], bytes[16..]);
        }
    }

    #[test]
    fn a_run_is_cut_into_its_batches() {
        let run: Bytes = [batch(0, 1, 5, 0), batch(0, 2, 5000, 0), batch(0, 3, 5, 0)].concat().into();
        let batches = AppendBatches::parse(run.clone()).unwrap();
        assert_eq!((batches.len(), batches.total_bytes()), (3, run.len()));
        let mut longer = batches;
        longer.push(AppendBatch::new(batch(0, 4, 5, 0)).unwrap());
        let counts: Vec<i32> = longer
            .into_iter()
            .map(|batch| BatchHeader::parse(&batch.header).unwrap().last_offset_delta)
            .collect();
        assert_eq!(counts, [0, 1, 2, 3]);
        for wrong in [0, 1, 60, 61, run.len() - 1] {
            assert!(AppendBatches::parse(run.slice(..wrong)).is_err(), "{wrong} bytes");
        }
    }

    #[test]
    fn what_cannot_be_appended_is_refused() {
        let config = LogConfig { max_message_bytes: 100, ..LogConfig::default() };
        let prepare = |bytes: Bytes| AppendBatch::new(bytes).and_then(|batch| Prepared::new(batch, &config));
        assert!(matches!(prepare(batch(0, 1, 100, 0)), Err(StorageError::MessageTooLarge { max: 100, .. })));
        let good = batch(0, 1, 5, 0);
        assert!(prepare(good.clone()).is_ok());
        for wrong in
            [good.slice(..good.len() - 1), [good.clone(), good.slice(..1)].concat().into(), Bytes::new()]
        {
            assert!(matches!(prepare(wrong), Err(StorageError::InvalidBatch(_))));
        }
    }
}

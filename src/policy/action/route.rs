//! `route`: records are taken out of a produced batch and become letters to a dead-letter topic.
//!
//! A letter has the record's key, value, headers and timestamp, as the topic would have got them (masked, encrypted), and behind
//! its headers those that say why it is there. Headers of the client whose names begin like ours are left out: nobody can forge
//! where a letter comes from. An offset is not among them: a record that was never stored has none.

use super::super::identity::Sequenced;
use crate::wire::record::{
    BatchBuilder, BatchHeader, Compression, Compressor, HeadersBuf, Rebuild, Record, RecordError, Records,
    TimestampType, batches, with_codecs,
};
use bytes::{Bytes, BytesMut};
use std::fmt;

/// Of all our headers, and of no others, in whatever case.
const PREFIX: &[u8] = b"tollgate-";
pub const REASON_HEADER: &str = "tollgate-reason";
pub const POLICY_HEADER: &str = "tollgate-policy";
pub const RULE_HEADER: &str = "tollgate-rule";
pub const PRINCIPAL_HEADER: &str = "tollgate-principal";
pub const CLIENT_ID_HEADER: &str = "tollgate-client-id";
pub const CORRELATION_ID_HEADER: &str = "tollgate-correlation-id";
pub const TOPIC_HEADER: &str = "tollgate-topic";
pub const PARTITION_HEADER: &str = "tollgate-partition";
/// Milliseconds since 1970, as the producer says it.
pub const TIMESTAMP_HEADER: &str = "tollgate-timestamp";
/// `producer id/epoch/sequence number`, of producers that number their records: no two letters have the same, but those that
/// are one.
pub const PRODUCER_HEADER: &str = "tollgate-producer";

/// Bytes of letters in one batch, before compression. Brokers take 1 MiB as they come.
const BATCH_BYTES: usize = 512 << 10;
/// What a letter's own headers take, reason aside.
pub const LETTER_BYTES: usize = 512;
/// Bytes of letters that one produced batch may become.
pub const MOST_BYTES: usize = 64 << 20;
/// A reason is cut there.
pub const REASON_BYTES: usize = 1_024;

/// Where records go, and what is said when nothing else gives a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    pub topic: String,
    pub reason: Option<String>,
}

impl Route {
    /// Fails for what Kafka takes for no name of a topic.
    pub fn new(topic: String, reason: Option<String>) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        match topic.as_str() {
            "" | "." | ".." => Err(format!("\"{topic}\" is no name of a topic")),
            long if long.len() > 249 => Err("a topic's name has at most 249 characters".to_owned()),
            other if !other.chars().all(plain) => {
                Err(format!("\"{other}\" is no name of a topic: letters, digits, `.`, `_` and `-`"))
            }
            _ => Ok(Self { topic, reason }),
        }
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            None => write!(f, "route({})", self.topic),
            Some(reason) => write!(f, "route({}, {reason})", self.topic),
        }
    }
}

/// What letters say of the exchange they come from.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    pub principal: &'a str,
    pub client_id: &'a str,
    pub correlation_id: i32,
    pub topic: &'a str,
    pub partition: i32,
    /// Of producers that number their records.
    pub sent: Option<Sequenced>,
}

/// What a letter says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    /// Which of the letters' topics it goes to, by its place.
    pub to: usize,
    pub reason: &'a str,
    pub policy: &'a str,
    pub rule: &'a str,
}

/// A payload, parted.
#[derive(Debug, Default)]
pub struct Parted {
    /// What goes on: nothing when all was taken.
    pub rest: Bytes,
    /// By topic: its letters, in batches.
    pub letters: Vec<Vec<LetterBatch>>,
}

/// A batch of letters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LetterBatch {
    pub payload: Bytes,
    /// Of which records, by their places, in ascending order.
    pub records: Vec<u32>,
}

/// Takes records out of a produced payload. `routed` are their places in ascending order; `stamp` says of one of them what its letter says
/// (`None`: no letter is made, as it has been sent before). `limit`: plain bytes of one batch.
pub fn part<'s>(
    payload: &Bytes,
    routed: &[u32],
    topics: usize,
    origin: Origin<'_>,
    stamp: impl Fn(usize) -> Option<Stamp<'s>>,
    limit: usize,
) -> Result<Parted, RecordError> {
    let mut rest = BytesMut::with_capacity(payload.len());
    let mut post = Post::new(origin, topics);
    let (mut first, mut from) = (0, 0);
    with_codecs(|decompressor, compressor| -> Result<(), RecordError> {
        for batch in batches(payload) {
            let batch = batch?;
            let header = &batch.header;
            if header.is_control() {
                rest.extend_from_slice(batch.bytes);
                continue;
            }
            let end = first + usize::try_from(header.record_count).unwrap_or_default();
            let to = routed.partition_point(|at| (*at as usize) < end);
            let mine = routed.get(from..to).unwrap_or_default();
            if mine.is_empty() {
                rest.extend_from_slice(batch.bytes);
            } else {
                let data = Records::open(batch.bytes, header, decompressor, limit)?.data();
                keep(header, data, first, mine, compressor, &mut rest)?;
                for (at, record) in (first..).zip(Records::new(data, header.record_count)?) {
                    let record = record?;
                    if mine.binary_search(&(at as u32)).is_ok()
                        && let Some(stamp) = stamp(at)
                    {
                        post.write(header, &record, at, &stamp, compressor)?;
                    }
                }
            }
            (first, from) = (end, to);
        }
        (0..topics).try_for_each(|topic| post.close(topic, compressor))
    })?;
    Ok(Parted { rest: rest.freeze(), letters: post.letters })
}

/// What a letter takes, about: the same for the same record and reason, so that letters fall into the same batches each time.
pub fn letter_size(record: &Record<'_>, reason: &str) -> usize {
    let length = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len);
    length(record.key) + length(record.value) + record.headers.encoded().len() + reason.len() + LETTER_BYTES
}

/// Writes the records that stay, numbered without gaps as brokers want them. `first` is the place of the batch's first record.
fn keep(
    header: &BatchHeader,
    data: &[u8],
    first: usize,
    taken: &[u32],
    compressor: &mut Compressor,
    out: &mut BytesMut,
) -> Result<(), RecordError> {
    let staying = || -> Result<_, RecordError> {
        let records = (first..).zip(Records::new(data, header.record_count)?);
        Ok(records.filter(|(at, _)| taken.binary_search(&(*at as u32)).is_err()).map(|(_, record)| record))
    };
    let (mut stay, mut newest) = (0, i64::MIN);
    for record in staying()? {
        newest = newest.max(header.timestamp_of(record?.timestamp_delta));
        stay += 1;
    }
    if stay == 0 {
        return Ok(());
    }
    let mut kept = BatchHeader { last_offset_delta: stay - 1, ..*header };
    if kept.timestamp_type() == TimestampType::CreateTime {
        kept.max_timestamp = newest;
    }
    let mut rebuild = Rebuild::of(&kept, compressor)?;
    for (offset_delta, record) in (0..).zip(staying()?) {
        rebuild.push(&Record { offset_delta, ..record? })?;
    }
    rebuild.finish_into(out)
}

/// Letters being written.
struct Post<'a> {
    origin: Origin<'a>,
    letters: Vec<Vec<LetterBatch>>,
    /// By topic: those of the batch that is open, and what they take.
    open: Vec<(Vec<Letter>, usize)>,
    bytes: usize,
}

struct Letter {
    /// Of its record in the batch.
    index: u32,
    timestamp: i64,
    key: Option<Bytes>,
    value: Option<Bytes>,
    headers: HeadersBuf,
}

impl<'a> Post<'a> {
    fn new(origin: Origin<'a>, topics: usize) -> Self {
        let mut open = Vec::new();
        open.resize_with(topics, Default::default);
        Self { origin, letters: vec![Vec::new(); topics], open, bytes: 0 }
    }

    fn write(
        &mut self,
        header: &BatchHeader,
        record: &Record<'_>,
        index: usize,
        stamp: &Stamp<'_>,
        compressor: &mut Compressor,
    ) -> Result<(), RecordError> {
        let size = letter_size(record, stamp.reason);
        self.bytes += size;
        if self.bytes > MOST_BYTES {
            return Err(RecordError::TooLarge { limit: MOST_BYTES });
        }
        if self.open.get(stamp.to).is_some_and(|(_, bytes)| *bytes > 0 && bytes + size > BATCH_BYTES) {
            self.close(stamp.to, compressor)?;
        }
        let timestamp = header.timestamp_of(record.timestamp_delta);
        let origin = &self.origin;
        let mut headers = HeadersBuf::new();
        let ours = |key: &[u8]| key.get(..PREFIX.len()).is_some_and(|key| key.eq_ignore_ascii_case(PREFIX));
        for header in record.headers.into_iter().filter(|header| !ours(header.key)) {
            headers.push(header.key, header.value);
        }
        let mut say = |name: &str, value: &str| headers.push(name.as_bytes(), Some(value.as_bytes()));
        say(REASON_HEADER, stamp.reason);
        say(POLICY_HEADER, stamp.policy);
        say(RULE_HEADER, stamp.rule);
        say(PRINCIPAL_HEADER, origin.principal);
        say(CLIENT_ID_HEADER, origin.client_id);
        say(CORRELATION_ID_HEADER, &origin.correlation_id.to_string());
        say(TOPIC_HEADER, origin.topic);
        say(PARTITION_HEADER, &origin.partition.to_string());
        say(TIMESTAMP_HEADER, &timestamp.to_string());
        if let Some(sent) = origin.sent.filter(|sent| sent.producer_id >= 0) {
            // sequence numbers wrap to zero after 2^31 - 1
            let sequence = (i64::from(sent.base_sequence) + index as i64).rem_euclid(1 << 31);
            say(PRODUCER_HEADER, &format!("{}/{}/{sequence}", sent.producer_id, sent.producer_epoch));
        }
        let copy = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
        let letter = Letter {
            index: index as u32,
            timestamp,
            key: record.key.map(copy),
            value: record.value.map(copy),
            headers,
        };
        if let Some((open, bytes)) = self.open.get_mut(stamp.to) {
            open.push(letter);
            *bytes += size;
        }
        Ok(())
    }

    /// Seals the batch of a topic that is open. Its headers repeat themselves, so it is compressed, by the one codec that
    /// every client has.
    fn close(&mut self, topic: usize, compressor: &mut Compressor) -> Result<(), RecordError> {
        let (Some(open), Some(sealed)) = (self.open.get_mut(topic), self.letters.get_mut(topic)) else {
            return Ok(());
        };
        let (letters, _) = std::mem::take(open);
        if letters.is_empty() {
            return Ok(());
        }
        let mut header = BatchHeader::default();
        header.set_compression(Compression::Gzip);
        let mut builder = BatchBuilder::new(header, compressor);
        for letter in &letters {
            let (key, value) = (letter.key.as_deref(), letter.value.as_deref());
            builder.append(letter.timestamp, key, value, letter.headers.as_headers())?;
        }
        let records = letters.iter().map(|letter| letter.index).collect();
        sealed.push(LetterBatch { payload: builder.finish()?, records });
        Ok(())
    }
}

#[cfg(test)]
#[path = "route_tests.rs"]
mod tests;

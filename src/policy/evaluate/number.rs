//! Batches of producers that number their records, when a rule changes how many there are: see `policy::sequences`.

use super::records::Way;
use super::request::Edits;
use super::{DECOMPRESSED_BYTES, PartState, Round, Shape};
use crate::policy::fault::record::{self, Chosen, RecordFault};
use crate::policy::random::{Draws, Event};
use crate::policy::sequences::{How, Numberer, Recounted};
use crate::policy::verdict::{Outcome, Passing, Routed};
use crate::wire::record::{BATCH_OVERHEAD, BatchHeader, RecordError, sealed_header, verify_crc};
use crate::wire::{ErrorCode, Payload};
use bytes::{Bytes, BytesMut};

impl Round<'_> {
    /// Batches that are sent again are changed as they were before; rules do not recount them once more.
    pub(super) fn recount_known(&self, payloads: &[&Payload], parts: &mut [PartState], edits: &mut Edits) {
        if !self.shared.sequences.is_active() {
            return;
        }
        for (at, part) in parts.iter_mut().enumerate().filter(|(_, part)| part.is_open()) {
            let Some((who, base)) = numberer(part) else { continue };
            let Some(known) = self.shared.sequences.known(who, base) else { continue };
            let same = matches!(&part.routed, Some(Routed { passage: Passing::Earlier(_), .. }));
            if !same && known.iter().any(|changed| matches!(changed.how, How::Routed(_))) {
                // it is another batch under the same numbers, as when a producer splits one that was too large
                self.shared.sequences.forget(who, base);
                continue;
            }
            part.recounted = true;
            // they are among what is known
            part.recounts.clear();
            if known.iter().all(|changed| matches!(changed.how, How::Routed(_))) {
                continue;
            }
            let Some(payload) = payloads.get(at).and_then(|payload| payload.to_bytes().ok()) else {
                continue;
            };
            match again(&edits.payload(at).unwrap_or(payload), &known) {
                Ok(changed) => {
                    if changed.is_empty() {
                        part.outcome = Outcome::answer(ErrorCode::NONE);
                    }
                    edits.payloads.insert(at, changed);
                }
                // its broker will say what is wrong with it
                Err(error) => tracing::debug!(%error, "a batch that is sent again cannot be changed again"),
            }
        }
    }

    /// Remembers what the rules did to batches, and gives those behind them their numbers.
    pub(super) fn renumber(&self, payloads: &[&Payload], parts: &mut [PartState], edits: &mut Edits) {
        for (at, part) in parts.iter_mut().enumerate() {
            let Some((who, base)) = numberer(part) else { continue };
            let recounts = std::mem::take(&mut part.recounts);
            if !recounts.is_empty() {
                let more = recounts.iter().map(|changed| match changed.how {
                    How::Dropped => -(changed.records.len() as i64),
                    How::Doubled => changed.records.len() as i64,
                    How::Routed(count) => -(count as i64),
                });
                self.shared.sequences.change(who, base, more.sum(), recounts);
            }
            if !self.shared.sequences.is_active() || !part.is_open() {
                continue;
            }
            let forwarded = self.shared.sequences.forwarded(who, base);
            if forwarded == base {
                continue;
            }
            let payload = edits.payload(at).or_else(|| payloads.get(at)?.to_bytes().ok());
            if let Some(changed) = payload.and_then(|payload| numbered(&payload, forwarded)) {
                edits.payloads.insert(at, changed);
            }
        }
    }

    /// Whether a rule may change how many records a part has.
    pub(super) fn may_recount(&self, part: &PartState, way: Way) -> bool {
        way == Way::Fetched || !part.recounted
    }
}

/// Who numbered a part's batch, and how.
fn numberer(part: &PartState) -> Option<(Numberer, i32)> {
    let Shape::Batch { sent, .. } = &part.shape else { return None };
    let who = Numberer::of(sent, &part.about.name, part.about.partition)?;
    Some((who, sent.base_sequence))
}

/// The same changes to the same batch.
fn again(payload: &Bytes, known: &[Recounted]) -> Result<Bytes, RecordError> {
    let mut now = payload.clone();
    for changed in known {
        // nothing about these is drawn
        let draws = Draws::new(0, 0, Event { subject: 0, ordinal: 0, attempt: 0 });
        let chosen: Vec<Chosen> =
            changed.records.iter().map(|index| Chosen { index: *index, draws: draws.clone() }).collect();
        let fault = match changed.how {
            How::Dropped => RecordFault::Drop,
            How::Doubled => RecordFault::Duplicate,
            // they are out of it already
            How::Routed(_) => continue,
        };
        now = fault.strike(&now, record::Way::Produced, &chosen, DECOMPRESSED_BYTES)?.payload;
    }
    Ok(now)
}

/// A batch under another number. A checksum that did not hold still does not.
fn numbered(payload: &Bytes, base_sequence: i32) -> Option<Bytes> {
    let header = BatchHeader { base_sequence, ..BatchHeader::parse(payload).ok()? };
    let (batch, rest) = payload.split_at_checked(header.size())?;
    let body = batch.get(BATCH_OVERHEAD..)?;
    let mut sealed = BytesMut::with_capacity(payload.len());
    sealed.extend_from_slice(&sealed_header(&header, body));
    if verify_crc(batch).is_err()
        && let Some(byte) = sealed.get_mut(CRC_AT)
    {
        *byte ^= 1;
    }
    sealed.extend_from_slice(body);
    sealed.extend_from_slice(rest);
    Some(sealed.freeze())
}

/// Of a batch's checksum in its header.
const CRC_AT: usize = 17;

//! Edits of records, over a whole records payload: the concatenated batches of one partition, as fetched or produced.
//!
//! Batches in which nothing changes stay as they came; in one that changes, runs of untouched records are copied as
//! they are encoded. Control batches are never opened. What selects a record sees it as it came, whatever
//! earlier rules did to it, so that no mask hides a record from the next one.
//!
//! All fails closed: a value that a mask cannot parse becomes empty, marked with the header [`MASKED_HEADER`]; so does
//! a fetched batch whose records cannot be read, as a whole; a batch whose CRC is wrong is an error for the whole
//! payload; the piece of a batch that ends a fetch is dropped, as clients ignore it and nobody can look into it.

mod run;
mod typed;
mod value;

use bytes::{Bytes, BytesMut};
use std::sync::Arc;

use self::run::Run;
use self::typed::Typed;
use self::value::Phase;
use super::json::{PathSet, Unparsable};
use super::mask::How;
use super::path::Target;
use super::seal::{Seal, SealError, SealTarget, Way};
use crate::policy::glob::Patterns;
use crate::policy::schema::{Invalid, Schema};
use crate::policy::template::{Field, Template};
use crate::wire::record::{
    BatchHeader, Compressor, HeadersBuf, Rebuild, Record, RecordError, Tail, batches, with_codecs,
};

/// Marks a record whose value a mask emptied, because it could not be parsed; its value names the rule.
pub const MASKED_HEADER: &str = "tollgate-masked";

/// What one rule does to the records it selects, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct EditRule {
    /// Named in [`MASKED_HEADER`].
    pub name: String,
    pub edits: Vec<Edit>,
    /// Count what would be done, and do nothing.
    pub observe: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Edit {
    Mask(Mask),
    Seal(Seal),
    /// Instead of all headers of this name, at the end of the list.
    SetHeader {
        name: String,
        value: Template,
    },
    RemoveHeader(Patterns),
}

/// What is masked, how, and what becomes of a value in which nothing can be found.
#[derive(Debug, Clone, PartialEq)]
pub struct Mask {
    pub target: Target,
    pub how: How,
    /// What values are, if not JSON. Looked at by [`Mask::fits`] first.
    pub schema: Option<Arc<Schema>>,
    pub on_unparsable: OnUnparsable,
}

/// What becomes of a value that is no JSON, or not of its schema, when a path leads into it. Empty and null values hold nothing and pass.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnUnparsable {
    /// Empty, with the header. Not null: that would delete downstream.
    #[default]
    Empty,
    /// Null, with the header.
    Null,
    /// The payload is refused.
    Error,
    /// Left as it is.
    Pass,
}

/// A record as it came.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub record: &'a Record<'a>,
    /// In a produced batch: its place in the batch.
    pub offset: i64,
    /// Milliseconds.
    pub timestamp: i64,
}

impl Seen<'_> {
    /// Bytes of its key, value and headers.
    pub fn size(&self) -> usize {
        let of = |part: Option<&[u8]>| part.map_or(0, <[u8]>::len);
        let headers = self.record.headers.into_iter().map(|header| header.key.len() + of(header.value));
        of(self.record.key) + of(self.record.value) + headers.sum::<usize>()
    }
}

/// What the edits ask of who knows the exchange. Rules go by their place in the list given to [`RecordEdits::new`].
pub trait EditContext {
    fn selects(&mut self, rule: usize, record: &Seen<'_>) -> bool;

    /// Appends what `field` is here. Never asked for offset and timestamp.
    fn say(&self, rule: usize, field: Field, out: &mut String);

    /// What becomes of a batch whose bytes are as they were written, and whose records cannot be read.
    fn unreadable(&mut self, _batch: &BatchHeader, _error: &RecordError) -> Unreadable {
        Unreadable::Refuse
    }
}

/// What becomes of a batch into which nobody can look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// The payload is refused.
    Refuse,
    /// It goes on as it is: all who wanted to look only observe.
    Pass,
    /// A [`stand_in`] that names this rule.
    StandIn(String),
}

/// What stands for a fetched batch into which nobody can look (its records are larger than may be looked into, or not
/// what its attributes say): all of its properties and offsets, so that consumers move on, and instead of its records
/// an empty one, marked as a value is that a mask cannot parse.
pub fn stand_in<'c>(
    header: &BatchHeader,
    rule: &str,
    compressor: &'c mut Compressor,
) -> Result<Rebuild<'c>, RecordError> {
    let mut headers = HeadersBuf::new();
    headers.push(MASKED_HEADER.as_bytes(), Some(rule.as_bytes()));
    let mut rebuild = Rebuild::of(header, compressor)?;
    rebuild.push(&Record {
        attributes: 0,
        timestamp_delta: header.max_timestamp.saturating_sub(header.base_timestamp),
        offset_delta: header.last_offset_delta,
        key: None,
        value: Some(&[]),
        headers: headers.as_headers(),
    })?;
    Ok(rebuild)
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// `None`: nothing changed, the payload goes on as it is.
    pub payload: Option<Bytes>,
    pub records_changed: u64,
    /// Records whose value a mask could not parse, once each.
    pub unparsable: u64,
    /// One a rule.
    pub rules: Vec<RuleCounts>,
}

/// Records, by what a rule did with them (or, observing, would have).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleCounts {
    pub selected: u64,
    /// It found something to work on.
    pub applied: u64,
    pub unparsable: u64,
    /// It found something that it could not decrypt.
    pub unopened: u64,
}

/// Why a payload must not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// It cannot be looked into. Kafka's CORRUPT_MESSAGE.
    #[error(transparent)]
    Records(#[from] RecordError),
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A mask with `on_unparsable("error")`.
    #[error("the value at offset {offset} cannot be masked: {source}")]
    Unparsable { rule: usize, offset: i64, source: Unread },
}

/// Why nothing can be found in a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    #[error(transparent)]
    Json(#[from] Unparsable),
    #[error("not {schema} at {invalid}")]
    Schema { schema: String, invalid: Invalid },
}

/// Rules compiled to run together, on any thread.
#[derive(Debug, Clone)]
pub struct RecordEdits {
    rules: Vec<EditRule>,
    paths: PathSet,
    /// By the number of the path: the rule, and the edit of the rule, it belongs to.
    masks: Vec<(usize, usize)>,
    /// By the number of the path.
    phases: Vec<Phase>,
    /// What works on whole values: the rule, and the edit of the rule.
    wholes: Vec<(usize, usize)>,
    /// Masks of values that are not JSON.
    typed: Vec<Typed>,
}

impl RecordEdits {
    /// Rules work in this order. Of masks that meet in the same value each works on what the one before left; of those
    /// that meet in nested values only the outermost counts, as nothing of the inner is left. What is decrypted comes before the
    /// masks, what is encrypted after them, whatever the order of the rules; masks by a schema come before those of JSON.
    pub fn new(rules: Vec<EditRule>) -> Self {
        let (mut masks, mut phases, mut wholes) = (Vec::new(), Vec::new(), Vec::new());
        let typed = Typed::of(&rules);
        let mut paths = Vec::new();
        for (rule, EditRule { edits, .. }) in rules.iter().enumerate() {
            for (number, edit) in edits.iter().enumerate() {
                let (path, phase) = match edit {
                    Edit::Mask(Mask { target: Target::Value(path), schema: None, .. }) => (path, Phase::Mask),
                    Edit::Seal(Seal { target: SealTarget::Field(path), way, .. }) => match way {
                        Way::Encrypt => (path, Phase::Encrypt),
                        Way::Decrypt => (path, Phase::Decrypt),
                    },
                    Edit::Seal(Seal { target: SealTarget::Whole, .. }) => {
                        wholes.push((rule, number));
                        continue;
                    }
                    _ => continue,
                };
                masks.push((rule, number));
                paths.push(path);
                phases.push(phase);
            }
        }
        let paths = PathSet::new(paths);
        Self { rules, paths, masks, phases, wholes, typed }
    }

    /// What works on values, by rule and edit.
    fn lists(&self) -> impl Iterator<Item = &[(usize, usize)]> {
        let typed = self.typed.iter().map(|typed| &*typed.masks);
        [&*self.masks, &*self.wholes].into_iter().chain(typed)
    }

    /// Edits `payload`. `limit` caps the bytes of one batch once decompressed.
    pub fn apply(
        &self,
        payload: &Bytes,
        limit: usize,
        context: &mut dyn EditContext,
    ) -> Result<Edited, EditError> {
        with_codecs(|decompressor, compressor| {
            let mut edited = Edited {
                payload: None,
                records_changed: 0,
                unparsable: 0,
                rules: vec![RuleCounts::default(); self.rules.len()],
            };
            let mut run = Run::new(self, context, limit, &mut edited);
            let mut out = None::<BytesMut>;
            let mut walk = batches(payload);
            for batch in &mut walk {
                let batch = batch?;
                let rebuilt = match run.batch(&batch, decompressor, compressor) {
                    Err(EditError::Records(error)) if !matches!(error, RecordError::Corrupt { .. }) => {
                        match run.unreadable(&batch.header, &error) {
                            Unreadable::StandIn(rule) => Some(stand_in(&batch.header, &rule, compressor)?),
                            Unreadable::Pass => None,
                            Unreadable::Refuse => return Err(error.into()),
                        }
                    }
                    result => result?,
                };
                match (rebuilt, &mut out) {
                    (None, None) => {}
                    (None, Some(out)) => out.extend_from_slice(batch.bytes),
                    (Some(rebuild), Some(out)) => rebuild.finish_into(out)?,
                    (Some(rebuild), None) => {
                        let mut begun = BytesMut::with_capacity(payload.len() + payload.len() / 8);
                        begun.extend_from_slice(payload.get(..batch.start).unwrap_or_default());
                        rebuild.finish_into(&mut begun)?;
                        out = Some(begun);
                    }
                }
            }
            edited.payload = match (out, walk.tail()) {
                (Some(out), _) => Some(out.freeze()),
                (None, Tail::CutShort { at }) => Some(payload.slice(..at)),
                (None, Tail::Whole) => None,
            };
            Ok(edited)
        })
    }
}

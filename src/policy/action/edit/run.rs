//! One application: batch by batch, record by record.

use super::super::header::HeaderList;
use super::super::path::Target;
use super::super::seal::Way;
use super::value::{Fields, Marks, Values};
use super::{
    Edit, EditContext, EditError, EditRule, Edited, MASKED_HEADER, Mask, OnUnparsable, RecordEdits, Seen,
    Unread, Unreadable,
};
use crate::policy::template::{Field, Template};
use crate::wire::record::{
    Batch, BatchHeader, Compressor, Decompressor, Rebuild, Record, RecordError, Records, verify_crc,
};

/// One application of the edits.
pub(super) struct Run<'r> {
    edits: &'r RecordEdits,
    context: &'r mut dyn EditContext,
    limit: usize,
    counts: &'r mut Edited,
    /// Where the records are, if something is encrypted or decrypted.
    topic: String,
    scratch: Scratch,
}

/// Memory that goes from record to record.
#[derive(Default)]
struct Scratch {
    /// By rule: whether it selects the record.
    selected: Vec<bool>,
    /// By rule: whether it found something in the record.
    applied: Vec<bool>,
    /// By rule: whether it found something that it could not decrypt.
    unopened: Vec<bool>,
    values: Values,
    key: Vec<u8>,
    text: String,
    headers: HeaderList,
    /// By rule: whether it could not parse the value.
    unparsable: Vec<bool>,
    /// Rules that could not parse the value and hid it.
    hidden_by: Vec<usize>,
    /// What the templates say that say the same for every record, by rule and edit.
    said: Vec<((usize, usize), String)>,
}

/// What became of the key or value of a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    /// It is in the scratch memory now.
    Replaced,
    Empty,
    Null,
}

impl Scratch {
    fn marks<'m>(&'m mut self, edits: &'m RecordEdits, topic: &'m str) -> (&'m mut Values, Marks<'m>) {
        let Self { selected, applied, unopened, text, values, .. } = self;
        (values, Marks { edits, topic, selected, applied, unopened, text })
    }
}

impl Fate {
    fn of<'a>(self, original: Option<&'a [u8]>, replaced: &'a [u8]) -> Option<&'a [u8]> {
        match self {
            Self::Kept => original,
            Self::Replaced => Some(replaced),
            Self::Empty => Some(&[]),
            Self::Null => None,
        }
    }
}

impl<'r> Run<'r> {
    pub(super) fn new(
        edits: &'r RecordEdits,
        context: &'r mut dyn EditContext,
        limit: usize,
        counts: &'r mut Edited,
    ) -> Self {
        let mut topic = String::new();
        if edits.rules.iter().any(|rule| rule.edits.iter().any(|edit| matches!(edit, Edit::Seal(_)))) {
            context.say(0, Field::Topic, &mut topic);
        }
        Self { edits, context, limit, counts, topic, scratch: Scratch::default() }
    }

    pub(super) fn unreadable(&mut self, header: &BatchHeader, error: &RecordError) -> Unreadable {
        self.context.unreadable(header, error)
    }

    /// `None` if nothing in the batch changes.
    pub(super) fn batch<'c>(
        &mut self,
        batch: &Batch<'_>,
        decompressor: &mut Decompressor,
        compressor: &'c mut Compressor,
    ) -> Result<Option<Rebuild<'c>>, EditError> {
        let header = &batch.header;
        if header.is_control() || header.record_count == 0 {
            return Ok(None);
        }
        // Writing it again would give broken bytes a good CRC.
        verify_crc(batch.bytes).map_err(|error| error.moved(batch.start))?;
        let mut records = Records::open(batch.bytes, header, decompressor, self.limit)?;
        let data = records.data();
        let mut compressor = Some(compressor);
        let mut rebuild = None;
        // Untouched records not yet written: from where in the data, and how many.
        let (mut kept_from, mut kept) = (0, 0);
        let mut at = 0;
        while let Some(record) = records.next() {
            let record = record?;
            let seen = Seen {
                record: &record,
                offset: header.base_offset.saturating_add(i64::from(record.offset_delta)),
                timestamp: header.timestamp_of(record.timestamp_delta),
            };
            match self.record(&seen)? {
                None => kept += 1,
                Some(changed) => {
                    if let Some(compressor) = compressor.take() {
                        rebuild = Some(Rebuild::of(header, compressor)?);
                    }
                    if let Some(rebuild) = &mut rebuild {
                        rebuild.push_encoded(data.get(kept_from..at).unwrap_or_default(), kept)?;
                        rebuild.push(&changed)?;
                    }
                    (kept_from, kept) = (records.position(), 0);
                    self.counts.records_changed += 1;
                }
            }
            at = records.position();
        }
        if let Some(rebuild) = &mut rebuild {
            rebuild.push_encoded(data.get(kept_from..).unwrap_or_default(), kept)?;
        }
        Ok(rebuild)
    }

    /// The record after its edits; `None` if it stays as it is.
    fn record<'s>(&'s mut self, seen: &Seen<'s>) -> Result<Option<Record<'s>>, EditError> {
        let Scratch { selected, applied, unopened, unparsable, headers, hidden_by, .. } = &mut self.scratch;
        selected.clear();
        unparsable.clear();
        applied.clear();
        unopened.clear();
        hidden_by.clear();
        headers.begin();
        for (rule, counts) in self.counts.rules.iter_mut().enumerate() {
            let selects = self.context.selects(rule, seen);
            counts.selected += u64::from(selects);
            selected.push(selects);
            applied.push(false);
            unopened.push(false);
            unparsable.push(false);
        }
        if !selected.contains(&true) {
            return Ok(None);
        }

        let value = self.value(seen)?;
        let key = self.key_and_headers(seen);
        for (counts, applied) in self.counts.rules.iter_mut().zip(&self.scratch.applied) {
            counts.applied += u64::from(*applied);
        }
        for (counts, unopened) in self.counts.rules.iter_mut().zip(&self.scratch.unopened) {
            counts.unopened += u64::from(*unopened);
        }
        let scratch = &self.scratch;
        if value == Fate::Kept && key == Fate::Kept && !scratch.headers.is_edited() {
            return Ok(None);
        }
        let record = seen.record;
        Ok(Some(Record {
            key: key.of(record.key, &scratch.key),
            value: value.of(record.value, &scratch.values.value),
            headers: scratch.headers.now(record.headers),
            ..*record
        }))
    }

    /// All that is done to the value.
    fn value(&mut self, seen: &Seen<'_>) -> Result<Fate, EditError> {
        let edits = self.edits;
        let (values, mut marks) = self.scratch.marks(edits, &self.topic);
        let original = match seen.record.value {
            Some(value) if !value.is_empty() && edits.lists().any(|list| marks.any(list)) => value,
            _ => return Ok(Fate::Kept),
        };
        let mut held = values.open_whole(original, &mut marks);
        for typed in &edits.typed {
            let (values, mut marks) = self.scratch.marks(edits, &self.topic);
            if !marks.any(&typed.masks) {
                continue;
            }
            match values.typed(typed, original, held, &mut marks) {
                Ok(changed) => held |= changed,
                Err(problem) => {
                    let fate = self.unparsable(seen, &typed.masks, problem)?;
                    if fate != Fate::Kept {
                        return Ok(fate);
                    }
                }
            }
        }
        let (values, mut marks) = self.scratch.marks(edits, &self.topic);
        if marks.any(&edits.masks) {
            match values.fields(original, held, &mut marks)? {
                Fields::Changed => held = true,
                Fields::Kept => {}
                Fields::Unparsable(problem) => {
                    let fate = self.unparsable(seen, &edits.masks, problem.into())?;
                    if fate != Fate::Kept {
                        return Ok(fate);
                    }
                }
            }
        }
        let (values, mut marks) = self.scratch.marks(edits, &self.topic);
        held = values.seal_whole(original, held, &mut marks)?;
        Ok(if held && values.value.as_slice() != original { Fate::Replaced } else { Fate::Kept })
    }

    /// Of the masks that would have looked into the value, one that says error refuses it, else the first that does not
    /// let it pass decides.
    #[cold]
    fn unparsable(
        &mut self,
        seen: &Seen<'_>,
        masks: &[(usize, usize)],
        source: Unread,
    ) -> Result<Fate, EditError> {
        let Scratch { selected, applied, unopened, unparsable, hidden_by, .. } = &mut self.scratch;
        let mut fate = Fate::Kept;
        if !unparsable.contains(&true) {
            self.counts.unparsable += 1;
        }
        for &(rule, number) in masks {
            let Some(EditRule { edits, observe, .. }) = self.edits.rules.get(rule) else { continue };
            if selected.get(rule) != Some(&true) {
                continue;
            }
            let on_unparsable = match edits.get(number) {
                Some(Edit::Mask(mask)) => mask.on_unparsable,
                Some(Edit::Seal(seal)) if seal.way == Way::Encrypt => seal.on_unparsable,
                // what cannot be decrypted stays as it is
                _ => {
                    if let Some(unopened) = unopened.get_mut(rule) {
                        *unopened = true;
                    }
                    continue;
                }
            };
            // Once a rule, however many masks it has.
            if let (Some(known @ false), Some(counts)) =
                (unparsable.get_mut(rule), self.counts.rules.get_mut(rule))
            {
                *known = true;
                counts.unparsable += 1;
            }
            if *observe {
                continue;
            }
            let this = match on_unparsable {
                OnUnparsable::Pass => continue,
                OnUnparsable::Error => {
                    return Err(EditError::Unparsable { rule, offset: seen.offset, source });
                }
                OnUnparsable::Empty => Fate::Empty,
                OnUnparsable::Null => Fate::Null,
            };
            if fate == Fate::Kept {
                fate = this;
            }
            if hidden_by.last() != Some(&rule) {
                hidden_by.push(rule);
            }
            if let Some(applied) = applied.get_mut(rule) {
                *applied = true;
            }
        }
        Ok(fate)
    }

    /// Masks the key, and does all that is done to headers, in order. The marks come last, so that no rule removes them.
    fn key_and_headers(&mut self, seen: &Seen<'_>) -> Fate {
        let Scratch { selected, applied, key, text, headers, hidden_by, said, .. } = &mut self.scratch;
        let original = seen.record.headers;
        let mut fate = Fate::Kept;
        for (rule, EditRule { edits, observe, .. }) in self.edits.rules.iter().enumerate() {
            if selected.get(rule) != Some(&true) {
                continue;
            }
            for (number, edit) in edits.iter().enumerate() {
                let found = match edit {
                    Edit::Mask(Mask { target: Target::Value(_), .. }) | Edit::Seal(_) => false,
                    Edit::Mask(Mask { target: Target::Key, how, .. }) => {
                        let now = fate.of(seen.record.key, key);
                        let masked = now.map(|now| how.mask_bytes(now, text));
                        match masked {
                            Some(masked) if !observe => {
                                fate = if masked.is_some() { Fate::Replaced } else { Fate::Null };
                                let masked = masked.unwrap_or_default();
                                key.clear();
                                key.extend_from_slice(masked);
                                true
                            }
                            masked => masked.is_some(),
                        }
                    }
                    Edit::Mask(Mask { target: Target::Header(name), how, .. }) => {
                        headers.mask(original, name, how, text, *observe)
                    }
                    Edit::RemoveHeader(names) => headers.remove(original, names, *observe),
                    Edit::SetHeader { name, value } => {
                        if !observe {
                            let context = &*self.context;
                            let value = filled(said, (rule, number), value, seen, context);
                            headers.set(original, name.as_bytes(), value.as_bytes());
                        }
                        true
                    }
                };
                if let (true, Some(applied)) = (found, applied.get_mut(rule)) {
                    *applied = true;
                }
            }
        }
        for rule in hidden_by.drain(..) {
            let name = self.edits.rules.get(rule).map_or("", |rule| rule.name.as_str());
            headers.append(original, MASKED_HEADER.as_bytes(), Some(name.as_bytes()));
        }
        fate
    }
}

/// What a template says for this record: made once, if it says the same for all.
fn filled<'s>(
    said: &'s mut Vec<((usize, usize), String)>,
    at: (usize, usize),
    template: &Template,
    seen: &Seen<'_>,
    context: &dyn EditContext,
) -> &'s str {
    let place = said.iter().position(|(known, _)| *known == at);
    let place = place.unwrap_or_else(|| {
        said.push((at, String::new()));
        said.len() - 1
    });
    let known = said.get_mut(place).map(|(_, text)| text);
    let Some(text) = known else { return "" };
    if text.is_empty() || template.is_per_record() {
        *text = template.fill(|field, out| match field {
            Field::Offset => out.push_str(&seen.offset.to_string()),
            Field::Timestamp => out.push_str(&seen.timestamp.to_string()),
            field => context.say(at.0, field, out),
        });
    }
    text
}

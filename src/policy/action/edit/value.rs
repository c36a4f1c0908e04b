//! The value of a record on its way through the edits, in phases: what is encrypted as a whole is decrypted, then fields are,
//! then masks work on what is clear, then fields are encrypted, then the whole. So no mask is got round by what it cannot read
//! yet, and nothing is encrypted that should have been masked before.

use super::super::json::{Kind, PathSet, Span, Unparsable};
use super::super::seal::{Opened, Seal, SealError, SealTarget, Sealing, Way};
use super::{Edit, EditRule, RecordEdits};

/// Encryptions within encryptions that are opened.
const LAYERS: usize = 4;

/// What an edit does to what a path finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Decrypt,
    Mask,
    Encrypt,
}

/// Memory for values, from record to record.
#[derive(Default)]
pub(super) struct Values {
    spans: Vec<Span>,
    pub(super) value: Vec<u8>,
    pub(super) next: Vec<u8>,
    /// A text on its way through several masks.
    pub(super) text: String,
    /// A found value on its way through several edits.
    passes: (Vec<u8>, Vec<u8>),
    sealing: Option<Sealing>,
}

/// What the edits of one record need to know, and tell: by rule.
pub(super) struct Marks<'m> {
    pub(super) edits: &'m RecordEdits,
    pub(super) topic: &'m str,
    pub(super) selected: &'m [bool],
    pub(super) applied: &'m mut [bool],
    /// It found something that it could not decrypt.
    pub(super) unopened: &'m mut [bool],
    pub(super) text: &'m mut String,
}

/// What became of the fields of a value.
pub(super) enum Fields {
    /// They are in `Values::value`.
    Changed,
    Kept,
    Unparsable(Unparsable),
}

/// One phase over what was found.
struct Spliced {
    changed: bool,
    /// A field that was to be encrypted stood within another.
    nested: bool,
}

impl Marks<'_> {
    pub(super) fn is_selected(&self, rule: usize) -> bool {
        self.selected.get(rule) == Some(&true)
    }

    /// Whether any of these, by rule and edit, is to be done.
    pub(super) fn any(&self, edits: &[(usize, usize)]) -> bool {
        edits.iter().any(|(rule, _)| self.is_selected(*rule))
    }

    pub(super) fn applies(&mut self, rule: usize) {
        if let Some(applied) = self.applied.get_mut(rule) {
            *applied = true;
        }
    }

    fn cannot_open(&mut self, rule: usize) {
        if let Some(unopened) = self.unopened.get_mut(rule) {
            *unopened = true;
        }
    }
}

impl Values {
    /// Decrypts the whole of `value`. True when it did: what is found is in `Values::value`.
    pub(super) fn open_whole(&mut self, original: &[u8], marks: &mut Marks<'_>) -> bool {
        let mut held = false;
        for (rule, observe, seal) in wholes(marks.edits, Way::Decrypt) {
            if !marks.is_selected(rule) {
                continue;
            }
            let sealing = self.sealing.get_or_insert_default();
            let now = if held { &self.value } else { original };
            match seal.open_whole(now, marks.topic, sealing, &mut self.next) {
                Opened::Plain => continue,
                Opened::Not => {
                    marks.cannot_open(rule);
                    continue;
                }
                Opened::Done => marks.applies(rule),
            }
            if !observe {
                std::mem::swap(&mut self.value, &mut self.next);
                held = true;
            }
        }
        held
    }

    /// Encrypts the whole of what is held, else of `original`. True when something is held then.
    pub(super) fn seal_whole(
        &mut self,
        original: &[u8],
        mut held: bool,
        marks: &mut Marks<'_>,
    ) -> Result<bool, SealError> {
        for (rule, observe, seal) in wholes(marks.edits, Way::Encrypt) {
            if !marks.is_selected(rule) {
                continue;
            }
            let sealing = self.sealing.get_or_insert_default();
            let now = if held { &self.value } else { original };
            if seal.seal_whole(now, marks.topic, sealing, &mut self.next)? {
                marks.applies(rule);
                if !observe {
                    std::mem::swap(&mut self.value, &mut self.next);
                    held = true;
                }
            }
        }
        Ok(held)
    }

    /// Works on the fields of what is held, else of `original`.
    pub(super) fn fields(
        &mut self,
        original: &[u8],
        held: bool,
        marks: &mut Marks<'_>,
    ) -> Result<Fields, SealError> {
        let edits = marks.edits;
        let (mut held, mut changed) = (held, false);
        // whether the spans are those of what is there now
        let mut found = false;
        for phase in [Phase::Decrypt, Phase::Mask, Phase::Encrypt] {
            let mut layers = 0;
            while edits.phases.contains(&phase) && layers < LAYERS {
                let now = if held { &self.value } else { original };
                let text = match find(&edits.paths, now, found, &mut self.spans) {
                    Ok(text) => text,
                    Err(problem) => return Ok(Fields::Unparsable(problem)),
                };
                found = true;
                let sealing = &mut self.sealing;
                let mut splice = Splice { marks, sealing, passes: &mut self.passes };
                let of_phase = |path: usize| edits.phases.get(path) == Some(&phase);
                let spliced = splice.run(text, &self.spans, of_phase, &mut self.next)?;
                if spliced.nested {
                    return self.fields_one_by_one(original, held, changed, marks);
                }
                if !spliced.changed {
                    break;
                }
                std::mem::swap(&mut self.value, &mut self.next);
                (held, changed, found) = (true, true, false);
                layers += 1;
                if phase != Phase::Decrypt {
                    break;
                }
            }
        }
        Ok(if changed { Fields::Changed } else { Fields::Kept })
    }

    /// Where fields to be encrypted stand within others: the deepest paths first, so that each is under its own key.
    #[cold]
    fn fields_one_by_one(
        &mut self,
        original: &[u8],
        mut held: bool,
        mut changed: bool,
        marks: &mut Marks<'_>,
    ) -> Result<Fields, SealError> {
        let edits = marks.edits;
        let mut order: Vec<usize> =
            (0..edits.phases.len()).filter(|path| edits.phases.get(*path) == Some(&Phase::Encrypt)).collect();
        order.sort_by_key(|path| std::cmp::Reverse(depth(edits, *path)));
        for path in order {
            let now = if held { &self.value } else { original };
            let text = match find(&edits.paths, now, false, &mut self.spans) {
                Ok(text) => text,
                Err(problem) => return Ok(Fields::Unparsable(problem)),
            };
            let sealing = &mut self.sealing;
            let mut splice = Splice { marks, sealing, passes: &mut self.passes };
            let spliced = splice.run(text, &self.spans, |found| found == path, &mut self.next)?;
            if spliced.changed {
                std::mem::swap(&mut self.value, &mut self.next);
                (held, changed) = (true, true);
            }
        }
        Ok(if changed { Fields::Changed } else { Fields::Kept })
    }
}

/// What the paths find; `found`: they looked already.
fn find<'t>(
    paths: &PathSet,
    value: &'t [u8],
    found: bool,
    spans: &mut Vec<Span>,
) -> Result<&'t str, Unparsable> {
    match found {
        false => paths.find(value, spans),
        true => Ok(std::str::from_utf8(value).unwrap_or_default()),
    }
}

/// Steps of a path; what leads to any depth is the deepest.
fn depth(edits: &RecordEdits, path: usize) -> usize {
    let edit = edits.masks.get(path).and_then(|(rule, number)| edits.rules.get(*rule)?.edits.get(*number));
    match edit {
        Some(Edit::Seal(Seal { target: SealTarget::Field(path), .. })) => {
            let deep = path.steps().iter().any(|step| step.deep);
            if deep { usize::MAX } else { path.steps().len() }
        }
        _ => 0,
    }
}

/// The edits of whole values that go this way: the rule, whether it only observes, the edit.
fn wholes(edits: &RecordEdits, way: Way) -> impl Iterator<Item = (usize, bool, &Seal)> {
    edits.wholes.iter().filter_map(move |(rule, number)| {
        let EditRule { edits, observe, .. } = edits.rules.get(*rule)?;
        match edits.get(*number)? {
            Edit::Seal(seal) if seal.way == way => Some((*rule, *observe, seal)),
            _ => None,
        }
    })
}

struct Splice<'s, 'm> {
    marks: &'s mut Marks<'m>,
    /// Made when it is needed.
    sealing: &'s mut Option<Sealing>,
    passes: &'s mut (Vec<u8>, Vec<u8>),
}

impl Splice<'_, '_> {
    /// Writes over `out` what becomes of `text` when the edits of these paths work on what they found.
    fn run(
        &mut self,
        text: &str,
        spans: &[Span],
        does: impl Fn(usize) -> bool,
        out: &mut Vec<u8>,
    ) -> Result<Spliced, SealError> {
        let edits = self.marks.edits;
        let bytes = text.as_bytes();
        let mut nested = false;
        out.clear();
        // Up to where the text is in `out`, as it was or edited.
        let mut done = 0;
        for here in spans.chunk_by(|a, b| (a.start, a.end) == (b.start, b.end)) {
            let Some(&Span { start, end, mut kind, .. }) = here.first() else { continue };
            let inside = start < done;
            let mut edited = false;
            let paths = here.iter().map(|span| span.path).filter(|path| does(*path));
            for &(rule, number) in paths.filter_map(|path| edits.masks.get(path)) {
                if !self.marks.is_selected(rule) {
                    continue;
                }
                let Some(EditRule { edits, observe, .. }) = edits.rules.get(rule) else { continue };
                let Some(edit) = edits.get(number) else { continue };
                nested |= inside && !observe && matches!(edit, Edit::Seal(seal) if seal.way == Way::Encrypt);
                let raw = if edited {
                    std::str::from_utf8(&self.passes.0).unwrap_or_default()
                } else {
                    text.get(start..end).unwrap_or_default()
                };
                self.passes.1.clear();
                let made = match edit {
                    Edit::Mask(_) if *observe || inside => {
                        self.marks.applies(rule);
                        None
                    }
                    Edit::Mask(mask) => {
                        self.marks.applies(rule);
                        Some(mask.how.mask_json(raw, kind, self.marks.text, &mut self.passes.1))
                    }
                    // one that stands within another is done again, alone: see `fields_one_by_one`
                    Edit::Seal(seal) => {
                        let topic = self.marks.topic;
                        let sealing = self.sealing.get_or_insert_default();
                        let did = edit_seal(seal, (raw, kind), topic, sealing, &mut self.passes.1)?;
                        match did {
                            Opened::Done => self.marks.applies(rule),
                            Opened::Not => self.marks.cannot_open(rule),
                            Opened::Plain => {}
                        }
                        // what was encrypted may be anything: who works on it looks again
                        let now = Kind::String { escaped: false };
                        (did == Opened::Done && !observe).then_some(now)
                    }
                    _ => None,
                };
                if let Some(now) = made {
                    kind = now;
                    std::mem::swap(&mut self.passes.0, &mut self.passes.1);
                    edited = true;
                }
            }
            if edited {
                out.extend_from_slice(bytes.get(done..start).unwrap_or_default());
                out.extend_from_slice(&self.passes.0);
                done = end;
            }
        }
        if done > 0 {
            out.extend_from_slice(bytes.get(done..).unwrap_or_default());
        }
        // A null stays null, a pattern may match nothing.
        Ok(Spliced { changed: done > 0 && out.as_slice() != bytes, nested })
    }
}

/// Encrypts or decrypts one field. `Plain`: there was nothing to do.
fn edit_seal(
    seal: &Seal,
    (raw, kind): (&str, Kind),
    topic: &str,
    sealing: &mut Sealing,
    out: &mut Vec<u8>,
) -> Result<Opened, SealError> {
    let is_string = matches!(kind, Kind::String { .. });
    match seal.way {
        // it holds nothing, as to a mask
        Way::Encrypt if kind == Kind::Null => Ok(Opened::Plain),
        Way::Encrypt => {
            let did = seal.seal_field((raw, is_string), topic, sealing, out)?;
            Ok(if did { Opened::Done } else { Opened::Plain })
        }
        Way::Decrypt if is_string => Ok(seal.open_field(raw, topic, sealing, out)),
        Way::Decrypt => Ok(Opened::Plain),
    }
}

//! What masks do to encoded values, whatever the encoding: who masks is asked while a value is walked, and what changes is put
//! between what stays, byte for byte.

use super::reader::{put_varint, put_zigzag};
use std::ops::Range;

/// Finds fields by paths, and says what becomes of them. Where the paths have got to is a set of bits; none: nothing is to be
/// found below.
pub trait Masker {
    fn start(&self) -> u64;
    /// Below a record, message or map.
    fn member(&self, places: u64, name: &[u8]) -> u64;
    /// Below a list.
    fn element(&self, places: u64, number: usize) -> u64;
    fn finds(&self, places: u64) -> bool;
    /// Whether it matters which number an element has.
    fn counts(&self) -> bool;
    /// `inside`: of something that is hidden as a whole already.
    fn mask(&mut self, places: u64, held: Held<'_>, inside: bool) -> Put;
    /// Of the last [`Put::Text`].
    fn text(&self) -> &str;
}

/// What is to be known of paths to hold them against a schema.
pub trait Paths: Masker {
    /// All that some name leads to.
    fn members(&self, places: u64) -> Vec<u64>;
    /// All that some number leads to.
    fn elements(&self, places: u64) -> Vec<u64>;
}

/// What a field holds, as far as masks work on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Held<'v> {
    Null,
    Text(&'v str),
    Bytes(&'v [u8]),
    /// What is no text and cannot become one: a number, a symbol, a list, a record.
    Other,
}

/// What a field becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It stays as it is.
    Kept,
    /// It is not there.
    Null,
    /// What its type has for nothing: 0, false, an empty list.
    Zero,
    /// [`Masker::text`], as the type writes it.
    Text,
    /// The mask has nothing for what is held.
    Impossible,
}

/// Looks for nothing.
pub(super) struct Nothing;

impl Masker for Nothing {
    fn start(&self) -> u64 {
        0
    }

    fn member(&self, _: u64, _: &[u8]) -> u64 {
        0
    }

    fn element(&self, _: u64, _: usize) -> u64 {
        0
    }

    fn finds(&self, _: u64) -> bool {
        false
    }

    fn counts(&self) -> bool {
        false
    }

    fn mask(&mut self, _: u64, _: Held<'_>, _: bool) -> Put {
        Put::Kept
    }

    fn text(&self) -> &str {
        ""
    }
}

/// What a value may grow by.
const GROWTH: usize = 4 * 1024 * 1024;

/// A value of which parts are replaced, front to back.
pub(super) struct Patch<'p> {
    source: &'p [u8],
    /// Up to where the source is in `out`, as it was or replaced.
    done: usize,
    out: &'p mut Vec<u8>,
}

/// A moment of a patch.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    done: usize,
    out: usize,
}

impl<'p> Patch<'p> {
    /// Over what was in `out`.
    pub fn new(source: &'p [u8], out: &'p mut Vec<u8>) -> Self {
        out.clear();
        Self { source, done: 0, out }
    }

    /// Takes bytes out; what is written to what is returned stands there instead.
    pub fn replace(&mut self, range: Range<usize>) -> &mut Vec<u8> {
        self.out.extend_from_slice(self.source.get(self.done..range.start).unwrap_or_default());
        self.done = range.end;
        self.out
    }

    /// Whether more came of it than anybody wants: masks of many short values make much of little.
    pub fn is_too_long(&self) -> bool {
        self.out.len() > self.source.len() + GROWTH
    }

    pub fn mark(&self) -> Mark {
        Mark { done: self.done, out: self.out.len() }
    }

    /// The length that `length` says of what is behind it, up to `end`, is made right again if anything changed there since `mark`,
    /// which was made before it.
    pub fn resize(&mut self, mark: Mark, length: Range<usize>, end: usize, zigzag: bool) {
        if self.done == mark.done {
            return;
        }
        self.replace(end..end);
        let at = mark.out + length.start.saturating_sub(mark.done);
        let size = self.out.len().saturating_sub(at + length.len());
        let mut number = Vec::with_capacity(10);
        match i64::try_from(size) {
            Ok(size) if zigzag => put_zigzag(size, &mut number),
            _ => put_varint(size as u64, &mut number),
        }
        drop(self.out.splice(at..at + length.len(), number));
    }

    /// False when nothing was replaced: then nothing is in `out`.
    pub fn finish(mut self) -> bool {
        let end = self.source.len();
        let changed = self.done > 0;
        if changed {
            self.replace(end..end);
        }
        changed
    }
}

/// The text of a UUID: 8, 4, 4, 4 and 12 hexadecimal digits.
pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == NO_UUID.len()
        && text.bytes().zip(NO_UUID.bytes()).all(|(byte, model)| match model {
            b'-' => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

pub(super) const NO_UUID: &str = "00000000-0000-0000-0000-000000000000";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_of_nothing_changed_nothing() {
        let mut out = b"of before".to_vec();
        assert!(!Patch::new(b"abc", &mut out).finish());
        assert_eq!(out, b"");
        let mut patch = Patch::new(b"abc", &mut out);
        patch.replace(1..2).extend_from_slice(b"--");
        assert!(patch.finish());
        assert_eq!(out, b"a--c");
    }

    #[test]
    fn a_uuid_has_its_dashes_in_their_places() {
        for (text, is) in [
            (NO_UUID, true),
            ("8b8f9f2e-0000-4000-8000-1234567890aB", true),
            ("8b8f9f2e-0000-4000-8000-1234567890ag", false),
            ("8b8f9f2e00000-4000-8000-1234567890ab", false),
            ("8b8f9f2-e0000-4000-8000-1234567890ab", false),
            ("8b8f9f2e-0000-4000-8000-1234567890a", false),
            ("", false),
        ] {
            assert_eq!(is_uuid(text), is, "{text}");
        }
    }
}

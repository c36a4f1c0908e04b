//! The pass over the text: a validating reader that carries the active states down.

use super::string::hex4;
use super::{Kind, Machine, Span, Unparsable};

/// Nesting beyond this is refused, as common readers do.
pub(super) const MAX_DEPTH: usize = 128;

/// One pass over a text. Positions are passed on and given back, so that they stay in registers; `None` is an error,
/// which is noted in `wrong`.
pub(super) struct Scan<'a, 'm> {
    text: &'a [u8],
    depth: usize,
    machine: &'m Machine,
    spans: &'m mut Vec<Span>,
    wrong: Unparsable,
}

impl<'a, 'm> Scan<'a, 'm> {
    pub(super) fn new(text: &'a [u8], machine: &'m Machine, spans: &'m mut Vec<Span>) -> Self {
        Self { text, depth: 0, machine, spans, wrong: Unparsable { at: 0, problem: "" } }
    }

    pub(super) fn document(mut self) -> Result<(), Unparsable> {
        let Some(end) = self.value(0, self.machine.start) else { return Err(self.wrong) };
        match self.token(end) {
            (_, None) => Ok(()),
            (at, Some(_)) => Err(Unparsable { at, problem: "something follows the value" }),
        }
    }

    #[cold]
    #[inline(never)]
    fn wrong<T>(&mut self, at: usize, problem: &'static str) -> Option<T> {
        self.wrong = Unparsable { at, problem };
        None
    }

    #[inline(always)]
    fn at(&self, pos: usize) -> Option<u8> {
        self.text.get(pos).copied()
    }

    /// The next byte that is no white space, and where it is.
    #[inline(always)]
    fn token(&self, mut pos: usize) -> (usize, Option<u8>) {
        loop {
            match self.at(pos) {
                Some(byte) if byte > b' ' => return (pos, Some(byte)),
                Some(b' ' | b'\t' | b'\n' | b'\r') => pos += 1,
                other => return (pos, other),
            }
        }
    }

    #[inline(always)]
    fn value(&mut self, pos: usize, active: u64) -> Option<usize> {
        let (start, first) = self.token(pos);
        let (end, kind) = match first {
            Some(b'"') => {
                let (end, escaped) = self.string(start)?;
                (end, Kind::String { escaped })
            }
            Some(b'-' | b'0'..=b'9') => (self.number(start)?, Kind::Number),
            Some(b'{') => (self.object(start, active)?, Kind::Object),
            Some(b'[') => (self.array(start, active)?, Kind::Array),
            Some(b't') => (self.word(start, b"true")?, Kind::Bool),
            Some(b'f') => (self.word(start, b"false")?, Kind::Bool),
            Some(b'n') => (self.word(start, b"null")?, Kind::Null),
            Some(_) => return self.wrong(start, "a value is expected"),
            None => return self.wrong(start, "the text ends before a value"),
        };
        let found = active & self.machine.accept;
        if found != 0 {
            self.found(found, start, end, kind);
        }
        Some(end)
    }

    #[inline(never)]
    fn found(&mut self, mut found: u64, start: usize, end: usize, kind: Kind) {
        while found != 0 {
            let state = found.trailing_zeros() as usize;
            let path = self.machine.paths.get(state).copied().unwrap_or_default();
            self.spans.push(Span { start, end, path, kind });
            found &= found - 1;
        }
    }

    #[inline(never)]
    fn object(&mut self, start: usize, active: u64) -> Option<usize> {
        self.enter(start)?;
        let (mut pos, mut next) = self.token(start + 1);
        if next != Some(b'}') {
            loop {
                if next != Some(b'"') {
                    return self.wrong(pos, "a member's name is expected");
                }
                let (end, escaped) = self.string(pos)?;
                let inside = if active == 0 {
                    0
                } else {
                    let name = self.text.get(pos + 1..end - 1).unwrap_or_default();
                    self.machine.below_member(active, name, escaped)
                };
                (pos, next) = self.token(end);
                if next != Some(b':') {
                    return self.wrong(pos, "`:` is expected");
                }
                pos = self.value(pos + 1, inside)?;
                (pos, next) = self.token(pos);
                match next {
                    Some(b',') => (pos, next) = self.token(pos + 1),
                    Some(b'}') => break,
                    _ => return self.wrong(pos, "`,` or `}` is expected"),
                }
            }
        }
        self.depth -= 1;
        Some(pos + 1)
    }

    #[inline(never)]
    fn array(&mut self, start: usize, active: u64) -> Option<usize> {
        self.enter(start)?;
        let (mut pos, mut next) = self.token(start + 1);
        if next != Some(b']') {
            let mut index = 0;
            loop {
                let inside = if active == 0 { 0 } else { self.machine.below_element(active, index) };
                index += 1;
                pos = self.value(pos, inside)?;
                (pos, next) = self.token(pos);
                match next {
                    Some(b',') => pos += 1,
                    Some(b']') => break,
                    _ => return self.wrong(pos, "`,` or `]` is expected"),
                }
            }
        }
        self.depth -= 1;
        Some(pos + 1)
    }

    fn enter(&mut self, pos: usize) -> Option<()> {
        if self.depth == MAX_DEPTH {
            return self.wrong(pos, "it is nested too deeply");
        }
        self.depth += 1;
        Some(())
    }

    /// Past the string whose first quote is at `pos`, and whether it has escapes.
    #[inline(always)]
    fn string(&mut self, pos: usize) -> Option<(usize, bool)> {
        let mut pos = pos + 1;
        let mut escaped = false;
        loop {
            // Eight bytes at a time up to the next quote, backslash or control character.
            while let Some(chunk) = self.text.get(pos..).and_then(|rest| rest.first_chunk::<8>()) {
                let special = special(u64::from_le_bytes(*chunk));
                pos += special as usize;
                if special < 8 {
                    break;
                }
            }
            match self.at(pos) {
                Some(b'"') => return Some((pos + 1, escaped)),
                Some(b'\\') => {
                    escaped = true;
                    pos = self.escape(pos)?;
                }
                Some(0..=0x1f) => return self.wrong(pos, "a control character stands in a string"),
                // Only in the last bytes of the text, which make no chunk.
                Some(_) => pos += 1,
                None => return self.wrong(pos, "the text ends inside a string"),
            }
        }
    }

    /// Past an escape; surrogates must come in pairs, or readers disagree on what is meant.
    #[inline(never)]
    fn escape(&mut self, pos: usize) -> Option<usize> {
        match self.at(pos + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Some(pos + 2),
            Some(b'u') => match hex4(self.text, pos + 2) {
                None => self.wrong(pos, "\\u takes four hexadecimal digits"),
                Some(0xd800..=0xdbff) => {
                    let low = self.text.get(pos + 6..).is_some_and(|rest| rest.starts_with(b"\\u"))
                        && matches!(hex4(self.text, pos + 8), Some(0xdc00..=0xdfff));
                    if low { Some(pos + 12) } else { self.wrong(pos, "half a surrogate pair") }
                }
                Some(0xdc00..=0xdfff) => self.wrong(pos, "half a surrogate pair"),
                Some(_) => Some(pos + 6),
            },
            _ => self.wrong(pos, "an unknown escape"),
        }
    }

    #[inline(always)]
    fn number(&mut self, start: usize) -> Option<usize> {
        let mut pos = start;
        if self.at(pos) == Some(b'-') {
            pos += 1;
        }
        let mut pos = match self.at(pos) {
            Some(b'0') => pos + 1,
            Some(b'1'..=b'9') => self.digits(pos + 1),
            _ => return self.wrong(pos, "a digit is expected"),
        };
        if self.at(pos) == Some(b'.') {
            pos = self.some_digits(pos + 1)?;
        }
        if matches!(self.at(pos), Some(b'e' | b'E')) {
            pos += 1;
            if matches!(self.at(pos), Some(b'+' | b'-')) {
                pos += 1;
            }
            pos = self.some_digits(pos)?;
        }
        Some(pos)
    }

    #[inline(always)]
    fn some_digits(&mut self, pos: usize) -> Option<usize> {
        match self.digits(pos) {
            end if end == pos => self.wrong(pos, "a digit is expected"),
            end => Some(end),
        }
    }

    #[inline(always)]
    fn digits(&self, mut pos: usize) -> usize {
        while matches!(self.at(pos), Some(b'0'..=b'9')) {
            pos += 1;
        }
        pos
    }

    #[inline(always)]
    fn word(&mut self, pos: usize, word: &[u8]) -> Option<usize> {
        if self.text.get(pos..).is_some_and(|rest| rest.starts_with(word)) {
            Some(pos + word.len())
        } else {
            self.wrong(pos, "a value is expected")
        }
    }
}

/// How many of these bytes, first byte lowest, come before the first quote, backslash or control character.
#[inline]
fn special(bytes: u64) -> u32 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // Marks bytes that are zero; bytes after the first such one may be marked falsely, the first never.
    let zero = |x: u64| x.wrapping_sub(ONES) & !x;
    let quote = zero(bytes ^ (ONES * b'"' as u64));
    let backslash = zero(bytes ^ (ONES * b'\\' as u64));
    let control = bytes.wrapping_sub(ONES * 0x20) & !bytes;
    ((quote | backslash | control) & HIGH).trailing_zeros() / 8
}

#[cfg(test)]
mod tests {
    use super::special;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_special_byte_is_found(bytes: [u8; 8]) {
            let slow = bytes.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20).unwrap_or(8);
            prop_assert_eq!(special(u64::from_le_bytes(bytes)) as usize, slow);
        }
    }
}

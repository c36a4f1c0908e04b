//! The pass over the text: a validating reader that carries the active states down.

use super::string::hex4;
use super::{Kind, Machine, Span, Unparsable};

/// Nesting beyond this is refused, as common readers do.
pub(super) const MAX_DEPTH: usize = 128;

/// One pass over a text.
pub(super) struct Scan<'a, 'm> {
    text: &'a [u8],
    pos: usize,
    depth: usize,
    machine: &'m Machine,
    spans: &'m mut Vec<Span>,
}

pub(super) type Scanned<T> = Result<T, Unparsable>;

impl<'a, 'm> Scan<'a, 'm> {
    pub(super) fn new(text: &'a [u8], machine: &'m Machine, spans: &'m mut Vec<Span>) -> Self {
        Self { text, pos: 0, depth: 0, machine, spans }
    }

    pub(super) fn document(&mut self) -> Scanned<()> {
        self.value(self.machine.start)?;
        match self.token() {
            None => Ok(()),
            Some(_) => self.wrong("something follows the value"),
        }
    }

    #[cold]
    fn wrong<T>(&self, problem: &'static str) -> Scanned<T> {
        Err(Unparsable { at: self.pos.min(self.text.len()), problem })
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.get(self.pos).copied()
    }

    /// The next byte that is no white space.
    #[inline]
    fn token(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.pos += 1,
                other => return other,
            }
        }
    }

    #[inline]
    fn value(&mut self, active: u64) -> Scanned<()> {
        let first = self.token();
        let start = self.pos;
        let kind = match first {
            Some(b'"') => Kind::String { escaped: self.string()? },
            Some(b'{') => self.object(active)?,
            Some(b'[') => self.array(active)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word(b"true", Kind::Bool)?,
            Some(b'f') => self.word(b"false", Kind::Bool)?,
            Some(b'n') => self.word(b"null", Kind::Null)?,
            Some(_) => return self.wrong("a value is expected"),
            None => return self.wrong("the text ends before a value"),
        };
        let mut found = active & self.machine.accept;
        while found != 0 {
            let state = found.trailing_zeros() as usize;
            let path = self.machine.paths.get(state).copied().unwrap_or_default();
            self.spans.push(Span { start, end: self.pos, path, kind });
            found &= found - 1;
        }
        Ok(())
    }

    fn object(&mut self, active: u64) -> Scanned<Kind> {
        self.enter()?;
        let mut next = self.token();
        if next == Some(b'}') {
            return self.leave(Kind::Object);
        }
        loop {
            if next != Some(b'"') {
                return self.wrong("a member's name is expected");
            }
            let start = self.pos + 1;
            let escaped = self.string()?;
            let inside = if active == 0 {
                0
            } else {
                let name = self.text.get(start..self.pos - 1).unwrap_or_default();
                self.machine.below_member(active, name, escaped)
            };
            if self.token() != Some(b':') {
                return self.wrong("`:` is expected");
            }
            self.pos += 1;
            self.value(inside)?;
            match self.token() {
                Some(b',') => self.pos += 1,
                Some(b'}') => return self.leave(Kind::Object),
                _ => return self.wrong("`,` or `}` is expected"),
            }
            next = self.token();
        }
    }

    fn array(&mut self, active: u64) -> Scanned<Kind> {
        self.enter()?;
        if self.token() == Some(b']') {
            return self.leave(Kind::Array);
        }
        let mut index = 0;
        loop {
            let inside = if active == 0 { 0 } else { self.machine.below_element(active, index) };
            self.value(inside)?;
            index += 1;
            match self.token() {
                Some(b',') => self.pos += 1,
                Some(b']') => return self.leave(Kind::Array),
                _ => return self.wrong("`,` or `]` is expected"),
            }
        }
    }

    fn enter(&mut self) -> Scanned<()> {
        if self.depth == MAX_DEPTH {
            return self.wrong("it is nested too deeply");
        }
        self.depth += 1;
        self.pos += 1;
        Ok(())
    }

    fn leave(&mut self, kind: Kind) -> Scanned<Kind> {
        self.depth -= 1;
        self.pos += 1;
        Ok(kind)
    }

    /// Past a string that starts here. Says whether it has escapes.
    #[inline]
    fn string(&mut self) -> Scanned<bool> {
        self.pos += 1;
        let mut escaped = false;
        loop {
            // Eight bytes at a time up to the next quote, backslash or control character.
            while let Some(chunk) = self.text.get(self.pos..).and_then(|rest| rest.first_chunk::<8>()) {
                let special = special(u64::from_le_bytes(*chunk));
                self.pos += special as usize;
                if special < 8 {
                    break;
                }
            }
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(0..=0x1f) => return self.wrong("a control character stands in a string"),
                // Only in the last bytes of the text, which make no chunk.
                Some(_) => self.pos += 1,
                None => return self.wrong("the text ends inside a string"),
            }
        }
    }

    /// Past an escape; surrogates must come in pairs, or readers disagree on what is meant.
    fn escape(&mut self) -> Scanned<()> {
        match self.text.get(self.pos + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.pos += 2,
            Some(b'u') => {
                let Some(unit) = hex4(self.text, self.pos + 2) else {
                    return self.wrong("\\u takes four hexadecimal digits");
                };
                self.pos += 6;
                match unit {
                    0xd800..=0xdbff => {
                        let paired = self.text.get(self.pos..).is_some_and(|rest| rest.starts_with(b"\\u"))
                            && matches!(hex4(self.text, self.pos + 2), Some(0xdc00..=0xdfff));
                        if !paired {
                            return self.wrong("half a surrogate pair");
                        }
                        self.pos += 6;
                    }
                    0xdc00..=0xdfff => return self.wrong("half a surrogate pair"),
                    _ => {}
                }
            }
            _ => return self.wrong("an unknown escape"),
        }
        Ok(())
    }

    fn number(&mut self) -> Scanned<Kind> {
        if self.peek() == Some(b'-') {
            self.pos += 1;
        }
        match self.peek() {
            Some(b'0') => self.pos += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return self.wrong("a digit is expected"),
        }
        if self.peek() == Some(b'.') {
            self.pos += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.pos += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.pos += 1;
            }
            self.some_digits()?;
        }
        Ok(Kind::Number)
    }

    fn some_digits(&mut self) -> Scanned<()> {
        let before = self.pos;
        self.digits();
        if self.pos == before { self.wrong("a digit is expected") } else { Ok(()) }
    }

    #[inline]
    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.pos += 1;
        }
    }

    fn word(&mut self, word: &[u8], kind: Kind) -> Scanned<Kind> {
        if !self.text.get(self.pos..).is_some_and(|rest| rest.starts_with(word)) {
            return self.wrong("a value is expected");
        }
        self.pos += word.len();
        Ok(kind)
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

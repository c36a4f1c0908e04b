//! JSON strings and the texts they stand for.

use std::borrow::Cow;

/// What the string `raw`, in its quotes, says.
pub(in crate::policy::action) fn string_content(raw: &str, escaped: bool) -> Cow<'_, str> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    if escaped { Cow::Owned(unescape(inner)) } else { Cow::Borrowed(inner) }
}

/// The text that `inner`, the valid inside of a string, stands for.
pub(super) fn unescape(inner: &str) -> String {
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find('\\') {
        out.push_str(rest.get(..at).unwrap_or_default());
        let bytes = rest.as_bytes();
        let mut end = at + 2;
        match bytes.get(at + 1) {
            Some(b'b') => out.push('\u{8}'),
            Some(b'f') => out.push('\u{c}'),
            Some(b'n') => out.push('\n'),
            Some(b'r') => out.push('\r'),
            Some(b't') => out.push('\t'),
            Some(b'u') => {
                let mut code = hex4(bytes, at + 2).unwrap_or(0xfffd);
                end = at + 6;
                if (0xd800..0xdc00).contains(&code) {
                    let low = hex4(bytes, at + 8).unwrap_or(0xdc00);
                    code = 0x1_0000 + ((code - 0xd800) << 10) + low.wrapping_sub(0xdc00);
                    end = at + 12;
                }
                out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(&other) => out.push(char::from(other)),
            None => {}
        }
        rest = rest.get(end..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

/// Appends `text` as a JSON string.
pub(in crate::policy::action) fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    write_escaped(out, text);
    out.push(b'"');
}

/// Appends `text` as it stands inside a JSON string.
fn write_escaped(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..=0x1f => 0,
            _ => continue,
        };
        out.extend_from_slice(text.as_bytes().get(plain..at).unwrap_or_default());
        plain = at + 1;
        if short == 0 {
            let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&digits);
        } else {
            out.extend_from_slice(&[b'\\', short]);
        }
    }
    out.extend_from_slice(text.as_bytes().get(plain..).unwrap_or_default());
}

/// The number that four hexadecimal digits at `at` make.
pub(super) fn hex4(text: &[u8], at: usize) -> Option<u32> {
    text.get(at..)?.first_chunk::<4>()?.iter().try_fold(0, |n, &byte| {
        let digit = char::from(byte).to_digit(16)?;
        Some(n << 4 | digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is masked goes on as JSON, whatever is in it.
    #[test]
    fn every_character_is_written_so_that_readers_find_it_again() {
        for c in ('\0'..='\u{a0}').chain("é€😀\u{2028}\u{fffd}".chars()) {
            let text = format!("a{c}b");
            let mut out = Vec::new();
            write_string(&mut out, &text);
            let json = String::from_utf8(out).unwrap();
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text, "{json}");
            assert_eq!(string_content(&json, json.contains('\\')), text, "{json}");
        }
        let mut out = Vec::new();
        write_string(&mut out, "\n\r\t\u{1b}\"\\");
        assert_eq!(String::from_utf8(out).unwrap(), r#""\n\r\t\u001b\"\\""#, "as short as JSON has it");
    }
}

//! How a value is made unreadable.
//!
//! | how | a string | a number | true, false | an array, an object |
//! |---|---|---|---|---|
//! | `all` | `****` | `****` | `****` | `****` |
//! | `email` | `a**@example.com`; `****` if it is none | `****` | `****` | `****` |
//! | `keep_first(n)` `keep_last(n)` | the others become `*`; `****` if it has no more than n | the same on its digits, as a string | `****` | `****` |
//! | `hash(key)` | HMAC-SHA256 of its text, in hexadecimal | of its digits | of the word | of its text as written |
//! | `replace(text)` | the text | the text | the text | the text |
//! | `pattern(regex, text)` | each match becomes the text (`$1`: a group) | the same on its digits, as a string | `****` | `****` |
//! | `to_null()` | `null` | `null` | `null` | `null` |
//!
//! JSON's `null` and Kafka's null hold nothing and stay null. A mask that does not know what to do with a value hides
//! it whole: nothing passes because it is not a string, too short, or no e-mail address. Characters are counted, not bytes.
//! In Avro and Protobuf a field keeps its type: text and bytes are masked as strings here; of what is neither, `all` leaves what the type has for
//! nothing (0, false, an empty list), `replace(text)` what the text says in the type, `to_null()` null where there is one. Nothing else is
//! possible there, which is told when the policy is loaded.
//! Keys and headers are masked as strings; what is not UTF-8 in them becomes `****`, or its hash.

use std::fmt;

use hmac::{Hmac, Mac};
use regex::Regex;
use sha2::Sha256;

use super::json::{self, Kind};
use crate::policy::schema::{Held, Put};
use crate::security::SecretBytes;

/// What stands for a value that is hidden whole: its length is hidden too.
const HIDDEN: &str = "****";

/// A way of masking, ready to be used on any thread.
#[derive(Debug, Clone)]
pub enum How {
    All,
    Email,
    KeepFirst(usize),
    KeepLast(usize),
    Hash(HashKey),
    Replace(String),
    Pattern { regex: Regex, text: String },
    ToNull,
}

/// The key of a `hash`, by its name: equal values under one key stay equal, and stay joinable.
#[derive(Clone)]
pub struct HashKey {
    name: String,
    /// Begun with the key, so that no record pays for it.
    mac: Hmac<Sha256>,
}

impl HashKey {
    pub fn new(name: impl Into<String>, key: &SecretBytes) -> Self {
        let mac = <Hmac<Sha256> as hmac::digest::KeyInit>::new_from_slice(key.expose());
        // HMAC takes keys of any length.
        let mac = mac.unwrap_or_else(|_| <Hmac<Sha256> as hmac::digest::KeyInit>::new(&Default::default()));
        Self { name: name.into(), mac }
    }

    fn hash(&self, bytes: &[u8], out: &mut String) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut mac = self.mac.clone();
        mac.update(bytes);
        for byte in mac.finalize().into_bytes() {
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HashKey({})", self.name)
    }
}

/// What a mask leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Masked {
    Null,
    Text,
}

/// How much of a value a mask can work on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Text,
    Digits,
    Opaque,
}

impl How {
    /// Appends to `out` the JSON that stands for the value `raw`, and says what kind it is. `scratch` is overwritten.
    pub fn mask_json(&self, raw: &str, kind: Kind, scratch: &mut String, out: &mut Vec<u8>) -> Kind {
        let masked = match kind {
            Kind::Null => Masked::Null,
            Kind::String { escaped } => {
                let text = json::string_content(raw, escaped);
                self.mask(&text, Shape::Text, scratch)
            }
            Kind::Number => self.mask(raw, Shape::Digits, scratch),
            Kind::Bool | Kind::Array | Kind::Object => self.mask(raw, Shape::Opaque, scratch),
        };
        match masked {
            Masked::Null => {
                out.extend_from_slice(b"null");
                Kind::Null
            }
            Masked::Text => {
                let before = out.len();
                json::write_string(out, scratch);
                // Two quotes more is what a string without escapes takes.
                Kind::String { escaped: out.len() - before != scratch.len() + 2 }
            }
        }
    }

    /// The bytes of a key or header, masked as text; `None` is null. What is returned borrows `scratch`.
    pub fn mask_bytes<'s>(&self, bytes: &[u8], scratch: &'s mut String) -> Option<&'s [u8]> {
        match self.mask_any(bytes, scratch) {
            Masked::Null => None,
            Masked::Text => Some(scratch.as_bytes()),
        }
    }

    fn mask_any(&self, bytes: &[u8], scratch: &mut String) -> Masked {
        match (std::str::from_utf8(bytes), self) {
            (Ok(text), _) => self.mask(text, Shape::Text, scratch),
            (Err(_), Self::Hash(key)) => {
                scratch.clear();
                key.hash(bytes, scratch);
                Masked::Text
            }
            (Err(_), _) => self.mask("", Shape::Opaque, scratch),
        }
    }

    /// What stands for a field of a type that it must keep. `scratch` is overwritten: it is the text, if one does.
    pub fn mask_held(&self, held: Held<'_>, scratch: &mut String) -> Put {
        let of_bytes = |masked: Masked| if masked == Masked::Null { Put::Null } else { Put::Text };
        match (held, self) {
            (Held::Null, _) => Put::Kept,
            (Held::Text(text), _) => of_bytes(self.mask(text, Shape::Text, scratch)),
            (Held::Bytes(bytes), _) => of_bytes(self.mask_any(bytes, scratch)),
            (Held::Other, Self::ToNull) => Put::Null,
            (Held::Other, Self::All) => Put::Zero,
            (Held::Other, Self::Replace(text)) => {
                scratch.clear();
                scratch.push_str(text);
                Put::Text
            }
            (Held::Other, _) => Put::Impossible,
        }
    }

    /// Overwrites `out` with what stands for `text`.
    fn mask(&self, text: &str, shape: Shape, out: &mut String) -> Masked {
        out.clear();
        let shown = match self {
            Self::ToNull => return Masked::Null,
            Self::Hash(key) => {
                key.hash(text.as_bytes(), out);
                true
            }
            Self::Replace(replacement) => {
                out.push_str(replacement);
                true
            }
            Self::All => false,
            Self::Email => shape == Shape::Text && email(text, out),
            Self::KeepFirst(n) => shape != Shape::Opaque && keep_first(text, *n, out),
            Self::KeepLast(n) => shape != Shape::Opaque && keep_last(text, *n, out),
            Self::Pattern { regex, text: replacement } => {
                if shape != Shape::Opaque {
                    out.push_str(&regex.replace_all(text, replacement));
                }
                shape != Shape::Opaque
            }
        };
        if !shown {
            out.clear();
            out.push_str(HIDDEN);
        }
        Masked::Text
    }
}

fn stars(n: usize, out: &mut String) {
    out.extend(std::iter::repeat_n('*', n));
}

/// The first character and the domain: `a**@example.com`.
fn email(text: &str, out: &mut String) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    // What follows the last @ is shown, so it must be a domain and nothing else.
    let plain = |c: char| c.is_alphanumeric() || c == '.' || c == '-';
    if local.is_empty() || domain.is_empty() || !domain.chars().all(plain) {
        return false;
    }
    match local.chars().count() {
        1 => out.push('*'),
        n => {
            out.extend(local.chars().next());
            stars(n - 1, out);
        }
    }
    out.push('@');
    out.push_str(domain);
    true
}

fn keep_first(text: &str, n: usize, out: &mut String) -> bool {
    let Some((end, _)) = text.char_indices().nth(n) else { return false };
    let (shown, hidden) = text.split_at(end);
    out.push_str(shown);
    stars(hidden.chars().count(), out);
    true
}

fn keep_last(text: &str, n: usize, out: &mut String) -> bool {
    let count = text.chars().count();
    if count <= n {
        return false;
    }
    let hidden = count - n;
    let start = text.char_indices().nth(hidden).map_or(text.len(), |(at, _)| at);
    stars(hidden, out);
    out.push_str(text.get(start..).unwrap_or_default());
    true
}

/// As it is written in a policy; a key by its name.
impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Email => f.write_str("email"),
            Self::KeepFirst(n) => write!(f, "keep_first({n})"),
            Self::KeepLast(n) => write!(f, "keep_last({n})"),
            Self::Hash(key) => write!(f, "hash({})", key.name),
            Self::Replace(text) => write!(f, "replace({text})"),
            Self::Pattern { regex, text } => write!(f, "pattern({regex}, {text})"),
            Self::ToNull => f.write_str("to_null()"),
        }
    }
}

/// Equal ways are written equally.
impl PartialEq for How {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> HashKey {
        HashKey::new("pii", &SecretBytes::new(b"key".to_vec()))
    }

    fn masked(how: &How, raw: &str) -> String {
        let kind = match raw.as_bytes()[0] {
            b'"' => Kind::String { escaped: raw.contains('\\') },
            b'{' => Kind::Object,
            b'[' => Kind::Array,
            b't' | b'f' => Kind::Bool,
            b'n' => Kind::Null,
            _ => Kind::Number,
        };
        let mut out = b"before".to_vec();
        let kind = how.mask_json(raw, kind, &mut "old".to_owned(), &mut out);
        let out = String::from_utf8(out.split_off(6)).unwrap();
        match kind {
            Kind::Null => assert_eq!(out, "null"),
            Kind::String { escaped } => assert_eq!(escaped, out.contains('\\'), "{out}"),
            other => panic!("{other:?}"),
        }
        serde_json::from_str::<serde_json::Value>(&out).unwrap();
        out
    }

    #[test]
    fn each_way_on_each_kind() {
        let pattern = How::Pattern { regex: Regex::new(r"(\d)\d").unwrap(), text: "${1}#".to_owned() };
        for (how, raw, expected) in [
            (How::All, r#""secret""#, r#""****""#),
            (How::All, r#""""#, r#""****""#),
            (How::All, "12", r#""****""#),
            (How::All, "true", r#""****""#),
            (How::All, "null", "null"),
            (How::All, r#"{"a":1}"#, r#""****""#),
            (How::All, "[1]", r#""****""#),
            (How::Email, r#""ada@example.com""#, r#""a**@example.com""#),
            (How::Email, r#""a@example.com""#, r#""*@example.com""#),
            (How::Email, r#""äöü@exämple.com""#, r#""ä**@exämple.com""#),
            (How::Email, r#""\u0061da@example.com""#, r#""a**@example.com""#),
            (How::Email, r#""ada.example.com""#, r#""****""#),
            (How::Email, r#""@example.com""#, r#""****""#),
            (How::Email, r#""ada@""#, r#""****""#),
            (How::Email, r#""ada@home, the secret""#, r#""****""#),
            (How::Email, r#""a@b@c.d""#, r#""a**@c.d""#),
            (How::Email, "5", r#""****""#),
            (How::KeepFirst(2), r#""secret""#, r#""se****""#),
            (How::KeepFirst(2), r#""ab""#, r#""****""#),
            (How::KeepFirst(2), r#""😀é\n\"""#, r#""😀é**""#),
            (How::KeepFirst(3), r#""\n\"x\u0001y""#, r#""\n\"x**""#),
            (How::KeepFirst(0), r#""abc""#, r#""***""#),
            (How::KeepLast(4), r#""4111111111111111""#, r#""************1111""#),
            (How::KeepLast(4), "4111111111111111", r#""************1111""#),
            (How::KeepLast(4), "1234", r#""****""#),
            (How::KeepLast(2), "-1.25", r#""***25""#),
            (How::KeepLast(1), r#""aé""#, r#""*é""#),
            (How::KeepLast(4), "true", r#""****""#),
            (How::KeepLast(4), r#"["x","longer"]"#, r#""****""#),
            (How::KeepLast(usize::MAX), r#""abc""#, r#""****""#),
            (How::Replace("<\"gone\">".into()), r#""x""#, r#""<\"gone\">""#),
            (How::Replace("gone".into()), "[]", r#""gone""#),
            (How::Replace("gone".into()), "null", "null"),
            (pattern.clone(), r#""12-34x""#, r#""1#-3#x""#),
            (pattern.clone(), "1234", r#""1#3#""#),
            (pattern, r#"{"a":1234}"#, r#""****""#),
            (How::ToNull, r#""x""#, "null"),
            (How::ToNull, "{}", "null"),
        ] {
            assert_eq!(masked(&how, raw), expected, "{how} of {raw}");
        }
    }

    #[test]
    fn hashes_join_and_do_not_leak() {
        let how = How::Hash(key());
        // RFC 2104's construction over SHA-256, computed by another implementation.
        let known = "\"f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8\"";
        assert_eq!(masked(&how, r#""The quick brown fox jumps over the lazy dog""#), known);
        assert_eq!(masked(&how, r#""\u0054he quick brown fox jumps over the lazy dog""#), known);
        assert_eq!(masked(&how, "12"), masked(&how, r#""12""#));
        assert_ne!(masked(&how, "12"), masked(&how, "13"));
        assert_eq!(masked(&how, "null"), "null");
        let other = How::Hash(HashKey::new("other", &SecretBytes::new(b"another".to_vec())));
        assert_ne!(masked(&how, "12"), masked(&other, "12"));
        assert_eq!(format!("{how:?} {how}"), "Hash(HashKey(pii)) hash(pii)");
    }

    #[test]
    fn keys_and_headers_are_text() {
        let mask = |how: &How, bytes: &[u8]| {
            let mut scratch = "old".to_owned();
            how.mask_bytes(bytes, &mut scratch).map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
        };
        assert_eq!(mask(&How::Email, b"ada@example.com").as_deref(), Some("a**@example.com"));
        assert_eq!(mask(&How::KeepLast(2), "größe".as_bytes()).as_deref(), Some("***ße"));
        // A key that looks like JSON is not read as such.
        assert_eq!(mask(&How::KeepFirst(1), b"\"x\"").as_deref(), Some("\"**"));
        assert_eq!(mask(&How::ToNull, b"x"), None);
        for how in [How::All, How::Email, How::KeepFirst(1), How::KeepLast(1)] {
            assert_eq!(mask(&how, b"\xff\xfe\xfd").as_deref(), Some("****"), "{how}");
        }
        let pattern = How::Pattern { regex: Regex::new("nothing").unwrap(), text: String::new() };
        assert_eq!(mask(&pattern, b"\xff").as_deref(), Some("****"));
        assert_eq!(mask(&How::Hash(key()), b"\xff").map(|hash| hash.len()), Some(64));
    }

    #[test]
    fn ways_are_equal_when_they_are_written_equally() {
        let pattern = |regex: &str, text: &str| How::Pattern {
            regex: Regex::new(regex).unwrap(),
            text: text.to_owned(),
        };
        let hash = |name: &str| How::Hash(HashKey::new(name, &SecretBytes::new(b"key".to_vec())));
        let ways = || {
            [
                How::All,
                How::Email,
                How::KeepFirst(1),
                How::KeepFirst(2),
                How::KeepLast(1),
                hash("a"),
                hash("b"),
                How::Replace("x".to_owned()),
                How::Replace("y".to_owned()),
                pattern("x", ""),
                pattern("y", ""),
                pattern("x", "#"),
                How::ToNull,
            ]
        };
        for (a, one) in ways().iter().enumerate() {
            for (b, other) in ways().iter().enumerate() {
                assert_eq!(one == other, a == b, "{one} {other}");
            }
        }
    }
}

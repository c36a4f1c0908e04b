//! The value types of Kafka's schemas that Rust has no type of its own for.

use base64::Engine;
use bytes::Bytes;
use std::{borrow::Borrow, fmt, ops::Deref};

/// UTF-8 text that shares the frame it was read from.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Str(Bytes);

impl Str {
    pub const fn from_static(text: &'static str) -> Self {
        Str(Bytes::from_static(text.as_bytes()))
    }

    /// Checks that `bytes` is UTF-8.
    pub fn from_utf8(bytes: Bytes) -> Result<Self, std::str::Utf8Error> {
        std::str::from_utf8(&bytes)?;
        Ok(Str(bytes))
    }

    pub fn as_str(&self) -> &str {
        // Checked by every constructor; a failed check would yield an empty name rather than a panic.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The underlying bytes, shareable without a copy.
    pub fn shared(&self) -> &Bytes {
        &self.0
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same text in memory of its own: what outlives a request must not keep the request's frame alive.
    pub fn detached(&self) -> Str {
        Str(Bytes::copy_from_slice(&self.0))
    }
}

impl Deref for Str {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}
impl Borrow<[u8]> for Str {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}
impl AsRef<str> for Str {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}
impl From<&str> for Str {
    fn from(text: &str) -> Self {
        Str(Bytes::copy_from_slice(text.as_bytes()))
    }
}
impl From<String> for Str {
    fn from(text: String) -> Self {
        Str(Bytes::from(text))
    }
}
impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}
impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}
impl fmt::Display for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A topic id or other 128-bit id (KIP-516). Shown as Kafka shows it: URL-safe base64 without padding.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    pub const ZERO: Uuid = Uuid([0; 16]);

    /// Kafka's reserved id of the metadata topic, never given to a topic.
    pub const ONE: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    pub fn is_zero(&self) -> bool {
        *self == Uuid::ZERO
    }

    /// A random version 4 id that is neither reserved nor shown with a leading dash (so that it can be typed as an argument).
    pub fn random() -> Uuid {
        loop {
            let mut id = [0u8; 16];
            // Without the system's randomness no process could even start its hash maps.
            if getrandom::fill(&mut id).is_err() {
                continue;
            }
            id[6] = (id[6] & 0x0f) | 0x40;
            id[8] = (id[8] & 0x3f) | 0x80;
            let id = Uuid(id);
            if id != Uuid::ZERO && id != Uuid::ONE && !id.to_string().starts_with('-') {
                return id;
            }
        }
    }

    pub fn parse(text: &str) -> Option<Uuid> {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Uuid(bytes.try_into().ok()?))
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; 22];
        match base64::engine::general_purpose::URL_SAFE_NO_PAD.encode_slice(self.0, &mut text) {
            Ok(n) => f.pad(std::str::from_utf8(&text[..n]).unwrap_or_default()),
            Err(_) => Err(fmt::Error),
        }
    }
}
impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes that no log line may show: passwords and proofs of SASL exchanges.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Sensitive(pub Bytes);

impl fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes not shown]", self.0.len())
    }
}

/// Tagged fields (KIP-482) this crate does not know, kept in tag order so that a rewrite loses none.
#[derive(Clone, Default, PartialEq, Eq)]
#[allow(clippy::box_collection, reason = "a null pointer in nearly every struct: eight bytes instead of 24")]
pub struct Tags(Option<Box<Vec<(u32, Bytes)>>>);

impl Tags {
    pub fn push(&mut self, tag: u32, data: Bytes) {
        self.0.get_or_insert_default().push((tag, data));
    }

    pub fn as_slice(&self) -> &[(u32, Bytes)] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }

    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }
}

impl From<Vec<(u32, Bytes)>> for Tags {
    fn from(tags: Vec<(u32, Bytes)>) -> Self {
        Tags((!tags.is_empty()).then(|| Box::new(tags)))
    }
}

impl fmt::Debug for Tags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_slice().iter().map(|(tag, data)| (tag, data.len()))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_is_shown_as_kafka_shows_it() {
        assert_eq!(Uuid::ZERO.to_string(), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(Uuid::ONE.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        let id = Uuid::random();
        assert_eq!(Uuid::parse(&id.to_string()), Some(id));
        assert_eq!(Uuid::parse("short"), None);
    }

    #[test]
    fn sensitive_bytes_are_not_shown() {
        assert!(!format!("{:?}", Sensitive(Bytes::from_static(b"hunter2"))).contains("hunter2"));
    }
}

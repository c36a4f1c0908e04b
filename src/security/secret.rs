//! Values that must not be printed, logged or compared in a way that tells how far they agree.
//!
//! Neither type implements `Display`; `Debug` shows that something is there and nothing about it, not even its
//! length. Dropping overwrites the buffer as far as safe Rust allows: a copy the optimiser or an earlier
//! reallocation left behind is out of reach, so build a secret at its final size.

use std::fmt;
use std::hint::black_box;
use std::io::{self, Read};

use subtle::ConstantTimeEq;

/// Longest secret read from a file, in bytes.
pub const MAX_SECRET_FILE_BYTES: u64 = 64 * 1024;

/// Secret bytes: a key, a derived hash.
#[derive(Clone, Default)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// That many bytes from the operating system's generator.
    pub fn random(length: usize) -> Result<Self, NoRandomness> {
        let mut bytes = vec![0; length];
        fill_random(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Reads a whole secret and drops one line ending at its end, as `echo secret > file` leaves it.
    pub fn read_from(source: impl Read) -> io::Result<Self> {
        // Reserved at once: growing would leave copies of the secret in freed memory.
        let mut bytes = Vec::with_capacity(MAX_SECRET_FILE_BYTES as usize + 1);
        source.take(MAX_SECRET_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        let mut secret = Self(bytes);
        if secret.0.len() as u64 > MAX_SECRET_FILE_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the secret is longer than 64 KiB"));
        }
        if secret.0.last() == Some(&b'\n') {
            secret.0.pop();
            if secret.0.last() == Some(&b'\r') {
                secret.0.pop();
            }
        }
        Ok(secret)
    }

    /// The bytes themselves. Every call of this is a place to look at in a review.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Equality in a time that depends on the lengths only.
    pub fn ct_eq(&self, other: &[u8]) -> bool {
        self.0.as_slice().ct_eq(other).into()
    }

    /// The same secret as text, or nothing when it is not UTF-8.
    pub fn into_text(mut self) -> Option<SecretString> {
        let bytes = std::mem::take(&mut self.0);
        match String::from_utf8(bytes) {
            Ok(text) => Some(SecretString(text)),
            Err(e) => {
                drop(Self(e.into_bytes()));
                None
            }
        }
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

/// Secret text: a password.
#[derive(Clone, Default)]
pub struct SecretString(String);

impl SecretString {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself. Every call of this is a place to look at in a review.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Equality in a time that depends on the lengths only.
    pub fn ct_eq(&self, other: &str) -> bool {
        self.0.as_bytes().ct_eq(other.as_bytes()).into()
    }
}

impl Drop for SecretString {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        wipe(&mut bytes);
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretString(..)")
    }
}

/// The operating system has no random bytes to give: nothing that needs a key may go on.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the operating system gives no random bytes: {0}")]
pub struct NoRandomness(getrandom::Error);

/// Fills `bytes` from the operating system's generator.
pub fn fill_random(bytes: &mut [u8]) -> Result<(), NoRandomness> {
    getrandom::fill(bytes).map_err(NoRandomness)
}

/// `black_box` keeps the stores: without it they are dead and may be removed.
fn wipe(bytes: &mut Vec<u8>) {
    bytes.fill(0);
    black_box(bytes.as_slice());
    bytes.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_the_secret() {
        let bytes = SecretBytes::new(b"hunter2".to_vec());
        let text = SecretString::new("hunter2".into());
        assert_eq!(format!("{bytes:?} {bytes:#?}"), "SecretBytes(..) SecretBytes(..)");
        assert_eq!(format!("{text:?}"), "SecretString(..)");
        assert_eq!(format!("{:?}", SecretBytes::default()), "SecretBytes(..)");
    }

    #[test]
    fn equality_is_that_of_the_bytes() {
        let secret = SecretBytes::new(b"abc".to_vec());
        assert!(secret.ct_eq(b"abc"));
        assert!(!secret.ct_eq(b"abd"));
        assert!(!secret.ct_eq(b"ab"));
        assert!(SecretString::new("abc".into()).ct_eq("abc"));
        assert!(!SecretString::new("abc".into()).ct_eq("abcd"));
    }

    #[test]
    fn reading_drops_one_line_ending_only() {
        let read = |input: &[u8]| SecretBytes::read_from(input).unwrap().expose().to_vec();
        assert_eq!(read(b"pw\n"), b"pw");
        assert_eq!(read(b"pw\r\n"), b"pw");
        assert_eq!(read(b"pw\n\n"), b"pw\n");
        assert_eq!(read(b" pw "), b" pw ");
        assert_eq!(read(b""), b"");
    }

    #[test]
    fn an_endless_file_is_refused_not_read() {
        assert!(SecretBytes::read_from(io::repeat(b'x')).is_err());
    }

    #[test]
    fn text_must_be_utf8() {
        assert!(SecretBytes::new(vec![0xff]).into_text().is_none());
        assert_eq!(SecretBytes::new(b"pw".to_vec()).into_text().unwrap().expose(), "pw");
    }

    #[test]
    fn random_secrets_differ() {
        let one = SecretBytes::random(32).unwrap();
        let two = SecretBytes::random(32).unwrap();
        assert_eq!(one.expose().len(), 32);
        assert!(!one.ct_eq(two.expose()));
    }
}

//! Encryption of fields and whole values: AES-256-GCM under a key that policies name.
//!
//! A field becomes the JSON string `tg1:<key id>:<base64url of nonce, ciphertext, tag>`, whatever it was; a whole value the
//! bytes [`MAGIC`], one byte with the length of the key id, the key id, nonce, ciphertext, tag. The nonce is 12 random bytes, the
//! tag 16. What is authenticated besides names the topic and the path, as the policy writes it: what is moved to another
//! topic or another field is not opened. Of elements that one path finds (`$.cards[*]`) none can be told from another.
//!
//! With random nonces a key is good for about 2^32 fields (NIST SP 800-38D, 8.3); then it wants a successor. The first key of
//! a list encrypts, whichever is named decrypts.

use std::fmt;

use aes_gcm::aead::AeadInPlace;
use aes_gcm::{Aes256Gcm, Key as AesKey, KeyInit, Nonce, Tag};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::edit::OnUnparsable;
use super::json::string_content;
use super::path::{Path, To};
use crate::policy::secrets::SealKey;
use std::sync::Arc;

/// Begins a value that is encrypted as a whole. No text, no JSON and no value of a schema registry begins so.
pub const MAGIC: [u8; 4] = [0x89, b'T', b'G', 0x01];
/// Begins a field that is encrypted.
const FIELD: &str = "tg1:";
const NONCE: usize = 12;
const TAG: usize = 16;
/// Random bytes that are asked for at once: the system is slow to say few.
const DRAWN: usize = 341 * NONCE;

/// One encryption or decryption, as a rule has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Seal {
    pub way: Way,
    pub target: SealTarget,
    pub keys: Arc<Keyring>,
    /// What becomes of a value that cannot be parsed, and so not be encrypted. What cannot be decrypted stays as it is.
    pub on_unparsable: OnUnparsable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Encrypt,
    Decrypt,
}

/// What is encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SealTarget {
    /// What the path finds, each for itself.
    Field(Path),
    /// The value, whatever it is.
    Whole,
}

/// Keys by their ids, which are the names of their secrets.
pub struct Keyring(Vec<(String, Aes256Gcm)>);

/// Nothing was encrypted, and nothing may go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("the system has no random numbers: {0}")]
    NoRandomness(String),
    #[error("the value is too long to be encrypted")]
    TooLong,
}

/// What became of what should be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    /// It was not encrypted.
    Plain,
    /// It was put into the output.
    Done,
    /// Another key, another topic, another path, or not as it was written.
    Not,
}

/// Memory that goes from field to field.
pub(super) struct Sealing {
    buffer: Vec<u8>,
    aad: Vec<u8>,
    drawn: Box<[u8; DRAWN]>,
    used: usize,
}

impl Default for Sealing {
    fn default() -> Self {
        Self { buffer: Vec::new(), aad: Vec::new(), drawn: Box::new([0; DRAWN]), used: DRAWN }
    }
}

impl Sealing {
    fn nonce(&mut self) -> Result<[u8; NONCE], SealError> {
        if self.used >= DRAWN {
            getrandom::fill(&mut self.drawn[..])
                .map_err(|error| SealError::NoRandomness(error.to_string()))?;
            self.used = 0;
        }
        let nonce = self.drawn.get(self.used..).and_then(|rest| rest.first_chunk::<NONCE>()).copied();
        self.used += NONCE;
        nonce.ok_or_else(|| SealError::NoRandomness("too few".to_owned()))
    }

    /// Puts nonce, ciphertext and tag of `plain` into the buffer. What is authenticated besides is there already.
    fn encrypt(&mut self, cipher: &Aes256Gcm, plain: &[u8]) -> Result<(), SealError> {
        let nonce = self.nonce()?;
        self.buffer.clear();
        self.buffer.extend_from_slice(&nonce);
        self.buffer.extend_from_slice(plain);
        let body = self.buffer.get_mut(NONCE..).unwrap_or_default();
        let tag = cipher
            .encrypt_in_place_detached(&Nonce::from(nonce), &self.aad, body)
            .map_err(|_| SealError::TooLong)?;
        self.buffer.extend_from_slice(&tag);
        Ok(())
    }

    /// Decrypts the buffer; what is found is in it.
    fn decrypt(&mut self, cipher: &Aes256Gcm) -> Option<&[u8]> {
        let sealed = self.buffer.len().checked_sub(TAG)?;
        let (rest, tag) = self.buffer.split_at_mut_checked(sealed)?;
        let (nonce, body) = rest.split_at_mut_checked(NONCE)?;
        let nonce = Nonce::from(*nonce.first_chunk::<NONCE>()?);
        let tag = Tag::from(*tag.first_chunk::<TAG>()?);
        cipher.decrypt_in_place_detached(&nonce, &self.aad, body, &tag).ok()?;
        Some(body)
    }
}

impl Keyring {
    pub fn new(keys: impl IntoIterator<Item = (String, SealKey)>) -> Self {
        let cipher = |key: &SealKey| Aes256Gcm::new(<&AesKey<Aes256Gcm>>::from(key.expose()));
        Self(keys.into_iter().map(|(id, key)| (id, cipher(&key))).collect())
    }

    fn find(&self, id: &[u8]) -> Option<&Aes256Gcm> {
        self.0.iter().find(|(known, _)| known.as_bytes() == id).map(|(_, cipher)| cipher)
    }
}

impl Seal {
    /// Begins with what is authenticated besides: of which topic and which field it is.
    fn begin(&self, topic: &str, sealing: &mut Sealing) {
        let aad = &mut sealing.aad;
        let length = |text: &str| (text.len() as u64).to_be_bytes();
        aad.clear();
        aad.extend_from_slice(b"tollgate seal 1\0");
        aad.extend_from_slice(&length(topic));
        aad.extend_from_slice(topic.as_bytes());
        let SealTarget::Field(path) = &self.target else { return };
        for step in path.steps() {
            aad.push(if step.deep { b'.' } else { b'/' });
            match &step.to {
                To::Key(key) => {
                    aad.push(b'k');
                    aad.extend_from_slice(&length(key));
                    aad.extend_from_slice(key.as_bytes());
                }
                To::Index(index) => {
                    aad.push(b'i');
                    aad.extend_from_slice(&(*index as u64).to_be_bytes());
                }
                To::Any => aad.push(b'*'),
            }
        }
    }

    /// Appends the JSON string that stands for the JSON `raw`. False when that is such a string already, and nothing was done.
    pub(super) fn seal_field(
        &self,
        (raw, is_string): (&str, bool),
        topic: &str,
        sealing: &mut Sealing,
        out: &mut Vec<u8>,
    ) -> Result<bool, SealError> {
        // what only looks encrypted is not
        if is_string && self.reads_field(raw, topic, sealing) == Opened::Done {
            return Ok(false);
        }
        let Some((id, cipher)) = self.keys.0.first() else { return Err(SealError::TooLong) };
        self.begin(topic, sealing);
        sealing.encrypt(cipher, raw.as_bytes())?;
        out.push(b'"');
        out.extend_from_slice(FIELD.as_bytes());
        out.extend_from_slice(id.as_bytes());
        out.push(b':');
        let start = out.len();
        out.resize(start + sealing.buffer.len().div_ceil(3) * 4, 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let written = URL_SAFE_NO_PAD.encode_slice(&sealing.buffer, room).map_err(|_| SealError::TooLong)?;
        out.truncate(start + written);
        out.push(b'"');
        Ok(true)
    }

    /// Appends the JSON that the JSON string `raw` stands for.
    pub(super) fn open_field(
        &self,
        raw: &str,
        topic: &str,
        sealing: &mut Sealing,
        out: &mut Vec<u8>,
    ) -> Opened {
        let opened = self.reads_field(raw, topic, sealing);
        if opened == Opened::Done {
            let end = sealing.buffer.len().saturating_sub(TAG);
            out.extend_from_slice(sealing.buffer.get(NONCE..end).unwrap_or_default());
        }
        opened
    }

    /// Decrypts into the buffer.
    fn reads_field(&self, raw: &str, topic: &str, sealing: &mut Sealing) -> Opened {
        let text = string_content(raw, raw.contains('\\'));
        let Some(rest) = text.strip_prefix(FIELD) else { return Opened::Plain };
        let Some((id, body)) = rest.split_once(':') else { return Opened::Plain };
        let Some(cipher) = self.keys.find(id.as_bytes()) else { return Opened::Not };
        sealing.buffer.clear();
        if URL_SAFE_NO_PAD.decode_vec(body, &mut sealing.buffer).is_err() {
            return Opened::Not;
        }
        self.begin(topic, sealing);
        // what is put into JSON is text, and was JSON when it was encrypted
        match sealing.decrypt(cipher).is_some_and(|plain| std::str::from_utf8(plain).is_ok()) {
            true => Opened::Done,
            false => Opened::Not,
        }
    }

    /// Writes what stands for a whole value over `out`. False when it is encrypted already.
    pub(super) fn seal_whole(
        &self,
        value: &[u8],
        topic: &str,
        sealing: &mut Sealing,
        out: &mut Vec<u8>,
    ) -> Result<bool, SealError> {
        if self.open_whole(value, topic, sealing, out) == Opened::Done {
            return Ok(false);
        }
        let Some((id, cipher)) = self.keys.0.first() else { return Err(SealError::TooLong) };
        self.begin(topic, sealing);
        sealing.encrypt(cipher, value)?;
        out.clear();
        out.extend_from_slice(&MAGIC);
        out.push(u8::try_from(id.len()).map_err(|_| SealError::TooLong)?);
        out.extend_from_slice(id.as_bytes());
        out.extend_from_slice(&sealing.buffer);
        Ok(true)
    }

    /// Writes what a whole value stands for over `out`.
    pub(super) fn open_whole(
        &self,
        value: &[u8],
        topic: &str,
        sealing: &mut Sealing,
        out: &mut Vec<u8>,
    ) -> Opened {
        let Some((length, rest)) = value.strip_prefix(&MAGIC).and_then(<[u8]>::split_first) else {
            return Opened::Plain;
        };
        let Some((id, body)) = rest.split_at_checked(usize::from(*length)) else { return Opened::Not };
        let Some(cipher) = self.keys.find(id) else { return Opened::Not };
        sealing.buffer.clear();
        sealing.buffer.extend_from_slice(body);
        self.begin(topic, sealing);
        let Some(plain) = sealing.decrypt(cipher) else { return Opened::Not };
        out.clear();
        out.extend_from_slice(plain);
        Opened::Done
    }
}

/// By their ids: what they are is nobody's business.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keyring({self})")
    }
}

impl fmt::Display for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<&str> = self.0.iter().map(|(id, _)| id.as_str()).collect();
        f.write_str(&ids.join(", "))
    }
}

impl PartialEq for Keyring {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(|(id, _)| id).eq(other.0.iter().map(|(id, _)| id))
    }
}

impl fmt::Display for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.way == Way::Encrypt { "encrypt" } else { "decrypt" };
        match &self.target {
            SealTarget::Field(path) => write!(f, "{word}({path}, {})", self.keys)?,
            SealTarget::Whole => write!(f, "{word}($, {})", self.keys)?,
        }
        match self.on_unparsable {
            OnUnparsable::Empty => Ok(()),
            other => write!(f, ".on_unparsable({other:?})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len() / 2).map(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap()).collect()
    }

    fn keyring(ids: &[&str]) -> Arc<Keyring> {
        let secrets = crate::policy::secrets::Secrets::made_up();
        Arc::new(Keyring::new(ids.iter().map(|id| ((*id).to_owned(), secrets.seal_key(id).unwrap()))))
    }

    fn seal(path: &str, ids: &[&str]) -> Seal {
        let target = match path {
            "$" => SealTarget::Whole,
            path => SealTarget::Field(path.parse().unwrap()),
        };
        Seal { way: Way::Encrypt, target, keys: keyring(ids), on_unparsable: OnUnparsable::default() }
    }

    /// Test cases 14 and 16 of the GCM specification (McGrew, Viega), which NIST's validation uses too.
    #[test]
    fn the_primitive_is_aes_256_gcm() {
        for (key, nonce, aad, plain, sealed) in [
            (
                "0000000000000000000000000000000000000000000000000000000000000000",
                "000000000000000000000000",
                "",
                "00000000000000000000000000000000",
                "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
            ),
            (
                "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
                "cafebabefacedbaddecaf888",
                "feedfacedeadbeeffeedfacedeadbeefabaddad2",
                "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
                "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b",
            ),
        ] {
            let cipher = Aes256Gcm::new(AesKey::<Aes256Gcm>::from_slice(&bytes(key)));
            let mut sealing = Sealing { aad: bytes(aad), used: 0, ..Sealing::default() };
            sealing.drawn[..NONCE].copy_from_slice(&bytes(nonce));
            sealing.encrypt(&cipher, &bytes(plain)).unwrap();
            assert_eq!(sealing.buffer, [bytes(nonce), bytes(sealed)].concat());
            assert_eq!(sealing.decrypt(&cipher), Some(&*bytes(plain)));
        }
    }

    #[test]
    fn nonces_are_not_used_twice() {
        let mut sealing = Sealing::default();
        let nonces: std::collections::HashSet<_> = (0..2_000).map(|_| sealing.nonce().unwrap()).collect();
        assert_eq!(nonces.len(), 2_000);
    }

    #[test]
    fn what_is_sealed_belongs_to_its_topic_its_field_and_its_keys() {
        let sealing = &mut Sealing::default();
        let mut sealed = Vec::new();
        let card = seal("$.card", &["k1"]);
        assert!(card.seal_field(("\"4111\"", true), "orders", sealing, &mut sealed).unwrap());
        let sealed = String::from_utf8(sealed).unwrap();
        assert!(sealed.starts_with("\"tg1:k1:") && sealed.ends_with('"') && !sealed.contains("4111"));
        let mut opens = |seal: &Seal, topic: &str, text: &str| {
            let mut out = b"before".to_vec();
            let opened = seal.open_field(text, topic, sealing, &mut out);
            (opened, String::from_utf8(out.split_off(6)).unwrap())
        };
        let nothing = (Opened::Not, String::new());
        let plain = (Opened::Done, "\"4111\"".to_owned());
        assert_eq!(opens(&card, "orders", &sealed), plain);
        assert_eq!(opens(&seal("$['card']", &["k2", "k1"]), "orders", &sealed), plain, "after a rotation");
        assert_eq!(opens(&card, "order", &sealed), nothing);
        assert_eq!(opens(&seal("$.name", &["k1"]), "orders", &sealed), nothing);
        assert_eq!(opens(&seal("$..card", &["k1"]), "orders", &sealed), nothing);
        assert_eq!(opens(&seal("$.card", &["k2"]), "orders", &sealed), nothing);
        assert_eq!(opens(&seal("$.card", &["k2"]), "orders", &sealed.replace(":k1:", ":k2:")), nothing);
        assert_eq!(opens(&card, "orders", "\"tg1:k1:\""), nothing);
        assert_eq!(opens(&card, "orders", "\"tg1:k1:!\""), nothing);
        for other in ["\"4111\"", "4111", "\"tg1\"", "\"tg1:k1\"", "null"] {
            assert_eq!(opens(&card, "orders", other), (Opened::Plain, String::new()));
        }
        // every turned bit is seen
        let (head, body) = sealed.split_at(8);
        for at in 0..body.len() - 1 {
            for other in ["A", "B"] {
                let mut turned = body.to_owned();
                turned.replace_range(at..=at, other);
                let turned = format!("{head}{turned}");
                if turned != sealed {
                    assert_eq!(opens(&card, "orders", &turned), nothing, "{turned}");
                }
            }
        }
    }

    #[test]
    fn what_is_sealed_is_not_sealed_again_and_what_looks_so_is() {
        let sealing = &mut Sealing::default();
        let card = seal("$.card", &["k2", "k1"]);
        let (mut first, mut again) = (Vec::new(), Vec::new());
        assert!(seal("$.card", &["k1"]).seal_field(("5", false), "t", sealing, &mut first).unwrap());
        let sealed = String::from_utf8(first.clone()).unwrap();
        assert!(!card.seal_field((&sealed, true), "t", sealing, &mut again).unwrap() && again.is_empty());
        // however the producer writes the string
        let escaped = sealed.replace("\"tg1", "\"\\u0074g1");
        assert!(!card.seal_field((&escaped, true), "t", sealing, &mut again).unwrap() && again.is_empty());
        assert!(card.seal_field((&sealed, true), "another", sealing, &mut again).unwrap());
        again.clear();
        assert!(card.seal_field(("\"tg1:k1:c2VjcmV0\"", true), "t", sealing, &mut again).unwrap());
        assert!(!String::from_utf8(again).unwrap().contains("c2VjcmV0"));

        let whole = seal("$", &["k1"]);
        let (mut out, mut twice, mut plain) = (Vec::new(), Vec::new(), Vec::new());
        assert!(whole.seal_whole(b"\xff secret", "t", sealing, &mut out).unwrap());
        assert!(out.starts_with(&MAGIC) && !out.windows(6).any(|window| window == b"secret"));
        assert!(!whole.seal_whole(&out, "t", sealing, &mut twice).unwrap());
        assert_eq!(whole.open_whole(&out, "t", sealing, &mut plain), Opened::Done);
        assert_eq!(plain, b"\xff secret");
        for cut in 0..out.len() {
            let opened = whole.open_whole(&out[..cut], "t", sealing, &mut plain);
            assert_eq!(opened, if cut < 5 { Opened::Plain } else { Opened::Not }, "{cut}");
        }
        assert_eq!(whole.open_whole(&out, "u", sealing, &mut plain), Opened::Not);
        assert_eq!(seal("$", &["k2"]).open_whole(&out, "t", sealing, &mut plain), Opened::Not);
    }

    #[test]
    fn keys_are_never_shown() {
        let seal = seal("$.card", &["k2", "k1"]);
        assert_eq!(seal.to_string(), "encrypt($.card, k2, k1)");
        assert_eq!(format!("{:?}", seal.keys), "Keyring(k2, k1)");
        let key = crate::policy::secrets::Secrets::made_up().seal_key("k1").unwrap();
        assert_eq!(format!("{key:?}"), "SealKey(..)");
    }

    /// The first key encrypts: the same keys in another order are another list.
    #[test]
    fn lists_of_keys_are_equal_when_they_name_the_same_in_the_same_order() {
        assert_eq!(seal("$.card", &["k2", "k1"]), seal("$.card", &["k2", "k1"]));
        for other in [&["k1", "k2"][..], &["k2"], &["k2", "k3"], &["k2", "k1", "k3"], &[]] {
            assert_ne!(seal("$.card", &["k2", "k1"]), seal("$.card", other), "{other:?}");
        }
    }
}

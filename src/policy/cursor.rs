//! The place where a listing in pages goes on may be a topic that its reader must not know of. Its name then leaves sealed, and comes
//! back with the next request: encrypted and authenticated with a key of this process (a synthetic IV, as RFC 5297 has it, of HMAC-SHA-256).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::security::SecretBytes;
use crate::security::credential::ScramHash;

/// No topic's name: it may not be longer than 249 bytes, and what is sealed always is.
const MARK: &str = "sealed-cursor.";
/// Names are made this long, so that theirs is not told.
const LENGTH: usize = 256;
const IV: usize = 16;
const KEY: usize = 64;

/// The key; `None` where the system had no randomness: then nothing is sealed and nothing opens.
#[derive(Debug)]
pub struct CursorKey(Option<SecretBytes>);

impl CursorKey {
    pub fn random() -> Self {
        Self(SecretBytes::random(KEY).ok())
    }

    /// What stands for `name`; `None` when it cannot be sealed.
    pub fn seal(&self, name: &str) -> Option<String> {
        let length = u8::try_from(name.len()).ok()?;
        let mut text = vec![length];
        text.extend_from_slice(name.as_bytes());
        text.resize(LENGTH, 0);
        let iv = self.iv(&text)?;
        self.crypt(&iv, &mut text)?;
        Some(format!("{MARK}{}", URL_SAFE_NO_PAD.encode([iv.as_slice(), &text].concat())))
    }

    /// The name that was sealed. `None`: this is no cursor of ours. An error: it says so, and was not sealed here.
    pub fn open(&self, cursor: &str) -> Option<Result<String, ()>> {
        let sealed = cursor.strip_prefix(MARK).filter(|_| cursor.len() > LENGTH)?;
        Some(self.unseal(sealed).ok_or(()))
    }

    fn unseal(&self, sealed: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (iv, text) = bytes.split_at_checked(IV).filter(|(_, text)| text.len() == LENGTH)?;
        let mut text = text.to_vec();
        self.crypt(iv, &mut text)?;
        SecretBytes::new(self.iv(&text)?).ct_eq(iv).then_some(())?;
        let (length, name) = text.split_first()?;
        String::from_utf8(name.get(..usize::from(*length))?.to_vec()).ok()
    }

    fn iv(&self, text: &[u8]) -> Option<Vec<u8>> {
        let (mac_key, _) = self.0.as_ref()?.expose().split_at_checked(KEY / 2)?;
        let mac = ScramHash::Sha256.hmac(mac_key, text);
        mac.expose().get(..IV).map(<[u8]>::to_vec)
    }

    fn crypt(&self, iv: &[u8], text: &mut [u8]) -> Option<()> {
        let (_, key) = self.0.as_ref()?.expose().split_at_checked(KEY / 2)?;
        for (block, part) in (0_u32..).zip(text.chunks_mut(32)) {
            let stream = ScramHash::Sha256.hmac(key, &[iv, &block.to_be_bytes()].concat());
            part.iter_mut().zip(stream.expose()).for_each(|(byte, mask)| *byte ^= mask);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_here_and_nowhere_else() {
        let (ours, theirs) = (CursorKey::random(), CursorKey::random());
        for name in ["", "secret", &"x".repeat(249)] {
            let sealed = ours.seal(name).unwrap();
            assert_eq!(sealed.len(), ours.seal("another").unwrap().len());
            assert!(name.is_empty() || !sealed.contains(name));
            assert_eq!(ours.open(&sealed), Some(Ok(name.to_owned())));
            assert_eq!(theirs.open(&sealed), Some(Err(())));
            let mut damaged = sealed.clone().into_bytes();
            damaged[100] = if damaged[100] == b'A' { b'B' } else { b'A' };
            assert_eq!(ours.open(&String::from_utf8(damaged).unwrap()), Some(Err(())));
        }
        assert_eq!(ours.open("orders"), None);
        assert_eq!(ours.open("sealed-cursor.orders"), None, "a topic may be called so");
        assert_eq!(ours.seal(&"x".repeat(256)), None);
    }

    #[test]
    fn one_half_of_the_key_seals_and_the_other_vouches() {
        let key = CursorKey(Some(SecretBytes::new((0..64).collect())));
        let sealed = key.seal("orders").unwrap();
        // HMAC-SHA-256 of the padded name by the first half; the stream by the second
        assert_eq!(sealed, SEALED);
        assert_eq!(key.open(SEALED), Some(Ok("orders".to_owned())));
        let bytes = URL_SAFE_NO_PAD.decode(sealed.strip_prefix(MARK).unwrap()).unwrap();
        assert!(!bytes.windows(6).any(|part| part == b"orders"));
    }

    const SEALED: &str = "sealed-cursor.5LTYlidIb-MravSnboklHskN2wdlYobg9nX6j8HXMEj9W95gbPXjGd-yoOy3I84vBRVM19RzAVoyUUGEoPH5bxILW1HZNMR6viicR8fXtHROlKhPY1gTCzKCneebDxeC3RaLFxhkkn1t8ZBdg2EUaRyYjR_XUIapI6YdkKxLz5G0nR6pHnZxGltZKAAQES6M9fxWidg_1Y6NWa2-nj2X8e98GrsfcIEmajd8wFIF-IY9yBcphvC2cuX9sTrZcuK52DUvDRieOjVyO0Q5hnp-CorPCPGF59uaoxJYh4zlZVT7BURsb_8EMg5OxuC38PCoJAR0yv2vFZ4LdsaISEcoybOUZ0UxjyCe9WA1cP4iogc";
}

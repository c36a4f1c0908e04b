//! What is kept of a password: the salted, one-way record of RFC 5802, and the arithmetic it rests on.
//!
//! A record lets the server check a proof and prove itself; it does not contain the password. It must not know
//! how messages look (that is `sasl::scram`) nor where records are kept (`users`).

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::secret::SecretBytes;

/// Fewest PBKDF2 iterations accepted: the floor of RFC 7677 and of Kafka.
pub const MIN_ITERATIONS: u32 = 4_096;
/// Most iterations accepted. Each login costs the client this much, and each new PLAIN login costs the server.
pub const MAX_ITERATIONS: u32 = 600_000;
/// Iterations of new records: what RFC 7677 recommends, below Kafka's ceiling of 16,384.
pub const DEFAULT_ITERATIONS: u32 = 15_000;
/// Length of a new salt, in bytes.
pub const SALT_BYTES: usize = 16;
/// Lengths of salt accepted from a file, and from who salted a password himself (Kafka sets no limit).
pub const SALT_LIMITS: std::ops::RangeInclusive<usize> = 1..=256;
/// Longest password accepted, in bytes of UTF-8.
pub const MAX_PASSWORD_BYTES: usize = 1_024;

/// The hash function of a SCRAM mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ScramHash {
    Sha256,
    Sha512,
}

impl ScramHash {
    /// Length of a digest, a key or a proof, in bytes.
    pub fn output_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    /// `H(data)`.
    pub fn digest(self, data: &[u8]) -> SecretBytes {
        SecretBytes::new(match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        })
    }

    /// `HMAC(key, data)`.
    pub fn hmac(self, key: &[u8], data: &[u8]) -> SecretBytes {
        fn run<M: Mac + hmac::digest::KeyInit>(key: &[u8], data: &[u8]) -> Vec<u8> {
            match <M as Mac>::new_from_slice(key) {
                Ok(mac) => mac.chain_update(data).finalize().into_bytes().to_vec(),
                // HMAC is defined for keys of every length.
                Err(_) => unreachable!("HMAC takes a key of any length"),
            }
        }
        SecretBytes::new(match self {
            Self::Sha256 => run::<Hmac<Sha256>>(key, data),
            Self::Sha512 => run::<Hmac<Sha512>>(key, data),
        })
    }

    /// `Hi(password, salt, iterations)`, which is PBKDF2. Costs about 0.2 us an iteration: never call it on an
    /// async worker.
    pub fn salted_password(self, password: &[u8], salt: &[u8], iterations: u32) -> SecretBytes {
        let mut out = vec![0; self.output_bytes()];
        match self {
            Self::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, &mut out),
            Self::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, &mut out),
        }
        SecretBytes::new(out)
    }
}

/// What one user's password leaves behind for one hash.
#[derive(Debug, Clone)]
pub struct ScramRecord {
    pub iterations: u32,
    pub salt: Vec<u8>,
    pub stored_key: SecretBytes,
    pub server_key: SecretBytes,
}

impl ScramRecord {
    /// Derives the record of a password. As slow as [`ScramHash::salted_password`].
    pub fn derive(hash: ScramHash, password: &[u8], salt: Vec<u8>, iterations: u32) -> Self {
        let salted = hash.salted_password(password, &salt, iterations);
        Self::of_salted(hash, salted.expose(), salt, iterations)
    }

    /// The record of a password that was salted already: `Hi(password, salt, iterations)`.
    pub fn of_salted(hash: ScramHash, salted: &[u8], salt: Vec<u8>, iterations: u32) -> Self {
        let client_key = hash.hmac(salted, b"Client Key");
        Self {
            iterations,
            salt,
            stored_key: hash.digest(client_key.expose()),
            server_key: hash.hmac(salted, b"Server Key"),
        }
    }

    /// Whether this is the record of `password`. As slow as [`ScramHash::salted_password`].
    pub fn matches(&self, hash: ScramHash, password: &[u8]) -> bool {
        let other = Self::derive(hash, password, self.salt.clone(), self.iterations);
        // Both compared whatever the first says.
        let stored = self.stored_key.expose().ct_eq(other.stored_key.expose());
        let server = self.server_key.expose().ct_eq(other.server_key.expose());
        (stored & server).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::STANDARD};

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|b| format!("{b:02x}")).collect()
    }

    #[test]
    fn pbkdf2_agrees_with_rfc_7914() {
        // RFC 7914, section 11: PBKDF2-HMAC-SHA-256 with P="passwd", S="salt", c=1; the first 32 of 64 bytes.
        let out = ScramHash::Sha256.salted_password(b"passwd", b"salt", 1);
        assert_eq!(hex(out.expose()), "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
    }

    #[test]
    fn hmac_agrees_with_rfc_4231() {
        // RFC 4231, test case 2.
        let short = ScramHash::Sha256.hmac(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(hex(short.expose()), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        let long = ScramHash::Sha512.hmac(b"Jefe", b"what do ya want for nothing?");
        assert!(
            hex(long.expose())
                .starts_with("164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758")
        );
    }

    #[test]
    fn a_record_matches_its_password_only() {
        for hash in [ScramHash::Sha256, ScramHash::Sha512] {
            let record = ScramRecord::derive(hash, b"pencil", vec![7; 16], MIN_ITERATIONS);
            assert!(record.matches(hash, b"pencil"));
            assert!(!record.matches(hash, b"Pencil"));
            assert!(!record.matches(hash, b""));
            let mut half = record.clone();
            half.server_key = SecretBytes::new(vec![0; hash.output_bytes()]);
            assert!(!half.matches(hash, b"pencil"), "both halves of a record must agree");
        }
    }

    /// RFC 7677 prints the exchange of this user, not the record; these are what kafka-clients 4.4.0's
    /// `ScramFormatter` derives from the same password, salt and count.
    #[test]
    fn records_agree_with_kafkas() {
        let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        for (hash, stored_key, server_key) in [
            (
                ScramHash::Sha256,
                "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=",
                "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
            ),
            (
                ScramHash::Sha512,
                "6AAub3065EYRmyFpM2RNwqK+eGnrkYuEWbXn19LsEmBqzu8QaCXNc1FwpnX9NhH2hK/60dzj9DoO5DvVkOHbvg==",
                "jZHbYjC1aHh0/hKbxyBuGFjDrgjgKTT1esA7awWiKcRZ0o/0b1yWEebBeSVkkCFewf91nLDfKF24mvD5nmE6rA==",
            ),
        ] {
            let record = ScramRecord::derive(hash, b"pencil", salt.clone(), 4096);
            assert_eq!(STANDARD.encode(record.stored_key.expose()), stored_key);
            assert_eq!(STANDARD.encode(record.server_key.expose()), server_key);
        }
    }
}

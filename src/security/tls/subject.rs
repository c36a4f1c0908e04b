//! The principal of a client's certificate: its subject as Kafka's default principal builder writes it, `User:CN=…,OU=…`, which
//! is Java's `X500Principal.getName()` (RFC 2253).

use crate::security::Principal;
use rustls::pki_types::CertificateDer;
use std::fmt::Write;
use x509_cert::Certificate;
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::der::{Decode, Encode, Tag, Tagged};

/// The attributes that RFC 2253 has words for; others are written as numbers.
const WORDS: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "STREET"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
];

/// Why a certificate that was accepted names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPrincipal {
    #[error("the client's certificate cannot be read: {0}")]
    Unreadable(String),
    #[error("the subject of the client's certificate is empty")]
    Empty,
    #[error("the subject of the client's certificate cannot be a principal: {0}")]
    NoName(#[from] crate::security::principal::NameError),
}

/// Who the subject of a certificate is.
pub fn principal(certificate: &CertificateDer<'_>) -> Result<Principal, NoPrincipal> {
    let certificate =
        Certificate::from_der(certificate).map_err(|error| NoPrincipal::Unreadable(error.to_string()))?;
    let mut text = String::from("User:");
    // The last is the most significant.
    for (at, names) in certificate.tbs_certificate.subject.0.iter().rev().enumerate() {
        if at > 0 {
            text.push(',');
        }
        for (at, attribute) in names.0.iter().enumerate() {
            if at > 0 {
                text.push('+');
            }
            push(&mut text, attribute);
        }
    }
    if text.len() == "User:".len() {
        return Err(NoPrincipal::Empty);
    }
    Ok(text.parse()?)
}

fn push(text: &mut String, attribute: &AttributeTypeAndValue) {
    let oid = attribute.oid.to_string();
    let word = WORDS.iter().find(|(known, _)| *known == oid).map(|(_, word)| *word);
    match (word, value(attribute)) {
        (Some(word), Some(value)) => {
            text.push_str(word);
            text.push('=');
            escape(text, &value);
        }
        (word, _) => {
            text.push_str(word.unwrap_or(&oid));
            text.push_str("=#");
            // what was decoded can be encoded
            for byte in attribute.value.to_der().unwrap_or_default() {
                let _ = write!(text, "{byte:02x}");
            }
        }
    }
}

/// The value, if it is text.
fn value(attribute: &AttributeTypeAndValue) -> Option<String> {
    let bytes = attribute.value.value();
    match attribute.value.tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String => String::from_utf8(bytes.to_vec()).ok(),
        Tag::TeletexString => Some(bytes.iter().map(|byte| char::from(*byte)).collect()),
        Tag::BmpString => {
            let (units, rest) = bytes.as_chunks::<2>();
            let units = units.iter().map(|unit| u16::from_be_bytes(*unit)).collect::<Vec<_>>();
            rest.is_empty().then(|| String::from_utf16(&units).ok()).flatten()
        }
        _ => None,
    }
}

fn escape(text: &mut String, value: &str) {
    let ends = value.len() - value.trim_end_matches(' ').len();
    let (begins, ends) = (value.len() - value.trim_start_matches(' ').len(), value.len() - ends);
    for (at, c) in value.char_indices() {
        let is_outer = c == ' ' && (at < begins || at >= ends);
        if is_outer || matches!(c, ',' | '=' | '+' | '<' | '>' | '#' | ';' | '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
}

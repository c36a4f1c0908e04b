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
    #[error(
        "the subject of the client's certificate has text that is not UTF-8, which would look like that of others"
    )]
    NotUtf8,
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
        if names.0.is_empty() {
            return Err(NoPrincipal::Empty);
        }
        for (at, attribute) in names.0.iter().enumerate() {
            if at > 0 {
                text.push('+');
            }
            push(&mut text, attribute)?;
        }
    }
    if text.len() == "User:".len() {
        return Err(NoPrincipal::Empty);
    }
    Ok(text.parse()?)
}

fn push(text: &mut String, attribute: &AttributeTypeAndValue) -> Result<(), NoPrincipal> {
    let oid = attribute.oid.to_string();
    let word = WORDS.iter().find(|(known, _)| *known == oid).map(|(_, word)| *word);
    match (word, value(attribute)?) {
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
    Ok(())
}

/// The value, if it is text. Java takes all kinds for UTF-8, whatever they are, and what is none for U+FFFD, so that different
/// names become one: those name nobody here.
fn value(attribute: &AttributeTypeAndValue) -> Result<Option<String>, NoPrincipal> {
    let is_text = matches!(
        attribute.value.tag(),
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::TeletexString | Tag::BmpString
    );
    match is_text {
        true => {
            String::from_utf8(attribute.value.value().to_vec()).map(Some).map_err(|_| NoPrincipal::NotUtf8)
        }
        false => Ok(None),
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

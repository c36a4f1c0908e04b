//! Recorded sessions: what clients asked and what the upstream answered, for dry runs of policies. A capture holds payloads.
//!
//! The file begins with the line `tollgate capture 1`. Then come records, all numbers big-endian:
//!
//! | | |
//! |---|---|
//! | length | `u32`: bytes of what follows the checksum |
//! | checksum | `u32`: CRC-32C of those bytes |
//! | kind | `u8` |
//! | time | `u64`: milliseconds since 1970 |
//! | session | `u64`: number of the session, 0 for what is of none |
//!
//! and by kind, where a text is a `u16` of length and UTF-8, an address a byte (4 or 16) and so many bytes:
//!
//! | kind | then |
//! |---|---|
//! | 1 opened | listener (text), the peer's address, over TLS a `u8` of 1 |
//! | 2 request | flags (`u8`; 1: its body is left out), principal (text), listener (text), the peer's address, the frame without its length |
//! | 3 answer | api (`i16`), version (`i16`), the frame without its length: what the upstream said, before any rule saw it |
//! | 4 closed | |
//! | 5 dropped | `u64`: records that are missing here, as they came faster than they could be written |
//! | 6 full | nothing comes after it: the file has the size it may have |
//!
//! Frames that carry secrets (SASL, SCRAM users, delegation tokens, changes of configurations, pushed telemetry) have their header
//! only, and their answers are not there; nor are tokens without a header. Where clients log in, nothing but the connection is
//! recorded before, and the login by its last step.

mod read;
mod write;

pub use read::{Problem, Reader};
pub use write::{Capture, Ended};

use crate::wire::{ApiKey, Str};
use bytes::Bytes;
use std::net::IpAddr;

/// What a file begins with.
pub const HEADER: &[u8] = b"tollgate capture 1\n";

/// The longest record: the largest frame that any setting allows, and what stands around it.
const LONGEST: usize = (i32::MAX as usize) + (64 << 10);

const OPENED: u8 = 1;
const REQUEST: u8 = 2;
const ANSWER: u8 = 3;
const CLOSED: u8 = 4;
const DROPPED: u8 = 5;
const FULL: u8 = 6;

const BODY_LEFT_OUT: u8 = 1;
const OVER_TLS: u8 = 1;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Milliseconds since 1970.
    pub time: u64,
    pub session: u64,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    Opened { listener: Str, peer: IpAddr, tls: bool },
    Request { principal: Str, listener: Str, peer: IpAddr, frame: Bytes, body_left_out: bool },
    Answer { api: ApiKey, version: i16, frame: Bytes },
    Closed,
    Dropped(u64),
    Full,
}

/// Whether the messages of an api carry what must not be written down: all with fields that are `Sensitive`, and configurations, of
/// which any may be a password (`sasl.jaas.config`, `ssl.key.password`), said in an answer's message too.
pub fn is_secret(api: ApiKey) -> bool {
    [
        ApiKey::SaslHandshake,
        ApiKey::SaslAuthenticate,
        ApiKey::AlterUserScramCredentials,
        ApiKey::CreateDelegationToken,
        ApiKey::RenewDelegationToken,
        ApiKey::ExpireDelegationToken,
        ApiKey::DescribeDelegationToken,
        ApiKey::AlterConfigs,
        ApiKey::IncrementalAlterConfigs,
        ApiKey::PushTelemetry,
    ]
    .contains(&api)
}

#[cfg(test)]
mod tests;

//! The values a setting can have, each read the same way from a flag, a variable and the file.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, Visitor};

use crate::security::Mechanism;
use crate::storage::FlushMode;

/// A setting that is written as text: its `FromStr` is the one way to read it, wherever it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Text<T>(pub T);

impl<T: FromStr> FromStr for Text<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        text.parse().map(Text)
    }
}

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read<T>(std::marker::PhantomData<T>);
        impl<T: FromStr<Err: fmt::Display>> Visitor<'_> for Read<T> {
            type Value = Text<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<T>, E> {
                text.parse().map(Text).map_err(E::custom)
            }
            // A bare number or truth value is taken as it would be typed behind a flag.
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Text<T>, E> {
                self.visit_str(&number.to_string())
            }
            fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Text<T>, E> {
                self.visit_str(if truth { "true" } else { "false" })
            }
            fn visit_u64<E: de::Error>(self, number: u64) -> Result<Text<T>, E> {
                self.visit_str(&number.to_string())
            }
        }
        deserializer.deserialize_any(Read(std::marker::PhantomData))
    }
}

/// `host:port`; an IPv6 address stands in brackets. The host is looked up when it is needed, not here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl Address {
    pub fn new(host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port }
    }

    /// Whether only this machine can connect to it.
    pub fn is_loopback(&self) -> bool {
        self.host.eq_ignore_ascii_case("localhost")
            || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Whether it stands for every interface, so that no client can be told to connect to it.
    pub fn is_unspecified(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an address is host:port, for example 127.0.0.1:9092, [::1]:9092 or broker.example:9092")]
pub struct InvalidAddress;

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let (host, port) = text.rsplit_once(':').ok_or(InvalidAddress)?;
        // `parse` alone would take "+9092".
        let port = match port.bytes().all(|b| b.is_ascii_digit()) {
            true => port.parse().map_err(|_| InvalidAddress)?,
            false => return Err(InvalidAddress),
        };
        let host = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(v6) if v6.parse::<std::net::Ipv6Addr>().is_ok() => v6,
            Some(_) => return Err(InvalidAddress),
            None => host,
        };
        let is_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let is_v6 = host.parse::<std::net::Ipv6Addr>().is_ok() && text.starts_with('[');
        if host.is_empty() || host.len() > 255 || !(is_v6 || host.bytes().all(is_name)) {
            return Err(InvalidAddress);
        }
        Ok(Self::new(host, port))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// An address, or `off`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionalAddress(pub Option<Address>);

impl FromStr for OptionalAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        match text {
            "off" => Ok(Self(None)),
            address => address.parse().map(|address| Self(Some(address))),
        }
    }
}

/// A path, or `off`. (A file of that name is written `./off`.)
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionalPath(pub Option<PathBuf>);

impl FromStr for OptionalPath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        match text {
            "off" => Ok(Self(None)),
            "" => Err(InvalidPath),
            path => Ok(Self(Some(path.into()))),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a file is a path, or off")]
pub struct InvalidPath;

/// A number of bytes: `1048576`, `64KiB`, `100MiB`, `1GiB`. Powers of 1024, and written so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a size is a number of bytes, or a number with KiB, MiB, GiB or TiB")]
pub struct InvalidSize;

const SIZE_UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl FromStr for Size {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let (digits, unit) = SIZE_UNITS
            .iter()
            .find_map(|(name, bytes)| text.strip_suffix(name).map(|digits| (digits.trim_end(), *bytes)))
            .unwrap_or((text, 1));
        number(digits).and_then(|n| n.checked_mul(unit)).map(Self).ok_or(InvalidSize)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIZE_UNITS.iter().find(|(_, unit)| self.0 >= *unit && self.0.is_multiple_of(*unit)) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

/// A length of time: `200ms`, `30s`, `10m`, `2h`, `7d`. A bare number would leave its unit to guessing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a length of time is a whole number with ms, s, m, h or d, for example 30s")]
pub struct InvalidSpan;

const SPAN_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl FromStr for Span {
    type Err = InvalidSpan;

    fn from_str(text: &str) -> Result<Self, InvalidSpan> {
        let (digits, millis) = SPAN_UNITS
            .iter()
            .find_map(|(name, millis)| text.strip_suffix(name).map(|digits| (digits, *millis)))
            .ok_or(InvalidSpan)?;
        let total = number(digits).and_then(|n| n.checked_mul(millis)).ok_or(InvalidSpan)?;
        // Kafka counts milliseconds in signed numbers; nothing longer could be told to a client.
        i64::try_from(total).map_err(|_| InvalidSpan)?;
        Ok(Self(Duration::from_millis(total)))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let unit =
            SPAN_UNITS.iter().rev().find(|(_, millis)| total >= *millis && total.is_multiple_of(*millis));
        match unit {
            Some((name, millis)) => write!(f, "{}{name}", total / millis),
            None => write!(f, "{total}ms"),
        }
    }
}

/// When an append counts as committed. `interval` alone is once a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flush(pub FlushMode);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a flush mode; it is one of group-commit, interval, interval:200ms (or another length of time), os"
)]
pub struct InvalidFlush(String);

impl FromStr for Flush {
    type Err = InvalidFlush;

    fn from_str(text: &str) -> Result<Self, InvalidFlush> {
        let interval = || {
            let Span(every) = text.strip_prefix("interval:")?.parse().ok()?;
            (!every.is_zero()).then_some(FlushMode::Interval(every))
        };
        let mode = match text {
            "group-commit" => Some(FlushMode::GroupCommit),
            "interval" => Some(FlushMode::Interval(FlushMode::DEFAULT_INTERVAL)),
            "os" => Some(FlushMode::Os),
            _ => interval(),
        };
        mode.map(Self).ok_or_else(|| InvalidFlush(text.to_owned()))
    }
}

/// Something that has an end, or `unlimited`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit<T>(pub Option<T>);

impl<T: FromStr> FromStr for Limit<T> {
    type Err = T::Err;

    fn from_str(text: &str) -> Result<Self, T::Err> {
        match text {
            "unlimited" => Ok(Self(None)),
            limited => limited.parse().map(|value| Self(Some(value))),
        }
    }
}

impl<T: fmt::Display> fmt::Display for Limit<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("unlimited"),
        }
    }
}

/// SASL mechanisms, separated by commas; in the file also an array. Empty means no authentication.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mechanisms(pub Vec<Mechanism>);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMechanisms {
    #[error(
        "{0:?} is no SASL mechanism that is known here; there are PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512"
    )]
    Unknown(String),
    #[error("{0} stands there twice")]
    Twice(Mechanism),
}

impl Mechanisms {
    fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidMechanisms> {
        let mut mechanisms = Vec::new();
        for name in names {
            let mechanism = name.parse().map_err(|_| InvalidMechanisms::Unknown(name.to_owned()))?;
            if mechanisms.contains(&mechanism) {
                return Err(InvalidMechanisms::Twice(mechanism));
            }
            mechanisms.push(mechanism);
        }
        Ok(Self(mechanisms))
    }
}

impl FromStr for Mechanisms {
    type Err = InvalidMechanisms;

    fn from_str(text: &str) -> Result<Self, InvalidMechanisms> {
        match text.trim() {
            "" => Ok(Self::default()),
            text => Self::of(text.split(',').map(str::trim)),
        }
    }
}

impl<'de> Deserialize<'de> for Mechanisms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Mechanisms;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of SASL mechanisms, for example [\"SCRAM-SHA-512\"]")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Mechanisms, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Mechanisms, A::Error> {
                let mut names = Vec::<String>::new();
                while let Some(name) = seq.next_element()? {
                    names.push(name);
                }
                Mechanisms::of(names.iter().map(String::as_str)).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_any(Read)
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a log is text or json")]
pub struct InvalidLogFormat;

impl FromStr for LogFormat {
    type Err = InvalidLogFormat;

    fn from_str(text: &str) -> Result<Self, InvalidLogFormat> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(InvalidLogFormat),
        }
    }
}

fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses() {
        for (text, host, port) in [
            ("127.0.0.1:9092", "127.0.0.1", 9092),
            ("[::1]:0", "::1", 0),
            ("my-host.example:65535", "my-host.example", 65535),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, port));
            assert_eq!(address.to_string(), text);
        }
        for bad in [
            "",
            ":",
            ":9092",
            "9092",
            "host",
            "host:",
            "host:65536",
            "host:+1",
            "host:-1",
            "::1:9092",
            "[::1]",
            "[host]:1",
            "[]:1",
            "a b:1",
            "host/x:1",
            "tcp://host:1",
        ] {
            assert_eq!(bad.parse::<Address>(), Err(InvalidAddress), "{bad}");
        }
        let loopback = |text: &str| text.parse::<Address>().unwrap().is_loopback();
        assert!(loopback("127.3.0.1:1") && loopback("[::1]:1") && loopback("LOCALHOST:1"));
        assert!(!loopback("0.0.0.0:1") && !loopback("[::]:1") && !loopback("localhost.evil:1"));
        assert!("0.0.0.0:1".parse::<Address>().unwrap().is_unspecified());
    }

    #[test]
    fn sizes_and_spans() {
        assert_eq!("100MiB".parse(), Ok(Size(100 << 20)));
        assert_eq!("64 KiB".parse(), Ok(Size(64 << 10)));
        assert_eq!("7".parse(), Ok(Size(7)));
        for bad in ["", "KiB", "1KB", "1k", "-1", "+1", "1.5MiB", "99999999999TiB", "1 1"] {
            assert_eq!(bad.parse::<Size>(), Err(InvalidSize), "{bad}");
        }
        assert_eq!("200ms".parse(), Ok(Span(Duration::from_millis(200))));
        assert_eq!("7d".parse(), Ok(Span(Duration::from_secs(7 * 86_400))));
        for bad in ["", "s", "10", "1.5s", "-1s", "1 s", "10 minutes", "999999999999999999d"] {
            assert_eq!(bad.parse::<Span>(), Err(InvalidSpan), "{bad}");
        }
        assert_eq!("off".parse(), Ok(OptionalPath(None)));
        assert_eq!("./off".parse(), Ok(OptionalPath(Some("./off".into()))));
        assert_eq!("".parse::<OptionalPath>(), Err(InvalidPath));
        assert_eq!("unlimited".parse(), Ok(Limit::<Size>(None)));
        assert_eq!("1GiB".parse(), Ok(Limit(Some(Size(1 << 30)))));
    }

    /// `interval:1s`, as the README has it, was no flush mode.
    #[test]
    fn flush_intervals_are_lengths_of_time_as_everywhere() {
        let interval = |ms| Ok(Flush(FlushMode::Interval(Duration::from_millis(ms))));
        for (text, ms) in
            [("interval", 1000), ("interval:1s", 1000), ("interval:250ms", 250), ("interval:2m", 120_000)]
        {
            assert_eq!(text.parse(), interval(ms), "{text}");
        }
        for mode in [FlushMode::GroupCommit, FlushMode::Os, FlushMode::Interval(Duration::from_millis(250))] {
            assert_eq!(mode.to_string().parse(), Ok(Flush(mode)), "as it is shown");
        }
        for wrong in ["", "OS", "interval:", "interval:0s", "interval:5", "interval:-5ms", "fsync"] {
            let error = wrong.parse::<Flush>().unwrap_err();
            assert!(error.to_string().contains("group-commit"), "{error}");
        }
    }

    #[test]
    fn mechanisms_are_a_set() {
        use Mechanism::{Plain, ScramSha512};
        assert_eq!("PLAIN, SCRAM-SHA-512".parse(), Ok(Mechanisms(vec![Plain, ScramSha512])));
        assert_eq!("".parse(), Ok(Mechanisms(vec![])));
        assert_eq!("PLAIN,PLAIN".parse::<Mechanisms>(), Err(InvalidMechanisms::Twice(Plain)));
        for bad in ["plain", "PLAIN,", "SCRAM-SHA-1"] {
            assert!(matches!(bad.parse::<Mechanisms>(), Err(InvalidMechanisms::Unknown(_))), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(n in any::<u64>(), ms in 0..i64::MAX as u64) {
            prop_assert_eq!(Size(n).to_string().parse(), Ok(Size(n)));
            let span = Span(Duration::from_millis(ms));
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }

        #[test]
        fn any_text_is_a_value_or_an_error(text in "\\PC{0,20}") {
            let _ = text.parse::<Address>();
            let _ = text.parse::<Size>();
            let _ = text.parse::<Span>();
            let _ = text.parse::<Mechanisms>();
        }
    }
}

//! What a rule applies to: compiled once, looked at for every part.
//!
//! Who is asked first and cached by the plan; what (topic, partition, group) second; records and closures last.

use super::action::json::Span;
use super::action::{JsonValue, Path, PathSet};
use super::glob::{Glob, Patterns};
use crate::wire::record::Headers;
use std::fmt;
use std::net::IpAddr;

/// All selectors of a rule. All must hold; an absent one holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selectors {
    pub who: WhoSelectors,
    /// Every list must let the topic through: the head's own and those of `.topic`.
    pub topics: Vec<Patterns>,
    pub partitions: Option<Partitions>,
    pub api_version: Option<Versions>,
    pub groups: Option<Patterns>,
    pub transactional_ids: Option<Patterns>,
    pub cluster: bool,
    pub records: Vec<RecordSelector>,
    pub when: Option<When>,
}

/// Who: the same for all exchanges of one (principal, client id, listener, address).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct WhoSelectors {
    pub principal: Option<Patterns>,
    pub client_id: Option<Patterns>,
    pub listener: Option<Patterns>,
    pub from_ip: Vec<CidrList>,
    /// Node ids of the broker that the client came to.
    pub broker: Option<Partitions>,
    /// The share of the sessions that is chosen.
    pub sessions: Option<f64>,
}

/// A condition in Rhai: its index among the closures of its policy, and its text.
#[derive(Debug, Clone)]
pub struct When {
    pub closure: usize,
    pub text: String,
}

impl PartialEq for When {
    /// The index says where it is, not what it says: a closure written before it changes it.
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl WhoSelectors {
    pub fn matches(&self, principal: &str, client_id: &str, listener: &str, ip: IpAddr) -> bool {
        let holds =
            |patterns: &Option<Patterns>, name: &str| patterns.as_ref().is_none_or(|p| p.matches(name));
        holds(&self.principal, principal)
            && holds(&self.client_id, client_id)
            && holds(&self.listener, listener)
            && self.from_ip.iter().all(|list| list.contains(ip))
    }

    /// Whether the rule holds at the broker with this node id.
    pub fn is_at(&self, node_id: i32) -> bool {
        self.broker.as_ref().is_none_or(|ids| ids.contains(node_id))
    }
}

impl Selectors {
    pub fn topic_matches(&self, topic: &str) -> bool {
        self.topics.iter().all(|list| list.matches(topic))
    }

    pub fn partition_matches(&self, partition: i32) -> bool {
        self.partitions.as_ref().is_none_or(|p| p.contains(partition))
    }

    /// Whether the rule names topics at all.
    pub fn about_topics(&self) -> bool {
        self.partitions.is_some() || self.topics.iter().any(|list| !list.is_any())
    }
}

/// Versions of an api.
#[derive(Debug, Clone, PartialEq)]
pub enum Versions {
    /// Single ones and ranges.
    These(Partitions),
    Compared(Comparison, i16),
}

impl Versions {
    pub fn contains(&self, version: i16) -> bool {
        match self {
            Self::These(ranges) => ranges.contains(version.into()),
            Self::Compared(comparison, wanted) => comparison.holds(version.into(), (*wanted).into()),
        }
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::These(ranges) => write!(f, "{ranges}"),
            Self::Compared(comparison, wanted) => write!(f, "{} {wanted}", comparison.sign()),
        }
    }
}

/// Numbers of partitions, and of brokers: single ones and ranges, ends included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partitions(pub Vec<(i32, i32)>);

impl Partitions {
    pub fn contains(&self, partition: i32) -> bool {
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&partition))
    }
}

impl fmt::Display for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (from, to)) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { "" } else { ", " })?;
            match from == to {
                true => write!(f, "{from}")?,
                false => write!(f, "{from}..={to}")?,
            }
        }
        Ok(())
    }
}

/// Address blocks: any of the includes, none of the excludes (`!10.0.0.0/8`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CidrList {
    includes: Vec<Cidr>,
    excludes: Vec<Cidr>,
}

impl CidrList {
    pub fn parse<S: AsRef<str>>(blocks: impl IntoIterator<Item = S>) -> Result<Self, String> {
        let mut list = Self::default();
        for block in blocks {
            match block.as_ref().strip_prefix('!') {
                Some(excluded) => list.excludes.push(Cidr::parse(excluded)?),
                None => list.includes.push(Cidr::parse(block.as_ref())?),
            }
        }
        Ok(list)
    }

    pub fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        (self.includes.is_empty() || self.includes.iter().any(|c| c.contains(ip)))
            && !self.excludes.iter().any(|c| c.contains(ip))
    }
}

impl fmt::Display for CidrList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.includes.iter().map(|c| ("", c)).chain(self.excludes.iter().map(|c| ("!", c)));
        for (i, (mark, block)) in all.enumerate() {
            write!(f, "{}{mark}{}/{}", if i == 0 { "" } else { ", " }, block.network, block.bits)?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cidr {
    network: IpAddr,
    bits: u32,
}

impl Cidr {
    fn parse(text: &str) -> Result<Self, String> {
        let fail = || format!("`{text}` is not an address or a block such as \"10.0.0.0/8\"");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().map_err(|_| fail())?)),
            None => (text, None),
        };
        let network = address.trim().parse::<IpAddr>().map_err(|_| fail())?;
        let width = if network.is_ipv4() { 32 } else { 128 };
        match bits.unwrap_or(width) {
            bits if bits <= width => Ok(Self { network, bits }),
            _ => Err(fail()),
        }
    }

    fn contains(&self, ip: IpAddr) -> bool {
        let same = |a: u128, b: u128, width: u32| {
            self.bits == 0 || (a ^ b).checked_shr(width - self.bits).is_none_or(|rest| rest == 0)
        };
        match (self.network, ip) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(u32::from(a).into(), u32::from(b).into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.into(), b.into(), 128),
            _ => false,
        }
    }
}

/// What a record must have.
///
/// A test that only excludes (`"!public"`, `"!= 0"`) means "all but", as in every list of patterns: a record is exempt
/// only when something is there and all of it is what is excluded. Where nothing is (no such header, no member at the
/// path, null, a null value) or something of another kind (an array, a text where `!=` names a number), the record
/// is selected: the exemption of a mask must be earned by the record.
#[derive(Debug, Clone, PartialEq)]
pub enum RecordSelector {
    /// A header of a name that matches, with a value that matches (any value when none is given).
    Header {
        name: Glob,
        value: Option<Patterns>,
    },
    /// No header has a name that matches.
    NoHeader(Glob),
    /// A null key matches exclusions only.
    Key(Patterns),
    Value {
        path: ValuePath,
        test: Test,
    },
}

/// A JSON path into a value, compiled.
#[derive(Debug, Clone)]
pub struct ValuePath {
    pub path: Path,
    set: PathSet,
}

impl PartialEq for ValuePath {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl ValuePath {
    pub fn parse(text: &str) -> Result<Self, String> {
        let path = Path::parse(text).map_err(|error| error.to_string())?;
        Ok(Self { set: PathSet::new([&path]), path })
    }

    /// The value there, as `read` reads it; None when there is none, or no JSON. `spans` is room to look in.
    pub fn first<T>(
        &self,
        json: &[u8],
        spans: &mut Vec<Span>,
        read: impl FnOnce(JsonValue<'_>) -> T,
    ) -> Option<T> {
        let text = self.set.find(json, spans).ok()?;
        let span = if self.path.is_definite() { spans.last() } else { spans.first() };
        Some(read(JsonValue::of(text, span?)))
    }
}

/// What a selector says of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selected {
    Yes,
    No,
    /// The value is not JSON: a security rule takes it as selected, chaos as not.
    Unreadable,
}

impl RecordSelector {
    /// Looks at a record.
    pub fn matches(&self, key: Option<&[u8]>, value: Option<&[u8]>, headers: Headers<'_>) -> Selected {
        let holds = match self {
            Self::Header { name, value } => {
                let mut named = headers.into_iter().filter(|header| name.matches(header.key)).peekable();
                let absent = named.peek().is_none();
                match value {
                    None => !absent,
                    Some(patterns) if patterns.only_excludes() => {
                        absent || named.any(|h| h.value.is_none_or(|value| patterns.matches(value)))
                    }
                    Some(patterns) => named.any(|h| h.value.is_some_and(|value| patterns.matches(value))),
                }
            }
            Self::NoHeader(name) => !headers.into_iter().any(|header| name.matches(header.key)),
            Self::Key(patterns) => match key {
                Some(key) => patterns.matches(key),
                None => patterns.only_excludes(),
            },
            Self::Value { path, test } => {
                // a record without a value has nothing at any path
                let Some(value) = value else {
                    return if test.passes_nothing() { Selected::Yes } else { Selected::No };
                };
                let mut spans = Vec::new();
                let Ok(text) = path.set.find(value, &mut spans) else { return Selected::Unreadable };
                // of members that stand twice, readers disagree which counts: any that passes does
                let mut found = spans.iter().map(|span| test.passes(&JsonValue::of(text, span)));
                match test {
                    Test::Missing => found.all(|passes| passes),
                    test => (spans.is_empty() && test.passes_nothing()) || found.any(|passes| passes),
                }
            }
        };
        if holds { Selected::Yes } else { Selected::No }
    }
}

impl Test {
    /// Whether it passes where there is nothing to look at.
    fn passes_nothing(&self) -> bool {
        match self {
            Self::Text(patterns) => patterns.only_excludes(),
            Self::Number(comparison, _) => *comparison == Comparison::NotEqual,
            Self::Exactly(_) => false,
            Self::Missing => true,
        }
    }

    fn passes(&self, found: &JsonValue<'_>) -> bool {
        match self {
            Self::Text(patterns) => match found.as_text() {
                Some(text) => patterns.matches(text),
                None => patterns.only_excludes(),
            },
            Self::Number(comparison, wanted) => match found.as_f64() {
                Some(number) => comparison.holds(number, *wanted),
                None => *comparison == Comparison::NotEqual,
            },
            Self::Exactly(truth) => *found == JsonValue::Bool(*truth),
            Self::Missing => *found == JsonValue::Null,
        }
    }
}

/// What is asked of a value found at a path.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    Text(Patterns),
    Number(Comparison, f64),
    Exactly(bool),
    Missing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
    MoreOrEqual,
    More,
}

impl Comparison {
    /// Splits `">= 5"` into its operator and what follows.
    pub fn parse(text: &str) -> Option<(Self, &str)> {
        let operators = [
            ("<=", Self::LessOrEqual),
            (">=", Self::MoreOrEqual),
            ("==", Self::Equal),
            ("!=", Self::NotEqual),
            ("<", Self::Less),
            (">", Self::More),
        ];
        let text = text.trim_start();
        operators.iter().find_map(|(sign, op)| text.strip_prefix(sign).map(|rest| (*op, rest.trim())))
    }

    pub fn holds(self, found: f64, wanted: f64) -> bool {
        match self {
            Self::Less => found < wanted,
            Self::LessOrEqual => found <= wanted,
            Self::Equal => found == wanted,
            Self::NotEqual => found != wanted,
            Self::MoreOrEqual => found >= wanted,
            Self::More => found > wanted,
        }
    }

    fn sign(self) -> &'static str {
        match self {
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::MoreOrEqual => ">=",
            Self::More => ">",
        }
    }
}

impl fmt::Display for Selectors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for list in &self.topics {
            write!(f, ".topic({list})")?;
        }
        let named = [
            ("group", &self.groups),
            ("transactional_id", &self.transactional_ids),
            ("principal", &self.who.principal),
            ("client_id", &self.who.client_id),
            ("listener", &self.who.listener),
        ];
        if let Some(partitions) = &self.partitions {
            write!(f, ".partition({partitions})")?;
        }
        for (word, patterns) in named {
            if let Some(patterns) = patterns {
                write!(f, ".{word}({patterns})")?;
            }
        }
        if let Some(versions) = &self.api_version {
            write!(f, ".api_version({versions})")?;
        }
        if let Some(ids) = &self.who.broker {
            write!(f, ".broker({ids})")?;
        }
        if self.cluster {
            f.write_str(".cluster()")?;
        }
        for list in &self.who.from_ip {
            write!(f, ".from_ip({list})")?;
        }
        if let Some(share) = self.who.sessions {
            write!(f, ".sessions({share})")?;
        }
        for record in &self.records {
            match record {
                RecordSelector::Header { name, value: Some(value) } => write!(f, ".header({name}, {value})")?,
                RecordSelector::Header { name, value: None } => write!(f, ".header({name})")?,
                RecordSelector::NoHeader(name) => write!(f, ".header(!{name})")?,
                RecordSelector::Key(patterns) => write!(f, ".key({patterns})")?,
                RecordSelector::Value { path, test } => write!(f, ".value({}, {test})", path.path)?,
            }
        }
        match &self.when {
            Some(when) => write!(f, ".when({})", when.text),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(patterns) => write!(f, "{patterns}"),
            Self::Number(op, n) => write!(f, "{} {n}", op.sign()),
            Self::Exactly(truth) => write!(f, "{truth}"),
            Self::Missing => f.write_str("()"),
        }
    }
}

#[cfg(test)]
mod tests;

//! The words of tests inside policy files. What they act on is given by the runner (`policy::testing`).

use super::call::{Call, describe, member, method, word};
use super::draft::TestDraft;
use super::faults::code;
use super::host::Host;
use super::objects::{found, json, text};
use crate::policy::fault::disk::Operation;
use crate::policy::selector::ValuePath;
use crate::wire::{ApiKey, ErrorCode};
use bytes::Bytes;
use rhai::{Array, Dynamic, Engine, Map};
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Duration;

/// Where the words of tests act.
pub trait Bench {
    fn act(&self, doing: Doing) -> Result<Seen, String>;
}

/// What a test does.
#[derive(Debug, Clone)]
pub struct Doing {
    pub act: Act,
    pub options: Options,
}

#[derive(Debug, Clone)]
pub enum Act {
    Produced {
        topic: String,
        value: Option<Vec<u8>>,
    },
    Fetched {
        topic: String,
        value: Option<Vec<u8>>,
    },
    Requested {
        api: ApiKey,
    },
    Connected,
    /// The embedded broker works on the files of a log.
    Disk {
        operation: Operation,
        topic: String,
    },
}

/// What `#{…}` may say.
#[derive(Debug, Clone)]
pub struct Options {
    pub principal: String,
    pub client_id: String,
    pub listener: String,
    /// Whether the listener speaks TLS.
    pub tls: bool,
    pub ip: IpAddr,
    pub key: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<String>)>,
    pub topic: Option<String>,
    pub partition: i32,
    pub group: Option<String>,
    pub transactional_id: Option<String>,
    /// Of a topic that is made or grown; -1 are the broker's defaults.
    pub partitions: i32,
    pub replication: i16,
    pub configs: Vec<(String, String)>,
    /// Time since the policies became active.
    pub at: Option<Duration>,
    pub seed: Option<u64>,
    pub times: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            principal: "User:ANONYMOUS".to_owned(),
            client_id: "test".to_owned(),
            listener: "default".to_owned(),
            tls: false,
            ip: IpAddr::from([127, 0, 0, 1]),
            key: None,
            headers: Vec::new(),
            topic: None,
            partition: 0,
            group: None,
            transactional_id: None,
            partitions: -1,
            replication: -1,
            configs: Vec::new(),
            at: None,
            seed: None,
            times: 1,
        }
    }
}

/// What a client would see of the last of `times` doings, and how all of them went.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    pub code: Option<ErrorCode>,
    pub message: Option<String>,
    /// A security rule refused it.
    pub denied: bool,
    pub lost: bool,
    pub closed: bool,
    pub delay: Duration,
    /// What the answer says that the client must wait.
    pub throttled: Duration,
    /// The api that the request waits for.
    pub held: Option<&'static str>,
    /// How long a login is good.
    pub lifetime: Option<Duration>,
    /// The words of the faults that were injected.
    pub struck: Vec<&'static str>,
    /// The dead-letter topic that the record went to.
    pub routed: Option<String>,
    /// The record as it is stored (produced) or read (fetched); none when it does not come through.
    pub record: Option<SeenRecord>,
    pub tally: Tally,
}

#[derive(Debug, Clone, Default)]
pub struct SeenRecord {
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// How often each thing was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: i64,
    pub denied: i64,
    pub failed: i64,
    pub lost: i64,
    pub closed: i64,
    pub delayed: i64,
    pub throttled: i64,
    pub routed: i64,
}

impl Seen {
    pub fn passed(&self) -> bool {
        self.code.is_none()
            && !self.denied
            && !self.lost
            && !self.closed
            && self.delay.is_zero()
            && self.throttled.is_zero()
            && self.lifetime.is_none()
            && self.held.is_none()
            && self.struck.is_empty()
            && self.routed.is_none()
    }

    /// In words, for messages.
    fn told(&self) -> String {
        let code = self.code.map_or_else(String::new, |code| format!(" with {code}"));
        let message = self.message.as_ref().map_or_else(String::new, |m| format!(" ({m})"));
        match self {
            s if s.denied => format!("denied{code}{message}"),
            s if s.lost => "lost".to_owned(),
            s if s.closed => "closed".to_owned(),
            s if s.code.is_some() => format!("failed{code}{message}"),
            Seen { routed: Some(topic), .. } => format!("routed to {topic}"),
            s if !s.delay.is_zero() => format!("delayed by {:?}", s.delay),
            s if s.held.is_some() => format!("held until {}", s.held.unwrap_or_default()),
            s if s.lifetime.is_some() => "let in for a time".to_owned(),
            s if !s.throttled.is_zero() => format!("throttled by {:?}", s.throttled),
            s if !s.struck.is_empty() => format!("struck by {}", s.struck.join(", ")),
            _ => "passed".to_owned(),
        }
    }
}

/// An expectation that begins.
#[derive(Clone)]
struct Expectation(Dynamic);

pub fn register(engine: &mut Engine, host: &Rc<Host>) {
    engine.register_type_with_name::<Seen>("seen");
    engine.register_type_with_name::<Expectation>("expectation");
    let own = Rc::clone(host);
    word(engine, "test", 2..=2, move |call| {
        let test = TestDraft { name: call.text(0)?, place: call.place(), closure: call.closure(1)? };
        own.draft(call.word, |draft| match draft.tests.iter().any(|t| t.name == test.name) {
            true => Err(format!("there is a test \"{}\" already", test.name)),
            false => {
                draft.tests.push(test);
                Ok(())
            }
        })?
    });
    let record = |host: &Rc<Host>, make: fn(String, Option<Vec<u8>>) -> Act| {
        let host = Rc::clone(host);
        move |call: Call<'_, '_>| {
            let topic = call.text(0)?;
            let value = bytes(&call.value(1));
            act(&host, &call, make(topic, value), 2)
        }
    };
    word(engine, "produced", 2..=3, record(host, |topic, value| Act::Produced { topic, value }));
    word(engine, "fetched", 2..=3, record(host, |topic, value| Act::Fetched { topic, value }));
    let own = Rc::clone(host);
    word(engine, "requested", 1..=2, move |call| {
        let name = call.text(0)?;
        let apis = super::heads::apis(std::slice::from_ref(&name))?;
        let mut named = apis.iter();
        match (named.next(), named.next()) {
            (Some(api), None) => act(&own, &call, Act::Requested { api }, 1),
            _ => Err(format!("`requested` wants one api, and \"{name}\" is a class of them")),
        }
    });
    let own = Rc::clone(host);
    word(engine, "connected", 0..=1, move |call| act(&own, &call, Act::Connected, 0));
    let own = Rc::clone(host);
    word(engine, "disk", 2..=3, move |call| {
        let operation = super::disk_faults::operation(&call.text(0)?)?;
        act(&own, &call, Act::Disk { operation, topic: call.text(1)? }, 2)
    });
    seen(engine);
    expectations(engine);
}

fn act(host: &Rc<Host>, call: &Call<'_, '_>, act: Act, options_at: usize) -> Result<Seen, String> {
    let options = options(call, options_at)?;
    let bench = host.bench.borrow().clone();
    match bench {
        Some(bench) => bench.act(Doing { act, options }),
        None => Err(format!("`{}` belongs into a test", call.word)),
    }
}

fn bytes(value: &Dynamic) -> Option<Vec<u8>> {
    match value {
        v if v.is_unit() => None,
        v if v.is_blob() => v.clone().into_blob().ok(),
        v if v.is_map() || v.is_array() => Some(json(v).to_string().into_bytes()),
        v => Some(v.to_string().into_bytes()),
    }
}

fn options(call: &Call<'_, '_>, at: usize) -> Result<Options, String> {
    let mut options = Options::default();
    if at >= call.len() {
        return Ok(options);
    }
    let given = call.value(at);
    let Some(map) = given.clone().try_cast::<Map>() else {
        return Err(call.wants("options such as #{ principal: \"User:ada\" }", &given));
    };
    for (name, value) in map {
        let wrong = |what: &str| format!("the option `{name}` wants {what}, not {}", describe(&value));
        let text = || match value.is_string() {
            true => Ok(value.to_string()),
            false => Err(wrong("a text")),
        };
        let whole = |least: i64, most: i64| match value.as_int() {
            Ok(n) if (least..=most).contains(&n) => Ok(n),
            _ => Err(wrong(&format!("a whole number from {least} to {most}"))),
        };
        match name.as_str() {
            "principal" => options.principal = text()?,
            "client_id" => options.client_id = text()?,
            "listener" => options.listener = text()?,
            "tls" => options.tls = value.as_bool().map_err(|_| wrong("true or false"))?,
            "ip" => options.ip = text()?.parse().map_err(|_| wrong("an address"))?,
            "key" => options.key = bytes(&value),
            "headers" => {
                let headers = value.clone().try_cast::<Map>().ok_or_else(|| wrong("a map"))?;
                for (name, value) in headers {
                    let value = (!value.is_unit()).then(|| value.to_string());
                    options.headers.push((name.to_string(), value));
                }
            }
            "topic" => options.topic = Some(text()?),
            "partition" => options.partition = whole(0, i64::from(i32::MAX))? as i32,
            "group" => options.group = Some(text()?),
            "transactional_id" => options.transactional_id = Some(text()?),
            "partitions" => options.partitions = whole(-1, i64::from(i32::MAX))? as i32,
            "replication" => options.replication = whole(-1, i64::from(i16::MAX))? as i16,
            "configs" => {
                let configs = value.clone().try_cast::<Map>().ok_or_else(|| wrong("a map"))?;
                let texts = configs.into_iter().map(|(name, value)| (name.to_string(), value.to_string()));
                options.configs = texts.collect();
            }
            "at" => options.at = Some(super::values::duration(&text()?)?),
            "seed" => options.seed = Some(whole(i64::MIN, i64::MAX)? as u64),
            "times" => options.times = whole(1, 100_000)? as usize,
            other => {
                let known = [
                    "principal",
                    "client_id",
                    "listener",
                    "tls",
                    "ip",
                    "key",
                    "headers",
                    "topic",
                    "partition",
                    "group",
                    "transactional_id",
                    "partitions",
                    "replication",
                    "configs",
                    "at",
                    "seed",
                    "times",
                ];
                return Err(format!(
                    "there is no option `{other}`{}",
                    super::vocabulary::nearest(other, known.into_iter())
                ));
            }
        }
    }
    Ok(options)
}

fn seen(engine: &mut Engine) {
    member(engine, "passed", |seen: &mut Seen| seen.tally.passed);
    member(engine, "denied", |seen: &mut Seen| seen.tally.denied);
    member(engine, "failed", |seen: &mut Seen| seen.tally.failed);
    member(engine, "lost", |seen: &mut Seen| seen.tally.lost);
    member(engine, "closed", |seen: &mut Seen| seen.tally.closed);
    member(engine, "delayed", |seen: &mut Seen| seen.tally.delayed);
    member(engine, "throttled", |seen: &mut Seen| seen.tally.throttled);
    member(engine, "routed", |seen: &mut Seen| seen.tally.routed);
    member(engine, "exists", |seen: &mut Seen| seen.record.is_some());
    member(engine, "message", |seen: &mut Seen| seen.message.clone().map_or(Dynamic::UNIT, Dynamic::from));
    member(engine, "code", |seen: &mut Seen| {
        seen.code.map_or(Dynamic::UNIT, |code| Dynamic::from(code.to_string()))
    });
    method(engine, "key", 0..=0, |seen: &mut Seen, _| {
        Ok(text(seen.record.as_ref().and_then(|r| r.key.as_ref())))
    });
    method(engine, "value", 0..=0, |seen: &mut Seen, _| {
        Ok(text(seen.record.as_ref().and_then(|r| r.value.as_ref())))
    });
    method(engine, "header", 1..=1, |seen: &mut Seen, call| {
        let name = call.text(0)?;
        let headers = seen.record.iter().flat_map(|r| r.headers.iter().rev());
        let found = headers.clone().find(|(n, _)| n[..] == *name.as_bytes());
        Ok(found.map_or(Dynamic::UNIT, |(_, value)| text(value.as_ref())))
    });
    method(engine, "value", 1..=1, |seen: &mut Seen, call| {
        let path = ValuePath::parse(&call.text(0)?)?;
        let value = seen.record.as_ref().and_then(|record| record.value.as_ref());
        let found = value.and_then(|value| path.first(value, &mut Vec::new(), found)).flatten();
        Ok(found.unwrap_or(Dynamic::UNIT))
    });
}

fn expectations(engine: &mut Engine) {
    word(engine, "expect", 1..=1, |call| Ok(Expectation(call.value(0))));
    method(engine, "to_equal", 1..=1, |expectation: &mut Expectation, call| {
        let wanted = call.value(0);
        match equal(&expectation.0, &wanted) {
            true => Ok(()),
            false => Err(format!("expected {}, got {}", describe(&wanted), describe(&expectation.0))),
        }
    });
    let of = |word, what: &'static str, holds: fn(&Seen) -> bool| (word, what, holds);
    for (word, what, holds) in [
        of("to_be_denied", "a refusal", |seen| seen.denied),
        of("to_be_lost", "no answer", |seen| seen.lost),
        of("to_be_closed", "a closed session", |seen| seen.closed),
        of("to_pass", "that nothing happens", Seen::passed),
    ] {
        method(engine, word, 0..=0, move |expectation: &mut Expectation, call| {
            let seen = expectation.seen(&call)?;
            match holds(&seen) {
                true => Ok(()),
                false => Err(format!("expected {what}, but it {}", seen.told_with_verb())),
            }
        });
    }
    method(engine, "to_be_struck_by", 1..=1, |expectation: &mut Expectation, call| {
        let (seen, word) = (expectation.seen(&call)?, call.text(0)?);
        match seen.struck.contains(&word.as_str()) {
            true => Ok(()),
            false => Err(format!("expected {word}, but it {}", seen.told_with_verb())),
        }
    });
    method(engine, "to_be_routed_to", 1..=1, |expectation: &mut Expectation, call| {
        let (seen, topic) = (expectation.seen(&call)?, call.text(0)?);
        match seen.routed.as_ref() == Some(&topic) {
            true => Ok(()),
            false => Err(format!("expected a letter to {topic}, but it {}", seen.told_with_verb())),
        }
    });
    method(engine, "to_fail_with", 1..=1, |expectation: &mut Expectation, call| {
        let (seen, code) = (expectation.seen(&call)?, code(&call)?);
        match seen.code == Some(code) {
            true => Ok(()),
            false => Err(format!("expected the error {code}, but it {}", seen.told_with_verb())),
        }
    });
    method(engine, "to_be_throttled_by", 2..=2, |expectation: &mut Expectation, call| {
        let (seen, from, to) = (expectation.seen(&call)?, call.duration(0)?, call.duration(1)?);
        match (from..=to).contains(&seen.throttled) && !seen.throttled.is_zero() {
            true => Ok(()),
            false => Err(format!("expected to wait {from:?} to {to:?}, but it {}", seen.told_with_verb())),
        }
    });
    method(engine, "to_be_held_until", 1..=1, |expectation: &mut Expectation, call| {
        let (seen, api) = (expectation.seen(&call)?, call.text(0)?);
        match seen.held == Some(api.as_str()) {
            true => Ok(()),
            false => Err(format!("expected it to wait for {api}, but it {}", seen.told_with_verb())),
        }
    });
    method(engine, "to_expire_after", 2..=2, |expectation: &mut Expectation, call| {
        let (seen, from, to) = (expectation.seen(&call)?, call.duration(0)?, call.duration(1)?);
        match seen.lifetime {
            Some(lifetime) if (from..=to).contains(&lifetime) => Ok(()),
            Some(lifetime) => {
                Err(format!("expected it to be good for {from:?} to {to:?}, and it is for {lifetime:?}"))
            }
            None => {
                Err(format!("expected it to end after {from:?} to {to:?}, but it {}", seen.told_with_verb()))
            }
        }
    });
    method(engine, "to_be_delayed_by", 2..=2, |expectation: &mut Expectation, call| {
        let (seen, from, to) = (expectation.seen(&call)?, call.duration(0)?, call.duration(1)?);
        match (from..=to).contains(&seen.delay) {
            true => Ok(()),
            false => Err(format!("expected a delay of {from:?} to {to:?}, but it {}", seen.told_with_verb())),
        }
    });
}

impl Seen {
    fn told_with_verb(&self) -> String {
        match self.told() {
            told if told == "passed" => told,
            told => format!("was {told}"),
        }
    }
}

impl Expectation {
    fn seen(&self, call: &Call<'_, '_>) -> Result<Seen, String> {
        self.0
            .clone()
            .try_cast::<Seen>()
            .ok_or_else(|| call.wants("what produced, fetched, requested, connected or disk gave", &self.0))
    }
}

/// Equality as a reader of a test means it: `1` and `1.0` are equal, lists and maps by their content.
fn equal(a: &Dynamic, b: &Dynamic) -> bool {
    let number = |v: &Dynamic| v.as_float().ok().or_else(|| v.as_int().ok().map(|n| n as f64));
    if let (Some(a), Some(b)) = (a.read_lock::<Array>(), b.read_lock::<Array>()) {
        return a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| equal(a, b));
    }
    if let (Some(a), Some(b)) = (a.read_lock::<Map>(), b.read_lock::<Map>()) {
        let same = |(name, a): (_, &Dynamic)| b.get(name).is_some_and(|b| equal(a, b));
        return a.len() == b.len() && a.iter().all(same);
    }
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a == b,
        (None, None) => a.type_id() == b.type_id() && a.to_string() == b.to_string(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;

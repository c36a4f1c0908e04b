//! Where the words of tests act: a client and an upstream that does what it is asked, around a plan.

use super::{replies, requests};
use crate::policy::clock::Clock;
use crate::policy::evaluate::{DiskEnd, Entered, ExchangeContext, on_connect, on_disk};
use crate::policy::fault::disk::Operation;
use crate::policy::generation::{EmbeddedBroker, Generation, Policies, Settings, Shared, Who};
use crate::policy::load::Script;
use crate::policy::rule::{Action, Kind, PolicyInfo};
use crate::policy::schema::Schemas;
use crate::policy::script::testing::{Act, Bench, Doing, Options, Seen, SeenRecord};
use crate::policy::secrets::Secrets;
use crate::policy::verdict::{Outcome, Verdict};
use crate::wire::record::{
    BatchBuilder, BatchHeader, HeadersBuf, RecordError, Records, batches, with_codecs,
};
use crate::wire::{ApiKey, ErrorCode, Request, RequestBody, Response, ResponseBody};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// The worlds of one test: one a seed.
pub struct Worlds {
    script: Script,
    secrets: Secrets,
    schemas: Schemas,
    clock: Clock,
    by_seed: RefCell<HashMap<Option<u64>, Arc<Policies>>>,
    /// Makes each batch, and each place, another.
    count: Cell<i64>,
}

impl Worlds {
    pub fn new(info: &PolicyInfo, secrets: Secrets, schemas: Schemas) -> Self {
        Self {
            script: Script { file: info.file.clone(), text: Arc::clone(&info.text) },
            secrets,
            schemas,
            clock: Clock::manual(),
            by_seed: RefCell::default(),
            count: Cell::new(0),
        }
    }

    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// How often each rule was met in all worlds, and how often it acted, by its identity.
    pub fn counts(&self) -> HashMap<u64, (u64, u64)> {
        let mut counts: HashMap<u64, (u64, u64)> = HashMap::new();
        for world in self.by_seed.borrow().values() {
            for rule in world.current().policies.iter().flat_map(|policy| &policy.rules) {
                let (matched, applied, _) = rule.life.counters.read();
                let count = counts.entry(rule.key).or_default();
                *count = (count.0 + matched, count.1 + applied);
            }
        }
        counts
    }

    fn world(&self, seed: Option<u64>) -> Result<Arc<Policies>, String> {
        if let Some(world) = self.by_seed.borrow().get(&seed) {
            return Ok(Arc::clone(world));
        }
        let world = Policies::new(Shared::new(Settings {
            clock: self.clock.clone(),
            forced_seed: seed,
            secrets: self.secrets.clone(),
            schemas: self.schemas.clone(),
            allow_crash: true,
            broker: Some(Arc::new(AnyLog)),
            ..Settings::default()
        }));
        world
            .load(std::slice::from_ref(&self.script))
            .map_err(|errors| errors.first().map_or_else(String::new, |error| error.message.clone()))?;
        self.by_seed.borrow_mut().insert(seed, Arc::clone(&world));
        Ok(world)
    }
}

/// A broker whose logs lose what they are told to.
#[derive(Debug)]
struct AnyLog;

impl EmbeddedBroker for AnyLog {
    fn truncate(&self, _topic: &str, _partition: i32, _records: u64) -> bool {
        true
    }
}

impl Bench for Worlds {
    fn act(&self, doing: Doing) -> Result<Seen, String> {
        let options = &doing.options;
        let world = self.world(options.seed)?;
        if let Some(at) = options.at {
            self.clock.advance_to(at);
        }
        let who = Who {
            principal: options.principal.as_str().into(),
            client_id: options.client_id.as_str().into(),
            listener: options.listener.as_str().into(),
            remote_ip: options.ip,
        };
        let mut last = Seen::default();
        for _ in 0..options.times {
            let count = self.count.replace(self.count.get() + 1);
            let mut seen = one(&world, &who, &doing, count)?;
            seen.tally = last.tally;
            tally(&mut seen);
            last = seen;
        }
        Ok(last)
    }
}

fn tally(seen: &mut Seen) {
    let tally = &mut seen.tally;
    tally.delayed += i64::from(!seen.delay.is_zero());
    tally.throttled += i64::from(!seen.throttled.is_zero());
    let of = match () {
        () if seen.denied => &mut tally.denied,
        () if seen.closed => &mut tally.closed,
        () if seen.lost => &mut tally.lost,
        () if seen.code.is_some() => &mut tally.failed,
        () if seen.routed.is_some() => &mut tally.routed,
        () => &mut tally.passed,
    };
    *of += 1;
}

fn one(world: &Policies, who: &Who, doing: &Doing, count: i64) -> Result<Seen, String> {
    let generation = world.current();
    let before = faults(&generation);
    let mut seen = match &doing.act {
        Act::Connected => connected(&generation, who, doing.options.tls),
        Act::Disk { operation, topic } => worked(&generation, *operation, topic, doing.options.partition),
        _ => exchanged(world, &generation, who, doing, count)?,
    };
    for ((words, after), (_, before)) in faults(&generation).into_iter().zip(before) {
        if after > before {
            seen.struck.extend(words);
        }
    }
    Ok(seen)
}

/// The words of the faults of each rule that does not only watch, and how often it was applied.
fn faults(generation: &Generation) -> Vec<(Vec<&'static str>, u64)> {
    let rules = generation.rules(Kind::Chaos).filter(|rule| !rule.observe);
    let told = rules.map(|rule| {
        let words = rule.actions.iter().filter_map(|action| match action {
            Action::Fault(fault) => Some(fault.word()),
            _ => None,
        });
        (words.collect(), rule.life.counters.read().1)
    });
    told.collect()
}

fn connected(generation: &Generation, who: &Who, tls: bool) -> Seen {
    let entered = Entered { name: &who.listener, tls };
    let verdict = on_connect(generation, entered, who.remote_ip, 0).unwrap_or_default();
    Seen {
        denied: verdict.deny,
        closed: verdict.deny || verdict.end.is_some() || verdict.tls.is_some(),
        delay: verdict.delay,
        ..Seen::default()
    }
}

/// What an operation on a log's files meets, and what the client it is done for would be told.
fn worked(generation: &Generation, operation: Operation, topic: &str, partition: i32) -> Seen {
    let verdict = on_disk(generation, operation, topic, partition).unwrap_or_default();
    Seen {
        delay: verdict.waits.iter().map(|(_, time)| *time).sum(),
        code: matches!(verdict.end, Some(DiskEnd::Full | DiskEnd::Failed))
            .then_some(ErrorCode::KAFKA_STORAGE_ERROR),
        closed: matches!(verdict.end, Some(DiskEnd::Crash(_))),
        ..Seen::default()
    }
}

fn exchanged(
    world: &Policies,
    generation: &Arc<Generation>,
    who: &Who,
    doing: &Doing,
    count: i64,
) -> Result<Seen, String> {
    let plan = generation.plan(who);
    let cx = ExchangeContext { who, session: 0 };
    let mut request = requests::request(doing, count).map_err(|error| error.to_string())?;
    let mut original = request.clone();
    let verdict = plan.on_request(&cx, &mut request);
    let mut seen = told(&verdict);
    if let Act::Produced { .. } = doing.act {
        seen.record = stored(&seen, &mut request);
    }
    for routed in &verdict.routed {
        // all of it arrives
        plan.routed(&cx, &original, routed, None);
        if let Some(letters) = routed.letters.first() {
            seen.routed = Some(letters.topic.to_string());
            seen.record = letters.batches.first().and_then(|batch| first_record(&batch.payload));
        }
    }
    if verdict.forwards_nothing() {
        return Ok(seen);
    }
    // a broker that stands still answers later
    seen.delay += world.paused().unwrap_or_default();
    original.body().map_err(|error| error.to_string())?;
    let fetched = match &doing.act {
        Act::Fetched { value, .. } => Some(
            requests::batch(value.as_deref(), &doing.options, count).map_err(|error| error.to_string())?,
        ),
        _ => None,
    };
    let brings = fetched.is_some();
    if let Some(mut response) = replies::reply(&mut original, fetched.unwrap_or_default(), &doing.options) {
        let decided = plan.on_response(&cx, &original, &verdict, &mut response);
        seen.delay += decided.delay;
        seen.lost |= decided.lose.is_some();
        seen.closed |= decided.end.is_some();
        if brings {
            read(&mut seen, response);
        }
    }
    Ok(seen)
}

/// What the request's verdict alone tells the client.
fn told(verdict: &Verdict) -> Seen {
    let mut seen = Seen {
        denied: verdict.refused,
        lost: verdict.lose.is_some(),
        closed: verdict.end.is_some(),
        delay: verdict.delay,
        throttled: verdict.throttle.max(verdict.mute),
        held: verdict.held.as_ref().and_then(|held| held.awaited.api.name()),
        lifetime: verdict.lifetime.as_ref().map(|hold| hold.delay),
        code: verdict.whole,
        ..Seen::default()
    };
    if let Some(Outcome::Answer { code, message, .. }) = verdict.parts.iter().find(|part| !part.is_forward())
    {
        (seen.code, seen.message) = (Some(*code), message.clone());
    }
    let after = verdict.after.first().map(|(_, code)| *code).or(verdict.after_whole);
    seen.code = seen.code.or(after);
    seen
}

/// What a produce leaves in the log.
fn stored(seen: &Seen, request: &mut Request) -> Option<SeenRecord> {
    if seen.denied || seen.closed || seen.code.is_some() {
        return None;
    }
    let Ok(RequestBody::Produce(produce)) = request.body() else { return None };
    let payload = &produce.topic_data.first()?.partition_data.first()?.records;
    first_record(&payload.to_bytes().ok()?)
}

fn read(seen: &mut Seen, response: Response) {
    let ResponseBody::Fetch(fetch) = response.body else { return };
    let throttled = u64::try_from(fetch.throttle_time_ms).unwrap_or_default();
    seen.throttled = seen.throttled.max(Duration::from_millis(throttled));
    let Some(partition) = fetch.responses.first().and_then(|topic| topic.partitions.first()) else { return };
    if partition.error_code != 0 {
        let code = ErrorCode(partition.error_code);
        seen.code = Some(code);
        seen.denied |= code == ErrorCode::TOPIC_AUTHORIZATION_FAILED;
        return;
    }
    seen.record = partition.records.to_bytes().ok().and_then(|payload| first_record(&payload));
    // a record that was there and is not any more was refused
    seen.denied |= seen.record.is_none();
}

fn first_record(payload: &Bytes) -> Option<SeenRecord> {
    with_codecs(|decompressor, _| {
        let batch = batches(payload).next()?.ok()?;
        let record = Records::open(batch.bytes, &batch.header, decompressor, 1 << 24).ok()?.next()?.ok()?;
        let copy = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
        Some(SeenRecord {
            key: record.key.map(copy),
            value: record.value.map(copy),
            headers: record.headers.into_iter().map(|h| (copy(h.key), h.value.map(copy))).collect(),
        })
    })
}

/// One record as a batch; `count` makes it another than the ones before.
pub(super) fn one_record(value: Option<&[u8]>, options: &Options, count: i64) -> Result<Bytes, RecordError> {
    with_codecs(|_, compressor| {
        let header = BatchHeader { base_offset: count, ..BatchHeader::default() };
        let mut builder = BatchBuilder::new(header, compressor);
        let mut headers = HeadersBuf::new();
        for (name, value) in &options.headers {
            headers.push(name.as_bytes(), value.as_ref().map(String::as_bytes));
        }
        builder.append(count, options.key.as_deref(), value, headers.as_headers())?;
        builder.finish()
    })
}

/// Which api a doing is.
pub(super) fn api(act: &Act) -> ApiKey {
    match act {
        Act::Produced { .. } => ApiKey::Produce,
        Act::Fetched { .. } => ApiKey::Fetch,
        Act::Requested { api } => *api,
        Act::Connected | Act::Disk { .. } => ApiKey::ApiVersions,
    }
}

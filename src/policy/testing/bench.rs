//! Where the words of tests act: a client and an upstream that does what it is asked, around a plan.

use super::requests;
use crate::policy::clock::Clock;
use crate::policy::evaluate::{ExchangeContext, on_connect};
use crate::policy::generation::{Policies, Settings, Shared, Who};
use crate::policy::load::Script;
use crate::policy::rule::PolicyInfo;
use crate::policy::script::testing::{Act, Bench, Doing, Options, Seen, SeenRecord};
use crate::policy::secrets::Secrets;
use crate::policy::verdict::{Outcome, Verdict};
use crate::wire::api::fetch::{FetchPartitionData, FetchResponse, FetchableTopicResponse};
use crate::wire::record::{
    BatchBuilder, BatchHeader, HeadersBuf, RecordError, Records, batches, with_codecs,
};
use crate::wire::{ApiKey, Payload, Request, RequestBody, Response, ResponseBody};
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

/// The worlds of one test: one a seed.
pub struct Worlds {
    script: Script,
    secrets: Secrets,
    clock: Clock,
    by_seed: RefCell<HashMap<Option<u64>, Arc<Policies>>>,
    /// Makes each batch, and each place, another.
    count: Cell<i64>,
}

impl Worlds {
    pub fn new(info: &PolicyInfo, secrets: Secrets) -> Self {
        Self {
            script: Script { file: info.file.clone(), text: Arc::clone(&info.text) },
            secrets,
            clock: Clock::manual(),
            by_seed: RefCell::default(),
            count: Cell::new(0),
        }
    }

    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    fn world(&self, seed: Option<u64>) -> Result<Arc<Policies>, String> {
        if let Some(world) = self.by_seed.borrow().get(&seed) {
            return Ok(Arc::clone(world));
        }
        let world = Policies::new(Shared::new(Settings {
            clock: self.clock.clone(),
            forced_seed: seed,
            secrets: self.secrets.clone(),
            ..Settings::default()
        }));
        world
            .load(std::slice::from_ref(&self.script))
            .map_err(|errors| errors.first().map_or_else(String::new, |error| error.message.clone()))?;
        self.by_seed.borrow_mut().insert(seed, Arc::clone(&world));
        Ok(world)
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
    let of = match () {
        () if seen.denied => &mut tally.denied,
        () if seen.closed => &mut tally.closed,
        () if seen.lost => &mut tally.lost,
        () if seen.code.is_some() => &mut tally.failed,
        () => &mut tally.passed,
    };
    *of += 1;
}

fn one(world: &Policies, who: &Who, doing: &Doing, count: i64) -> Result<Seen, String> {
    let generation = world.current();
    if let Act::Connected = doing.act {
        let verdict = on_connect(&generation, &who.listener, who.remote_ip, 0).unwrap_or_default();
        return Ok(Seen {
            denied: verdict.deny,
            closed: verdict.deny || verdict.end.is_some(),
            delay: verdict.delay,
            struck: verdict.links.iter().map(|link| link.fault.word()).collect(),
            ..Seen::default()
        });
    }
    let plan = generation.plan(who);
    let cx = ExchangeContext { who, session: 0 };
    let mut request = requests::request(doing, count).map_err(|error| error.to_string())?;
    let original = request.clone();
    let verdict = plan.on_request(&cx, &mut request);
    let mut seen = told(&verdict);
    match &doing.act {
        Act::Produced { .. } => seen.record = stored(&seen, &mut request),
        Act::Fetched { value, .. } if !verdict.forwards_nothing() => {
            let payload = requests::batch(value.as_deref(), &doing.options, count)
                .map_err(|error| error.to_string())?;
            let mut original = original;
            original.body().map_err(|error| error.to_string())?;
            let mut response = reply(&original, payload);
            let decided = plan.on_response(&cx, &original, &verdict, &mut response);
            seen.delay += decided.delay;
            seen.lost |= decided.lose.is_some();
            seen.closed |= decided.end.is_some();
            read(&mut seen, response);
        }
        _ => {}
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

/// The upstream's answer to a fetch: one record, at the offset asked for.
fn reply(request: &Request, records: Bytes) -> Response {
    let mut body = FetchResponse::default();
    if let Ok(RequestBody::Fetch(fetch)) = request.decoded() {
        for topic in &fetch.topics {
            let partitions = topic.partitions.iter().map(|partition| FetchPartitionData {
                partition_index: partition.partition,
                high_watermark: partition.fetch_offset + 1,
                records: Payload::Bytes(records.clone()),
                ..FetchPartitionData::default()
            });
            body.responses.push(FetchableTopicResponse {
                topic: topic.topic.clone(),
                topic_id: topic.topic_id,
                partitions: partitions.collect(),
                ..FetchableTopicResponse::default()
            });
        }
    }
    Response::new(request, ResponseBody::from(body))
}

fn read(seen: &mut Seen, response: Response) {
    let ResponseBody::Fetch(fetch) = response.body else { return };
    let Some(partition) = fetch.responses.first().and_then(|topic| topic.partitions.first()) else { return };
    if partition.error_code != 0 {
        let code = crate::wire::ErrorCode(partition.error_code);
        seen.code = Some(code);
        seen.denied |= code == crate::wire::ErrorCode::TOPIC_AUTHORIZATION_FAILED;
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
        Act::Connected => ApiKey::ApiVersions,
    }
}

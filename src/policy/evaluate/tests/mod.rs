//! Exchanges and what the rules make of them, with real messages and no server.

mod access;
mod acls;
mod books;
mod broker;
mod chaos;
mod connecting;
mod depth;
mod determinism;
mod disk;
mod hold;
mod learning;
mod limit;
mod link;
mod quota;
mod records;
mod regressions;
mod replies;
mod route;
mod sasl;
mod sealed;
mod security;
mod seen;
mod shared;
mod strike;
mod told;
mod watching;

use super::{Entered, ExchangeContext, on_connect};
use crate::policy::clock::Clock;
use crate::policy::generation::{Generation, Policies, Settings, Shared, Who};
use crate::policy::journal::Lines;
use crate::policy::load::Script;
use crate::policy::names::{Names, TopicIds};
use crate::policy::secrets::Secrets;
use crate::policy::verdict::{Outcome, ResponseVerdict, Verdict};
use crate::wire::api::{fetch, produce};
use crate::wire::record::{BatchBuilder, BatchHeader, HeadersBuf, Records, batches, with_codecs};
use crate::wire::{ErrorCode, Payload, Request, RequestBody, Response, ResponseBody, Str, Uuid};
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

/// A listener without TLS.
fn plain(name: &str) -> Entered<'_> {
    Entered { name, tls: false }
}

/// The policies of a process, its clock and what it wrote down.
struct World {
    policies: Arc<Policies>,
    clock: Clock,
    topics: Arc<Topics>,
}

/// Topics that the upstream knows.
#[derive(Default)]
struct Topics(Mutex<HashMap<Uuid, Str>>);

impl Topics {
    fn put(&self, id: u8, name: &str) {
        self.0.lock().unwrap().insert(Uuid([id; 16]), name.into());
    }
}

impl TopicIds for Topics {
    fn name(&self, id: Uuid) -> Option<Str> {
        self.0.lock().unwrap().get(&id).cloned()
    }

    fn exists(&self, name: &str) -> Option<bool> {
        Some(self.0.lock().unwrap().values().any(|known| known == name))
    }

    fn knows_all(&self) -> bool {
        true
    }
}

/// A world with these files.
fn world(files: &[(&str, &str)]) -> World {
    world_with(files, Settings::default())
}

fn world_with(files: &[(&str, &str)], settings: Settings) -> World {
    let clock = Clock::manual();
    let topics = Arc::new(Topics::default());
    let policies = Policies::new(Shared::new(Settings {
        clock: clock.clone(),
        seed: 1,
        names: Names::new(topics.clone()),
        journal: Lines::memory(),
        audit: Lines::memory(),
        secrets: Secrets::made_up(),
        ..settings
    }));
    let world = World { policies, clock, topics };
    world.load(files);
    world
}

fn one(text: &str) -> World {
    world(&[("p", text)])
}

fn who(principal: &str) -> Who {
    client(principal, "c")
}

fn client(principal: &str, client_id: &str) -> Who {
    Who {
        principal: principal.into(),
        client_id: client_id.into(),
        listener: "public".into(),
        remote_ip: [10, 0, 0, 1].into(),
    }
}

impl World {
    fn load(&self, files: &[(&str, &str)]) {
        let scripts: Vec<Script> = files
            .iter()
            .map(|(name, text)| Script { file: format!("{name}.rhai").into(), text: Arc::from(*text) })
            .collect();
        self.policies.load(&scripts).unwrap_or_else(|errors| panic!("{}", errors[0]));
    }

    fn generation(&self) -> Arc<Generation> {
        self.policies.current()
    }

    fn ask(&self, who: &Who, request: &mut Request) -> Verdict {
        let plan = self.generation().plan(who);
        plan.on_request(&ExchangeContext { who, session: 1 }, request)
    }

    /// Produces to (topic, value) pairs, in this order.
    fn produce(&self, who: &Who, parts: &[(&str, &str)]) -> Verdict {
        self.ask(who, &mut producing(parts, 0))
    }

    /// A fetch of partition 0 of these topics from offset 0, answered with one record each.
    fn fetch(&self, who: &Who, parts: &[(&str, &str)]) -> Fetched {
        self.fetch_from(who, parts, 0)
    }

    fn fetch_from(&self, who: &Who, parts: &[(&str, &str)], offset: i64) -> Fetched {
        let payloads: Vec<(&str, Bytes)> =
            parts.iter().map(|(topic, value)| (*topic, batch(&[value], offset))).collect();
        self.fetch_payloads(who, &payloads, offset)
    }

    fn fetch_payloads(&self, who: &Who, parts: &[(&str, Bytes)], offset: i64) -> Fetched {
        let topics: Vec<&str> = parts.iter().map(|(topic, _)| *topic).collect();
        let mut request = fetching(&topics, offset);
        let verdict = self.ask(who, &mut request);
        let mut response = answering(parts);
        // what was answered at the request is merged in before the rules see the response
        for (topic, outcome) in response.responses.iter_mut().zip(&verdict.parts) {
            if let Outcome::Answer { code, .. } = outcome {
                topic.partitions[0].error_code = code.0;
                topic.partitions[0].records = Payload::Null;
            }
        }
        let mut response = Response::new(&request, ResponseBody::from(response));
        let plan = self.generation().plan(who);
        let cx = ExchangeContext { who, session: 1 };
        let decided = plan.on_response(&cx, &request, &verdict, &mut response);
        let ResponseBody::Fetch(body) = response.body else { panic!("not a fetch") };
        Fetched { verdict, decided, body: *body }
    }

    fn journal(&self) -> Vec<serde_json::Value> {
        self.policies.shared().journal.taken()
    }

    fn audit(&self) -> Vec<serde_json::Value> {
        self.policies.shared().audit.taken()
    }

    /// (matched, applied, could not apply) of the rule at a place of the policies' list.
    fn counts(&self, at: usize) -> (u64, u64, u64) {
        let generation = self.generation();
        let rule = generation.policies.iter().flat_map(|policy| &policy.rules).nth(at).unwrap();
        rule.life.counters.read()
    }
}

struct Fetched {
    verdict: Verdict,
    decided: ResponseVerdict,
    body: fetch::Response,
}

impl Fetched {
    fn code(&self, at: usize) -> ErrorCode {
        ErrorCode(self.body.responses[at].partitions[0].error_code)
    }

    fn payload(&self, at: usize) -> Bytes {
        self.body.responses[at].partitions[0].records.to_bytes().unwrap()
    }

    /// The values of a partition, null as none.
    fn values(&self, at: usize) -> Vec<Option<String>> {
        values(&self.payload(at))
    }
}

fn values(payload: &Bytes) -> Vec<Option<String>> {
    with_codecs(|decompressor, _| {
        let mut values = Vec::new();
        for batch in batches(payload) {
            let batch = batch.unwrap();
            for record in Records::open(batch.bytes, &batch.header, decompressor, 1 << 24).unwrap() {
                let value = record.unwrap().value.map(|v| String::from_utf8_lossy(v).into_owned());
                values.push(value);
            }
        }
        values
    })
}

fn some(values: &[&str]) -> Vec<Option<String>> {
    values.iter().map(|value| Some((*value).to_owned())).collect()
}

/// A batch of these values; the offset makes it another.
fn batch(values: &[&str], offset: i64) -> Bytes {
    batch_with_headers(values, offset, &[])
}

fn batch_with_headers(values: &[&str], offset: i64, headers: &[(&str, &str)]) -> Bytes {
    with_codecs(|_, compressor| {
        let header = BatchHeader { base_offset: offset, ..BatchHeader::default() };
        let mut builder = BatchBuilder::new(header, compressor);
        let mut list = HeadersBuf::new();
        for (name, value) in headers {
            list.push(name.as_bytes(), Some(value.as_bytes()));
        }
        for value in values {
            builder.append(1_000 + offset, None, Some(value.as_bytes()), list.as_headers()).unwrap();
        }
        builder.finish().unwrap()
    })
}

/// As an idempotent producer sends it.
fn sequenced(values: &[&str], producer_id: i64, base_sequence: i32) -> Bytes {
    with_codecs(|_, compressor| {
        let header = BatchHeader { producer_id, producer_epoch: 0, base_sequence, ..BatchHeader::default() };
        let mut builder = BatchBuilder::new(header, compressor);
        for value in values {
            builder.append(1_000, None, Some(value.as_bytes()), HeadersBuf::new().as_headers()).unwrap();
        }
        builder.finish().unwrap()
    })
}

fn producing(parts: &[(&str, &str)], count: i64) -> Request {
    let payloads: Vec<(&str, Bytes)> =
        parts.iter().map(|(topic, value)| (*topic, batch(&[value], count))).collect();
    producing_payloads(&payloads, -1)
}

fn producing_payloads(parts: &[(&str, Bytes)], acks: i16) -> Request {
    let topics = parts.iter().map(|(name, payload)| produce::TopicProduceData {
        name: (*name).into(),
        partition_data: vec![produce::PartitionProduceData {
            index: 0,
            records: Payload::Bytes(payload.clone()),
            ..Default::default()
        }],
        ..Default::default()
    });
    let body = produce::Request { acks, topic_data: topics.collect(), ..Default::default() };
    decoded(Request::new(12, 7, Some("c".into()), body.into()).unwrap())
}

fn fetching(topics: &[&str], offset: i64) -> Request {
    let topics = topics.iter().map(|name| fetch::FetchTopic {
        topic: (*name).into(),
        partitions: vec![fetch::FetchPartition { partition: 0, fetch_offset: offset, ..Default::default() }],
        ..Default::default()
    });
    let body = fetch::Request { topics: topics.collect(), ..Default::default() };
    decoded(Request::new(12, 7, Some("c".into()), body.into()).unwrap())
}

fn answering(parts: &[(&str, Bytes)]) -> fetch::Response {
    let responses = parts.iter().map(|(name, payload)| fetch::FetchableTopicResponse {
        topic: (*name).into(),
        partitions: vec![fetch::FetchPartitionData {
            records: Payload::Bytes(payload.clone()),
            ..Default::default()
        }],
        ..Default::default()
    });
    fetch::Response { responses: responses.collect(), ..Default::default() }
}

/// As a server has it: from bytes, its body opaque.
fn decoded(request: Request) -> Request {
    let mut frame = Vec::new();
    for piece in request.encode().unwrap() {
        match piece {
            crate::wire::Piece::Bytes(bytes) => frame.extend_from_slice(&bytes),
            crate::wire::Piece::Source(_) => panic!("requests are in memory"),
        }
    }
    Request::parse(Bytes::from(frame).slice(4..)).unwrap()
}

fn request(version: i16, body: impl Into<RequestBody>) -> Request {
    decoded(Request::new(version, 7, Some("c".into()), body.into()).unwrap())
}

fn code(outcome: &Outcome) -> Option<ErrorCode> {
    match outcome {
        Outcome::Forward => None,
        Outcome::Answer { code, .. } => Some(*code),
    }
}

fn codes(verdict: &Verdict) -> Vec<Option<ErrorCode>> {
    verdict.parts.iter().map(code).collect()
}

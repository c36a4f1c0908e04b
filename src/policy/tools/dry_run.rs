//! What policies would have done to recorded sessions (`policy::capture`): every request and answer of the capture goes through the
//! evaluation that serves, with the capture's time, and with rules that only watch. Nothing is forwarded, nobody is answered.

mod report;
mod topics;

pub use report::Report;

use crate::policy::capture::{Problem, Reader, Record, What, is_secret};
use crate::policy::clock::Clock;
use crate::policy::error::LoadError;
use crate::policy::evaluate::{Entered, ExchangeContext, on_connect};
use crate::policy::generation::{Generation, Policies, Settings, Shared, Who};
use crate::policy::journal::Lines;
use crate::policy::load::Script;
use crate::policy::names::Names;
use crate::policy::plan::Plan;
use crate::policy::rule::Rule;
use crate::policy::schema::Schemas;
use crate::policy::secrets::Secrets;
use crate::policy::verdict::{Interest, Verdict};
use crate::wire::api::{Part, Resource};
use crate::wire::{ApiKey, Request, RequestBody, Response, ResponseBody, Str};
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io::{Read, Seek};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use topics::Topics;

/// Requests of one session whose answers are awaited, and the bytes of all sessions' together.
const AWAITED: usize = 1_000;
const AWAITED_BYTES: usize = 256 << 20;
/// Sessions of which requests are remembered.
const SESSIONS: usize = 65_536;

/// Why nothing could be tried.
#[derive(Debug)]
pub enum DryRunError {
    Policies(Vec<LoadError>),
    Capture(Problem),
}

/// Feeds a capture to policies. Keys are made up: what is encrypted stays so.
///
/// # Errors
/// When the policies do not load, or the file is no capture, or cannot be read twice. Damage further on is told in the report.
pub fn dry_run(
    scripts: &[Script],
    schemas: &Schemas,
    mut capture: impl Read + Seek,
) -> Result<Report, DryRunError> {
    let topics = Arc::new(Topics::read(Reader::new(&mut capture).map_err(DryRunError::Capture)?));
    let rewound = capture.rewind();
    rewound.map_err(|e| {
        DryRunError::Capture(Problem { offset: 0, what: format!("it cannot be read twice: {e}") })
    })?;
    let records = Reader::new(capture).map_err(DryRunError::Capture)?;
    let clock = Clock::manual();
    let shared = Shared::new(Settings {
        clock: clock.clone(),
        names: Names::new(topics.clone()),
        secrets: Secrets::made_up(),
        schemas: schemas.clone(),
        allow_crash: true,
        watch_only: true,
        audit: Lines::memory(),
        ..Settings::default()
    });
    let policies = Policies::new(shared);
    let generation = policies.load(scripts).map_err(DryRunError::Policies)?;
    let mut run = Run::new(generation, clock);
    for (record, at) in records.zip(0..) {
        topics.stand_at(at);
        match record {
            Ok(record) => run.take(record),
            Err(problem) => run.report.problem = Some(problem),
        }
    }
    let awaited: usize = run.sessions.values().map(VecDeque::len).sum();
    run.report.unmatched += awaited as u64;
    Ok(run.report)
}

struct Run {
    generation: Arc<Generation>,
    rules: Vec<Arc<Rule>>,
    report: Report,
    clock: Clock,
    /// The time of the first record.
    began: Option<u64>,
    sessions: HashMap<u64, VecDeque<Awaited>>,
    awaited_bytes: usize,
}

/// A request that went upstream.
struct Awaited {
    who: Arc<Who>,
    plan: Arc<Plan>,
    request: Request,
    verdict: Verdict,
    bytes: usize,
}

/// Whose doing it was, and what it was about.
struct Doing<'a> {
    time: u64,
    who: &'a Who,
    topics: &'a [Str],
}

impl Run {
    fn new(generation: Arc<Generation>, clock: Clock) -> Self {
        Self {
            rules: generation.policies.iter().flat_map(|policy| policy.rules.iter().cloned()).collect(),
            report: Report::of(&generation),
            generation,
            clock,
            began: None,
            sessions: HashMap::new(),
            awaited_bytes: 0,
        }
    }

    fn take(&mut self, record: Record) {
        let Record { time, session, what } = record;
        let began = *self.began.get_or_insert(time);
        // a clock that was set back stands still here
        self.clock.advance_to(Duration::from_millis(time.saturating_sub(began)));
        self.report.saw(time);
        match what {
            What::Opened { listener, peer, tls } => {
                self.opened(time, session, Entered { name: &listener, tls }, peer);
            }
            What::Request { body_left_out: true, .. } => {
                self.report.requests += 1;
                self.report.left_out += 1;
            }
            What::Request { principal, listener, peer, frame, .. } => {
                self.report.requests += 1;
                let speaker = Speaker { principal, listener, peer };
                self.asked(time, session, &speaker, frame);
            }
            What::Answer { api, version, frame } => {
                self.report.answers += 1;
                self.answered(time, session, api, version, frame);
            }
            What::Closed => {
                for awaited in self.sessions.remove(&session).unwrap_or_default() {
                    self.awaited_bytes -= awaited.bytes;
                    self.report.unmatched += 1;
                }
            }
            What::Dropped(records) => self.report.dropped += records,
            What::Full => self.report.full = true,
        }
    }

    fn opened(&mut self, time: u64, session: u64, entered: Entered<'_>, peer: IpAddr) {
        self.report.sessions += 1;
        let who = Who {
            principal: "".into(),
            client_id: "".into(),
            listener: entered.name.into(),
            remote_ip: peer,
        };
        let before = self.counts();
        // what rules would do to the session is in their counts
        drop(on_connect(&self.generation, entered, peer, session));
        self.book(&before, &Doing { time, who: &who, topics: &[] });
    }

    fn asked(&mut self, time: u64, session: u64, speaker: &Speaker, frame: Bytes) {
        let bytes = frame.len();
        let Ok(mut request) = Request::parse(frame) else {
            self.report.unreadable += 1;
            return;
        };
        let who = Arc::new(Who {
            principal: (&*speaker.principal).into(),
            client_id: request.client_id().map_or("", |id| &**id).into(),
            listener: (&*speaker.listener).into(),
            remote_ip: speaker.peer,
        });
        let plan = self.generation.plan(&who);
        if plan.request_interest(request.api()).max(plan.response_interest(request.api()))
            == Interest::Nothing
        {
            return;
        }
        if request.body().is_err() {
            self.report.unreadable += 1;
            return;
        }
        let topics = self.topics(&request);
        let before = self.counts();
        let original = request.clone();
        let mut verdict = plan.on_request(&ExchangeContext { who: &who, session }, &mut request);
        if request.api() == ApiKey::Fetch {
            // within a session the answer names what the request does not
            verdict.response = verdict.response.max(plan.response_interest(request.api()));
        }
        self.book(&before, &Doing { time, who: &who, topics: &topics });
        let is_answered =
            !matches!(original.decoded(), Ok(RequestBody::Produce(produce)) if produce.acks == 0);
        if verdict.response > Interest::Nothing && is_answered {
            self.wait_for(session, Awaited { who, plan, request: original, verdict, bytes });
        }
    }

    /// Remembers a request until its answer comes. Where there is no room, the oldest of the session is forgotten.
    fn wait_for(&mut self, session: u64, awaited: Awaited) {
        if self.sessions.len() >= SESSIONS && !self.sessions.contains_key(&session) {
            self.report.unmatched += 1;
            return;
        }
        let queue = self.sessions.entry(session).or_default();
        self.awaited_bytes += awaited.bytes;
        queue.push_back(awaited);
        while queue.len() > AWAITED || (self.awaited_bytes > AWAITED_BYTES && !queue.is_empty()) {
            if let Some(oldest) = queue.pop_front() {
                self.awaited_bytes -= oldest.bytes;
                self.report.unmatched += 1;
            }
        }
    }

    fn answered(&mut self, time: u64, session: u64, api: ApiKey, version: i16, frame: Bytes) {
        if is_secret(api) {
            return;
        }
        let Ok(mut response) = Response::parse(api, version, frame) else {
            self.report.unreadable += 1;
            return;
        };
        let Some(queue) = self.sessions.get_mut(&session) else { return };
        let is_asked = |awaited: &Awaited| {
            awaited.request.correlation_id() == response.correlation_id
                && awaited.request.api() == api
                && awaited.request.version() == version
        };
        let Some(awaited) = queue.iter().position(is_asked).and_then(|at| queue.remove(at)) else { return };
        self.awaited_bytes -= awaited.bytes;
        let mut topics = self.topics(&awaited.request);
        topics.extend(self.fetched_topics(&response.body));
        let before = self.counts();
        let cx = ExchangeContext { who: &awaited.who, session };
        awaited.plan.on_response(&cx, &awaited.request, &awaited.verdict, &mut response);
        self.book(&before, &Doing { time, who: &awaited.who, topics: &topics });
    }

    fn topics(&self, request: &Request) -> Vec<Str> {
        let Ok(body) = request.decoded() else { return Vec::new() };
        let named = |part: &Part| match part.name.is_empty() {
            true => self.generation.shared.names.name(part.topic_id),
            false => Some(part.name.clone()),
        };
        let parts = RequestBody::parts(body, request.version());
        let topics: BTreeSet<Str> =
            parts.iter().filter(|part| part.resource == Resource::Topic).filter_map(named).collect();
        topics.into_iter().collect()
    }

    /// A fetch within a session names partitions only in its answer.
    fn fetched_topics(&self, body: &ResponseBody) -> Vec<Str> {
        let ResponseBody::Fetch(fetch) = body else { return Vec::new() };
        let name = |topic: &crate::wire::api::fetch::FetchableTopicResponse| match topic.topic.is_empty() {
            true => self.generation.shared.names.name(topic.topic_id),
            false => Some(topic.topic.clone()),
        };
        fetch.responses.iter().filter_map(name).collect()
    }

    fn counts(&self) -> Vec<(u64, u64)> {
        let read = |rule: &Arc<Rule>| {
            let (matched, applied, _) = rule.life.counters.read();
            (matched, applied)
        };
        self.rules.iter().map(read).collect()
    }

    /// Books what rules counted since, to whose doing it was.
    fn book(&mut self, before: &[(u64, u64)], doing: &Doing<'_>) {
        let after = self.counts();
        for (at, (before, after)) in before.iter().zip(&after).enumerate() {
            let (matched, acted) = (after.0 - before.0, after.1 - before.1);
            let (Some(rule), Some(report)) = (self.rules.get(at), self.report.rules.get_mut(at)) else {
                continue;
            };
            let topics = doing.topics.iter().filter(|topic| rule.selectors.topic_matches(topic));
            report.met(matched, acted, doing.time, doing.who, topics.map(|topic| &**topic));
        }
        for line in self.generation.shared.audit.taken() {
            let says = |field: &str, value: &str| line.get(field).is_some_and(|found| found == value);
            if !says("policy", "") || !says("decision", "deny") {
                continue;
            }
            let Some(report) = &mut self.report.default_deny else { continue };
            let named = line.get("name").and_then(|name| name.as_str()).filter(|_| says("resource", "topic"));
            report.met(1, 1, doing.time, doing.who, named.into_iter());
        }
    }
}

/// Of a recorded request.
struct Speaker {
    principal: Str,
    listener: Str,
    peer: IpAddr,
}

#[cfg(test)]
mod tests;

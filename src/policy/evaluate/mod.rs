//! From an exchange to its verdict: the rules of a plan applied, security strictly before chaos in both
//! directions, per part.
//!
//! `request` and `response` are the two stages; `access`, `records` (with `inspect`) and `chaos` what they have in common;
//! `route` takes records out of what is produced. `report` writes the journal and the audit trail. A security rule that fails refuses, a chaos rule that fails
//! lets pass.

mod access;
mod chaos;
mod connect;
mod disk;
mod inspect;
mod limit;
mod number;
mod operations;
mod quota;
mod records;
mod reply;
mod report;
mod request;
mod response;
mod route;
mod strike;
mod truncate;

pub use connect::{Entered, on_connect};
pub(super) use disk::stands_still;
pub use disk::{DiskEnd, DiskVerdict, on_disk, still_waits};
pub(super) use operations::tells_operations;

use super::generation::{Shared, Who};
use super::glob::Patterns;
use super::identity::{Met, Sequenced, Side, Subject};
use super::plan::{Candidates, Plan};
use super::rule::{Kind, Rule};
use super::script::closure::{self, Closure, ClosureError};
use super::script::objects::CxData;
use super::script::pending::Pending;
use super::sequences::Recounted;
use super::verdict::{Interest, Outcome, ResponseVerdict, Routed, Verdict};
use crate::wire::api::{Part, Resource};
use crate::wire::record::{Compression, batches};
use crate::wire::{ApiKey, ErrorCode, Payload, Request, RequestBody, Response, ResponseBody, Str};
use bytes::Bytes;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Bytes of one batch once decompressed, when rules look into it.
const DECOMPRESSED_BYTES: usize = 64 << 20;

/// Whose exchange it is.
#[derive(Debug, Clone, Copy)]
pub struct ExchangeContext<'a> {
    pub who: &'a Who,
    /// Number of the session, for journal and audit.
    pub session: u64,
}

impl Plan {
    /// Decides about a request. May edit its records in place.
    pub fn on_request(&self, cx: &ExchangeContext<'_>, request: &mut Request) -> Verdict {
        request::decide(self, cx, request)
    }

    /// Decides about a response that the answered parts were merged into already. `request` is the one that
    /// `verdict` was made of, before parts were taken out. May edit the response.
    pub fn on_response(
        &self,
        cx: &ExchangeContext<'_>,
        request: &Request,
        verdict: &Verdict,
        response: &mut Response,
    ) -> ResponseVerdict {
        response::decide(self, cx, request, verdict, response)
    }

    /// Topic ids of a request whose names the rules need and nobody here knows: what an upstream that has to
    /// be asked over the network should be asked first.
    pub fn unknown_topic_ids(&self, request: &mut Request) -> Vec<crate::wire::Uuid> {
        if !self.needs_topic_names(request.api()) {
            return Vec::new();
        }
        let version = request.version();
        let Ok(body) = request.body() else { return Vec::new() };
        let parts = body.parts(version);
        let ids = parts.iter().map(|part| part.topic_id);
        let unknown: BTreeSet<_> =
            ids.filter(|id| !id.is_zero() && self.shared.names.name(*id).is_none()).collect();
        unknown.into_iter().collect()
    }
}

/// Plain bytes of records that are looked into within a fraction of a millisecond.
const LIGHT_BYTES: usize = 64 << 10;

impl Plan {
    /// Whether [`Plan::on_request`] may take longer than an async worker should be kept from other sessions.
    pub fn is_heavy_request(&self, request: &Request) -> bool {
        self.request_interest(request.api()) >= Interest::Records
            && match request.decoded() {
                Ok(RequestBody::Produce(produce)) => {
                    let partitions = produce.topic_data.iter().flat_map(|topic| &topic.partition_data);
                    are_heavy(partitions.map(|partition| &partition.records))
                }
                _ => false,
            }
    }

    /// The same of [`Plan::on_response`].
    pub fn is_heavy_response(&self, verdict: &Verdict, response: &Response) -> bool {
        verdict.response >= Interest::Records
            && match &response.body {
                ResponseBody::Fetch(fetch) => {
                    let partitions = fetch.responses.iter().flat_map(|topic| &topic.partitions);
                    are_heavy(partitions.map(|partition| &partition.records))
                }
                _ => false,
            }
    }
}

/// A few compressed bytes may hold very many: they are always heavy.
fn are_heavy<'p>(payloads: impl Iterator<Item = &'p Payload>) -> bool {
    let mut plain = 0;
    let mut payloads = payloads.filter(|payload| !payload.is_empty());
    payloads.any(|payload| {
        plain += payload.len();
        let compressed = |bytes: &Bytes| {
            let mut batches = batches(bytes).map_while(Result::ok);
            batches.any(|batch| batch.header.compression() != Compression::None)
        };
        plain > LIGHT_BYTES || !matches!(payload, Payload::Bytes(bytes) if !compressed(bytes))
    })
}

/// One evaluation: what all steps of it need.
struct Round<'a> {
    plan: &'a Plan,
    shared: &'a Shared,
    who: &'a Who,
    session: u64,
    api: ApiKey,
    api_name: &'static str,
    version: i16,
    correlation_id: i32,
    /// It is about what a reply says, and counts apart from what is about the request. A fetch's events are places in a log,
    /// the same at both.
    of_reply: bool,
    now: Duration,
    /// When a closure was first shown a record: all of them together have a limited time.
    closures_since: Cell<Option<Instant>>,
}

/// What a part is about, with its topic's name.
#[derive(Debug, Clone, Default)]
struct About {
    resource: Option<Resource>,
    name: Str,
    partition: i32,
    /// Of the exchange, or of the group part this one stands under.
    group: Option<Str>,
    transactional_id: Option<Str>,
    /// It names its topic by an id that nobody knows.
    unknown: bool,
    /// It names its topic by an id, and by a name that is not that topic's. Brokers go by the id.
    contradicts: bool,
}

/// A part on its way through the rules.
struct PartState {
    about: About,
    candidates: Arc<Candidates>,
    outcome: Outcome,
    /// A terminal fault met it: later chaos rules leave it alone.
    harmed: bool,
    /// The last pair that was decided about it was refused by ACLs, not by a script.
    refused_by_acls: bool,
    /// Its access would be refused if what only watches were in force.
    would_be_refused: bool,
    /// What it is as an event: of a produced batch its CRC, length and records, of a fetch its offset.
    shape: Shape,
    met: [Option<Met>; 2],
    cx: Option<Rc<CxData>>,
    /// It is sent again, and its records are as many as they became the first time.
    recounted: bool,
    /// What rules did to how many records it has.
    recounts: Vec<Recounted>,
    /// What goes to dead-letter topics.
    routed: Option<Routed>,
    /// Windows are filled by it once nothing keeps it from being executed.
    additions: Pending,
}

/// What tells an event from others of its subject.
#[derive(Debug, Clone, Copy, Default)]
enum Shape {
    /// Its place in the row.
    #[default]
    Next,
    Batch {
        sent: Sequenced,
        records: u32,
    },
    Offset(i64),
}

/// Whether a rule's selectors hold.
enum Holds {
    Yes,
    No,
    Failed(ClosureError),
}

impl<'a> Round<'a> {
    fn new(plan: &'a Plan, cx: &ExchangeContext<'a>, request: &Request) -> Self {
        Self {
            plan,
            shared: &plan.shared,
            who: cx.who,
            session: cx.session,
            api: request.api(),
            api_name: request.info().name,
            version: request.version(),
            correlation_id: request.correlation_id(),
            of_reply: false,
            now: plan.shared.clock.now(),
            closures_since: Cell::new(None),
        }
    }

    /// The parts of a request with their names; what is about nothing in particular is one part as well.
    fn parts(&self, parts: Vec<Part>, whole: Option<&Part>, also: Option<&Part>) -> Vec<PartState> {
        let of = |part: Option<&Part>, resource: Resource| {
            part.filter(|part| part.resource == resource).map(|part| part.name.clone())
        };
        let transactional_id = of(whole, Resource::TransactionalId);
        let mut group = of(whole, Resource::Group).or_else(|| of(also, Resource::Group));
        if parts.is_empty() {
            let about = match whole {
                Some(part) => self.about(part, group, transactional_id),
                None => About { partition: -1, ..About::default() },
            };
            return vec![self.state(about)];
        }
        let mut states = Vec::with_capacity(parts.len());
        for part in &parts {
            if part.resource == Resource::Group {
                group = Some(part.name.clone());
            }
            let mut about = self.about(part, group.clone(), transactional_id.clone());
            if part.resource == Resource::Topic && !part.name.is_empty() && !part.topic_id.is_zero() {
                let named = self.shared.names.name(part.topic_id);
                about.unknown = named.is_none();
                about.contradicts = named.is_some_and(|name| name != part.name);
            }
            states.push(self.state(about));
        }
        states
    }

    fn about(&self, part: &Part, group: Option<Str>, transactional_id: Option<Str>) -> About {
        let (name, unknown) = match part.resource {
            Resource::Topic if part.name.is_empty() && !part.topic_id.is_zero() => {
                match self.shared.names.name(part.topic_id) {
                    Some(name) => (name, false),
                    None => (Str::default(), true),
                }
            }
            _ => (part.name.clone(), false),
        };
        let transactional_id = match part.resource {
            Resource::TransactionalId => Some(part.name.clone()),
            _ => transactional_id,
        };
        About {
            resource: Some(part.resource),
            name,
            partition: part.partition,
            group,
            transactional_id,
            unknown,
            contradicts: false,
        }
    }

    fn state(&self, about: About) -> PartState {
        PartState {
            candidates: self.plan.candidates(self.api, about.resource, &about.name),
            about,
            outcome: Outcome::Forward,
            harmed: false,
            refused_by_acls: false,
            would_be_refused: false,
            shape: Shape::default(),
            met: [None, None],
            cx: None,
            recounted: false,
            recounts: Vec::new(),
            routed: None,
            additions: Pending::default(),
        }
    }

    /// Whether the selectors of a rule hold for a part, but for records.
    fn holds(&self, rule: &Rule, part: &mut PartState) -> Holds {
        let (selectors, about) = (&rule.selectors, &part.about);
        let named = |patterns: &Option<Patterns>, name: &Option<Str>| {
            patterns.as_ref().is_none_or(|p| name.as_ref().is_some_and(|name| p.matches(&**name)))
        };
        if rule.is_expired(self.now)
            || !selectors.partition_matches(about.partition)
            || !selectors.api_version.as_ref().is_none_or(|versions| versions.contains(self.version))
            || !named(&selectors.groups, &about.group)
            || !(named(&selectors.transactional_ids, &about.transactional_id)
                || self.lacks_transactional_id(about)
                    && selectors.transactional_ids.as_ref().is_some_and(Patterns::only_excludes))
        {
            return Holds::No;
        }
        let Some(when) = &selectors.when else { return Holds::Yes };
        let cx = self.cx(part);
        let closure = Closure { policy: &rule.policy, index: when.closure, state: &self.shared.state };
        match closure::when(closure, &cx) {
            Ok(true) => Holds::Yes,
            Ok(false) => Holds::No,
            Err(error) => {
                self.closure_failed(rule, &error);
                Holds::Failed(error)
            }
        }
    }

    /// Without an id where there could be one: exclusions alone ("all but") take it.
    fn lacks_transactional_id(&self, about: &About) -> bool {
        let could = self.api == ApiKey::Produce || self.api == ApiKey::InitProducerId;
        could && about.transactional_id.as_ref().is_none_or(|id| id.is_empty())
    }

    fn closure_failed(&self, rule: &Rule, error: &ClosureError) {
        rule.life.counters.could_not_apply();
        let before = self.shared.closure_failures.fetch_add(1, Ordering::Relaxed);
        // the first thousand are worth a line each, then one in a thousand is
        if before < 1_000 || before.is_multiple_of(1_000) {
            tracing::warn!(policy = %rule.policy.name, rule = %rule.name, at = %rule.written_at(), %error,
                "a closure failed");
        }
    }

    /// Whether the closures on records took all the time they have for one exchange.
    fn closures_are_late(&self) -> bool {
        match self.closures_since.get() {
            Some(since) => since.elapsed() >= self.shared.closures_wall,
            None => {
                self.closures_since.set(Some(Instant::now()));
                self.shared.closures_wall.is_zero()
            }
        }
    }

    /// What closures see of a part.
    fn cx(&self, part: &mut PartState) -> Rc<CxData> {
        if let Some(cx) = &part.cx {
            return Rc::clone(cx);
        }
        let about = &part.about;
        let cx = Rc::new(CxData {
            principal: (&*self.who.principal).into(),
            client_id: (&*self.who.client_id).into(),
            listener: (&*self.who.listener).into(),
            ip: self.who.remote_ip.to_string().into(),
            api: self.api_name.into(),
            version: self.version.into(),
            topic: (about.resource == Some(Resource::Topic)).then(|| (&*about.name).into()),
            partition: (about.partition >= 0).then_some(about.partition.into()),
            group: about.group.as_ref().map(|group| (&**group).into()),
            transactional_id: about.transactional_id.as_ref().map(|id| (&**id).into()),
            ..CxData::default()
        });
        part.cx = Some(Rc::clone(&cx));
        cx
    }

    fn subject<'s>(&'s self, about: &'s About, side: Side) -> Subject<'s> {
        let side = match side {
            Side::Chaos if self.of_reply => Side::Reply,
            side => side,
        };
        Subject {
            side,
            principal: &self.who.principal,
            client_id: &self.who.client_id,
            api: self.api_name,
            kind: about.resource.map_or("", kind_name),
            name: &about.name,
            partition: about.partition,
        }
    }

    /// Counts the event that each open part is, before any selector is looked at: what a rule draws must not depend on
    /// which other rules looked.
    fn count_events(&self, parts: &mut [PartState], side: Side) {
        for part in parts.iter_mut().filter(|part| part.is_open() && part.candidates.counts[side.slot()]) {
            self.met(part, side);
        }
    }

    /// What event a part is: counted once for each side.
    fn met(&self, part: &mut PartState, side: Side) -> Met {
        let slot = side.slot();
        if let Some(met) = part.met[slot] {
            return met;
        }
        let subject = self.subject(&part.about, side).id();
        let born = part.candidates.born[slot];
        let met = match part.shape {
            Shape::Next => self.shared.subjects.next(subject, born),
            Shape::Batch { sent, records } => {
                self.shared.subjects.produced(subject, born, sent.crc, sent.length, records)
            }
            Shape::Offset(offset) => Met::at_place(subject, offset),
        };
        part.met[slot] = Some(met);
        met
    }

    /// The rules that can meet any of the parts, in order.
    fn places(&self, parts: &[PartState], kind: Kind) -> Vec<usize> {
        let list = |part: &'_ PartState| match kind {
            Kind::Security => part.candidates.security.clone(),
            Kind::Chaos => part.candidates.chaos.clone(),
        };
        match parts {
            [] => Vec::new(),
            [only] => list(only),
            [first, rest @ ..] if rest.iter().all(|p| Arc::ptr_eq(&p.candidates, &first.candidates)) => {
                list(first)
            }
            many => many.iter().flat_map(list).collect::<BTreeSet<_>>().into_iter().collect(),
        }
    }
}

impl PartState {
    fn is_open(&self) -> bool {
        self.outcome.is_forward()
    }

    fn meets(&self, place: usize, kind: Kind) -> bool {
        let list = match kind {
            Kind::Security => &self.candidates.security,
            Kind::Chaos => &self.candidates.chaos,
        };
        list.binary_search(&place).is_ok()
    }

    /// The code that an authoriser's refusal of it has.
    fn refusal(&self) -> ErrorCode {
        self.about.resource.map_or(ErrorCode::CLUSTER_AUTHORIZATION_FAILED, Resource::refusal)
    }

    fn refuse(&mut self, code: ErrorCode, message: impl Into<String>) {
        self.outcome = Outcome::Answer { code, message: Some(message.into()), records: Vec::new() };
    }
}

/// Kafka's name of a kind of resource.
fn kind_name(resource: Resource) -> &'static str {
    match resource {
        Resource::Topic => "topic",
        Resource::Group => "group",
        Resource::Cluster => "cluster",
        Resource::TransactionalId => "transactional-id",
        Resource::User => "user",
        Resource::DelegationToken => "delegation-token",
    }
}

#[cfg(test)]
mod tests;

//! The rules that can concern one (principal, client id): looked up on every request, so that a client that
//! changes its id gains nothing, and so that rules about others cost nothing.
//!
//! A plan is the same for all clients whom the same rules concern. It knows, per api and direction, how deep the
//! rules must look; and per thing that an api names (a topic, a group) which rules can meet it: a thousand rules
//! that cannot match leave a frame opaque, or cost one look-up a part.

use super::access::Access;
use super::action::quota::Unit;
use super::action::{EditRule, RecordEdits};
use super::evaluate;
use super::fault::reply::ReplyFault;
use super::generation::{Generation, Shared, Who};
use super::lru::Lru;
use super::random::identity;
use super::rule::{Action, Head, Kind, Rule};
use super::verdict::Interest;
use crate::wire::ApiKey;
use crate::wire::api::Resource;
use crate::wire::table::APIS;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Clients of which is remembered which plan is theirs.
const CLIENTS: usize = 4_096;
/// What a plan remembers about things: which rules can meet them. Names are a stranger's choice.
const THINGS_BYTES: usize = 4 << 20;
/// What one costs beside its name.
const THING_BYTES: usize = 96;
/// No topic's name is longer (Kafka's own limit), and hardly anything else's: longer ones are looked at each time.
pub(super) const REMEMBERED_NAME_BYTES: usize = 249;
/// Api keys with a place in the tables.
const APIS_WITH_PLACE: usize = 128;

/// The rules for one client, and what they want to see.
pub struct Plan {
    /// Of the generation it belongs to.
    pub number: u64,
    pub shared: Arc<Shared>,
    pub access: Access,
    /// In the order they are met; access and connect rules are not among them.
    pub security: Vec<Arc<Rule>>,
    pub chaos: Vec<Arc<Rule>>,
    /// Whether any of them counts what is used.
    pub quotas: bool,
    interests: Vec<(Interest, Interest)>,
    things: RwLock<Things>,
}

/// What is remembered about things.
#[derive(Default)]
struct Things {
    by_kind: HashMap<Kinds, ByName>,
    /// Those whom the same rules can meet share them: there are as many as the rules tell things apart.
    same: HashMap<(ApiKey, Vec<usize>, Vec<usize>), Arc<Candidates>>,
    bytes: usize,
}

type ByName = HashMap<Box<str>, Arc<Candidates>>;

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Plan({} security, {} chaos)", self.security.len(), self.chaos.len())
    }
}

/// Which api, and which kind of thing: none for an exchange about nothing.
type Kinds = (ApiKey, Option<Resource>);

/// What a part is about, as far as rules are chosen by it.
struct Thing<'a> {
    api: ApiKey,
    resource: Option<Resource>,
    name: &'a str,
}

/// The rules that can meet a thing, by their places in the plan, and what they want to see.
#[derive(Debug)]
pub struct Candidates {
    pub security: Vec<usize>,
    pub chaos: Vec<usize>,
    pub request: Interest,
    pub response: Interest,
    /// What security rules change in records, compiled together; and the rule of each of its rules, by its
    /// place in `Plan::security`.
    pub edits: RecordEdits,
    pub editing: Vec<usize>,
    /// The latest birth of the security rules and of the chaos rules: their events count from there.
    pub born: [u64; 2],
    /// Whether events must be counted for them, whichever of them then fires.
    pub counts: [bool; 2],
}

impl Plan {
    fn new(generation: &Generation, rules: &[Arc<Rule>]) -> Self {
        let is_access = |rule: &&Arc<Rule>| matches!(rule.head, Head::Access(_));
        let access = Access::new(
            rules.iter().filter(is_access).cloned(),
            generation.default_deny(),
            generation.shared.acls.clone(),
        );
        let of = |kind: Kind| -> Vec<Arc<Rule>> {
            rules.iter().filter(|rule| rule.kind == kind && !is_access(rule)).cloned().collect()
        };
        let security = of(Kind::Security);
        let mut plan = Self {
            number: generation.number,
            shared: Arc::clone(&generation.shared),
            access,
            quotas: security.iter().any(|rule| rule.quotas().next().is_some()),
            security,
            chaos: of(Kind::Chaos),
            interests: vec![(Interest::Nothing, Interest::Nothing); APIS_WITH_PLACE],
            things: RwLock::default(),
        };
        for api in APIS {
            plan.interests[api.key.0 as usize] = plan.interests_of(api.key);
        }
        plan
    }

    /// How deep the rules must look into a request of this api before it may go on.
    pub fn request_interest(&self, api: ApiKey) -> Interest {
        let interest = self.interest(api).0;
        match api {
            // whatever rules there are now: batches behind one that a rule changed must be renumbered
            ApiKey::Produce if self.shared.sequences.is_active() => interest.max(Interest::Parts),
            _ => interest,
        }
    }

    /// How deep they may have to look into the response. What an exchange really needs says its verdict.
    pub fn response_interest(&self, api: ApiKey) -> Interest {
        self.interest(api).1
    }

    /// The rules that can meet a thing.
    pub fn candidates(&self, api: ApiKey, resource: Option<Resource>, name: &str) -> Arc<Candidates> {
        let thing = Thing { api, resource, name };
        if name.len() > REMEMBERED_NAME_BYTES {
            return Arc::new(self.find(&thing));
        }
        let things = self.things.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = things.by_kind.get(&(api, resource)).and_then(|names| names.get(name)) {
            return Arc::clone(known);
        }
        drop(things);
        let found = self.find(&thing);
        let mut things = self.things.write().unwrap_or_else(PoisonError::into_inner);
        if things.bytes >= THINGS_BYTES {
            // forgetting all of them is rare and cheap enough
            *things = Things::default();
        }
        let kind = (api, found.security.clone(), found.chaos.clone());
        let found = Arc::clone(things.same.entry(kind).or_insert_with(|| Arc::new(found)));
        things.bytes += name.len() + THING_BYTES;
        things.by_kind.entry((api, resource)).or_default().insert(name.into(), Arc::clone(&found));
        found
    }

    /// Whether a topic's name must be known for the rules to be sure of what they do.
    pub fn needs_topic_names(&self, api: ApiKey) -> bool {
        let asked = api.info().is_some_and(|info| info.parts.is_some());
        (self.access.is_active() && asked)
            || self.security.iter().any(|rule| rule.head.covers(api) && rule.selectors.about_topics())
    }

    fn interest(&self, api: ApiKey) -> (Interest, Interest) {
        usize::try_from(api.0).ok().and_then(|at| self.interests.get(at).copied()).unwrap_or_default()
    }

    fn interests_of(&self, api: ApiKey) -> (Interest, Interest) {
        let (mut request, mut response) = (Interest::Nothing, Interest::Nothing);
        for rule in self.security.iter().chain(&self.chaos).filter(|rule| rule.head.covers(api)) {
            let (wants_request, wants_response) = wants(rule, api);
            request = request.max(wants_request);
            response = response.max(wants_response);
        }
        if self.access.is_active()
            && let Some(info) = api.info()
        {
            if info.asks_of_requests() || !api.precedes_principals() && self.access.allows_nothing() {
                request = request.max(Interest::Parts);
            }
            if info.listed.is_some() || evaluate::tells_operations(api) {
                response = response.max(Interest::Parts);
            }
        }
        // ids are learned from what passes, where the upstream cannot be asked for them
        let teaches =
            [ApiKey::Metadata, ApiKey::CreateTopics, ApiKey::DeleteTopics, ApiKey::DescribeTopicPartitions];
        let about_topics = |rule: &Arc<Rule>| rule.selectors.about_topics();
        if teaches.contains(&api)
            && !self.shared.names.upstream_answers()
            && (self.access.is_active() || self.security.iter().chain(&self.chaos).any(about_topics))
        {
            request = request.max(Interest::Parts);
            response = response.max(Interest::Parts);
        }
        (request, response)
    }

    fn find(&self, thing: &Thing<'_>) -> Candidates {
        let (mut request, mut response) = (Interest::Nothing, Interest::Nothing);
        let mut gather = |rules: &[Arc<Rule>]| {
            let mut places = Vec::new();
            for (place, rule) in rules.iter().enumerate() {
                if rule.head.covers(thing.api) && could_meet(rule, thing) {
                    let (wants_request, wants_response) = wants(rule, thing.api);
                    request = request.max(wants_request);
                    response = response.max(wants_response);
                    places.push(place);
                }
            }
            places
        };
        let (security, chaos) = (gather(&self.security), gather(&self.chaos));
        let editing: Vec<usize> =
            security.iter().copied().filter(|place| self.security[*place].edits_records()).collect();
        let edits = RecordEdits::new(editing.iter().map(|place| edit_rule(&self.security[*place])).collect());
        let born = |rules: &[Arc<Rule>], places: &[usize]| {
            places.iter().map(|place| rules[*place].life.born).max().unwrap_or_default()
        };
        let born = [born(&self.security, &security), born(&self.chaos, &chaos)];
        // the journal names the event of every fault
        let draws = security.iter().any(|place| self.security[*place].triggers.needs_event());
        let counts = [draws, !chaos.is_empty()];
        Candidates { security, chaos, request, response, edits, editing, born, counts }
    }
}

fn edit_rule(rule: &Rule) -> EditRule {
    let edits = rule.actions.iter().filter_map(|action| match action {
        Action::Edit(edit) => Some(edit.clone()),
        _ => None,
    });
    EditRule { name: rule.name.clone(), edits: edits.collect(), observe: rule.observe }
}

/// How deep a rule must look into request and response of an api it covers.
fn wants(rule: &Rule, api: ApiKey) -> (Interest, Interest) {
    let records = rule.needs_records();
    let meters = |unit| rule.quotas().any(|quota| quota.unit == unit);
    let cuts = |fault: &ReplyFault| matches!(fault, ReplyFault::TruncateFetch(_));
    match api {
        ApiKey::Fetch if records || rule.reply_faults().any(cuts) => (Interest::Parts, Interest::Records),
        ApiKey::Fetch if meters(Unit::Records) => (Interest::Parts, Interest::Records),
        ApiKey::Fetch if meters(Unit::Bytes) => (Interest::Parts, Interest::Parts),
        ApiKey::Fetch if decided_on_reply(rule, api) => (Interest::Parts, Interest::Parts),
        _ if decided_on_reply(rule, api) => (Interest::Nothing, Interest::Parts),
        _ if records => (Interest::Records, Interest::Nothing),
        _ => (Interest::Parts, Interest::Nothing),
    }
}

/// Whether a chaos rule is decided when the reply is known: what changes replies is; and of rules on fetches what counts or
/// draws, which it does about replies with something in them.
pub fn decided_on_reply(rule: &Rule, api: ApiKey) -> bool {
    let draws = |action: &Action| matches!(action, Action::Fault(fault) if fault.draws());
    if rule.kind != Kind::Chaos || rule.reply_scope().is_some() {
        return rule.reply_scope().is_some();
    }
    api == ApiKey::Fetch && (rule.triggers.needs_event() || rule.needs_records() || rule.has(draws))
}

/// Whether a rule can meet a thing, as far as names tell. What else the rule asks is asked part by part.
fn could_meet(rule: &Rule, thing: &Thing<'_>) -> bool {
    let selectors = &rule.selectors;
    let topic = match thing.resource {
        Some(Resource::Topic) => selectors.topic_matches(thing.name),
        _ => !selectors.about_topics() && selectors.topics.is_empty(),
    };
    let group = match (thing.resource, &selectors.groups) {
        (Some(Resource::Group), Some(groups)) => groups.matches(thing.name),
        _ => true,
    };
    let transactional_id = match (thing.resource, &selectors.transactional_ids) {
        (Some(Resource::TransactionalId), Some(ids)) => ids.matches(thing.name),
        _ => true,
    };
    topic && group && transactional_id
}

/// The plans of a generation, found by client, shared by all clients whom the same rules concern.
#[derive(Default)]
pub struct PlanCache {
    clients: Mutex<Option<Lru<Client, Arc<Plan>>>>,
    plans: Mutex<HashMap<Vec<usize>, Arc<Plan>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Client {
    principal: Arc<str>,
    client_id: Arc<str>,
    listener: Arc<str>,
    /// Only where a rule asks for addresses.
    ip: Option<IpAddr>,
}

impl fmt::Debug for PlanCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} plans", self.plans.lock().unwrap_or_else(PoisonError::into_inner).len())
    }
}

impl PlanCache {
    pub fn find(&self, generation: &Generation, who: &Who) -> Arc<Plan> {
        let asks_address = || {
            generation
                .policies
                .iter()
                .flat_map(|policy| &policy.rules)
                .any(|rule| !rule.selectors.who.from_ip.is_empty())
        };
        let client = Client {
            principal: Arc::clone(&who.principal),
            client_id: Arc::clone(&who.client_id),
            listener: Arc::clone(&who.listener),
            ip: asks_address().then_some(who.remote_ip),
        };
        if client.client_id.len() > REMEMBERED_NAME_BYTES || client.principal.len() > REMEMBERED_NAME_BYTES {
            return self.make(generation, who);
        }
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let clients = clients.get_or_insert_with(|| Lru::new(CLIENTS));
        if let Some(plan) = clients.get_mut(&client) {
            return Arc::clone(plan);
        }
        let plan = self.make(generation, who);
        clients.get_or_insert_with(client, || Arc::clone(&plan));
        plan
    }

    fn make(&self, generation: &Generation, who: &Who) -> Arc<Plan> {
        let mut places = Vec::new();
        let mut rules = Vec::new();
        let all = generation.policies.iter().flat_map(|policy| &policy.rules);
        for (place, rule) in all.enumerate() {
            let selectors = &rule.selectors.who;
            if rule.head != Head::Connect
                && !rule.head.is_broker()
                && selectors.matches(&who.principal, &who.client_id, &who.listener, who.remote_ip)
                && selectors.is_at(generation.shared.node_id)
                && rule.chooses(identity([who.principal.as_bytes(), who.client_id.as_bytes()]), 0)
            {
                places.push(place);
                rules.push(Arc::clone(rule));
            }
        }
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(&places) {
            return Arc::clone(plan);
        }
        let plan = Arc::new(Plan::new(generation, &rules));
        // there are as many plans as the rules tell clients apart; a script may tell apart very many
        if plans.len() >= CLIENTS {
            plans.clear();
        }
        plans.insert(places, Arc::clone(&plan));
        plan
    }
}

/// A session's plan, found again only when something changed.
#[derive(Debug, Default)]
pub struct PlanSlot(Option<(Who, Arc<Plan>)>);

impl PlanSlot {
    /// The plan for who speaks now. Compares a number and a few pointers when nothing changed.
    pub fn plan(&mut self, policies: &super::generation::Policies, who: &Who) -> &Arc<Plan> {
        let is_current = |(held, plan): &(Who, Arc<Plan>)| {
            plan.number == policies.number()
                && Arc::ptr_eq(&held.client_id, &who.client_id)
                && Arc::ptr_eq(&held.principal, &who.principal)
                && Arc::ptr_eq(&held.listener, &who.listener)
                && held.remote_ip == who.remote_ip
        };
        if !self.0.as_ref().is_some_and(is_current) {
            self.0 = None;
        }
        let (_, plan) = self.0.get_or_insert_with(|| (who.clone(), policies.current().plan(who)));
        plan
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

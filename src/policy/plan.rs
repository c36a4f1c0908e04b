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
mod tests {
    use super::super::generation::{Policies, Settings};
    use super::super::load::Script;
    use super::super::names::{Names, TopicIds};
    use super::*;
    use crate::wire::{Operation, Str, Uuid};

    #[test]
    fn what_is_remembered_of_a_strangers_names_is_bounded_in_bytes() {
        let policies = Policies::new(Shared::new(Settings::default()));
        let text = "default_deny(); on_produce(\"secret*\").deny(); on_fetch(\"*\").mask(\"$.a\", \"all\");";
        policies.load(&[Script { file: "p.rhai".into(), text: text.into() }]).unwrap();
        let who = Who {
            principal: "User:x".into(),
            client_id: "c".into(),
            listener: "l".into(),
            remote_ip: [127, 0, 0, 1].into(),
        };
        let plan = policies.current().plan(&who);
        let ask = |api, name: &str| plan.candidates(api, Some(Resource::Topic), name);
        let decide =
            |name: &str| plan.access.decide(&who, Operation::Write, Resource::Topic, name, |_| true).allowed;
        for n in 0..30_000 {
            let name = format!("{n:0>249}");
            ask(ApiKey::Fetch, &name);
            assert!(!decide(&name));
        }
        let most = THINGS_BYTES + REMEMBERED_NAME_BYTES + THING_BYTES;
        let remembered = || {
            let things = plan.things.read().unwrap();
            let names = things.by_kind.values().flat_map(HashMap::keys);
            (things.bytes, names.map(|name| name.len() + THING_BYTES).sum::<usize>())
        };
        let (said, held) = remembered();
        assert!(said == held && 0 < held && held <= most, "{said} said, {held} held");
        let (said, held) = plan.access.remembered();
        assert!(said == held && 1 << 20 < held && held <= most, "{said} said, {held} held");
        let before = (remembered(), plan.access.remembered());
        let long = "x".repeat(32_000);
        ask(ApiKey::Fetch, &long);
        assert!(!decide(&long));
        assert_eq!((remembered(), plan.access.remembered()), before, "no long name is kept");
        assert_eq!(
            ask(ApiKey::Produce, &format!("secret{long}")).security,
            [0],
            "and yet it meets its rules"
        );
        assert!(Arc::ptr_eq(&ask(ApiKey::Fetch, "a"), &ask(ApiKey::Fetch, "b")), "the same rules are shared");
        assert!(!Arc::ptr_eq(&ask(ApiKey::Produce, "a"), &ask(ApiKey::Produce, "secret")));
    }

    #[test]
    fn clients_with_long_names_are_not_remembered() {
        let policies = Policies::new(Shared::new(Settings::default()));
        let text = "on_produce(\"t\").client_id(\"x*\").deny();";
        policies.load(&[Script { file: "p.rhai".into(), text: text.into() }]).unwrap();
        let generation = policies.current();
        let plan = |client_id: &str| {
            generation.plan(&Who {
                principal: "User:x".into(),
                client_id: client_id.into(),
                listener: "l".into(),
                remote_ip: [127, 0, 0, 1].into(),
            })
        };
        let cache = PlanCache::default();
        let remembered = || cache.clients.lock().unwrap().as_ref().map_or(0, Lru::len);
        for client_id in ["x".repeat(32_000), "x".to_owned()] {
            let who = Who {
                principal: "User:x".into(),
                client_id: (&*client_id).into(),
                listener: "l".into(),
                remote_ip: [127, 0, 0, 1].into(),
            };
            assert_eq!(cache.find(&generation, &who).security.len(), 1);
            assert_eq!(remembered(), usize::from(client_id.len() == 1));
        }
        assert!(Arc::ptr_eq(&plan(&"x".repeat(300)), &plan("x")), "the same rules, so the same plan");
    }

    #[test]
    fn clients_of_one_name_at_two_addresses_have_their_own_rules() {
        let policies = Policies::new(Shared::new(Settings::default()));
        let text = "on_produce(\"t\").from_ip(\"10.0.0.0/8\").deny();";
        policies.load(&[Script { file: "p.rhai".into(), text: text.into() }]).unwrap();
        let at = |remote_ip: [u8; 4]| Who {
            principal: "User:x".into(),
            client_id: "c".into(),
            listener: "l".into(),
            remote_ip: remote_ip.into(),
        };
        let (inside, outside) = (at([10, 0, 0, 1]), at([127, 0, 0, 1]));
        for order in [[&inside, &outside], [&outside, &inside]] {
            let (cache, generation) = (PlanCache::default(), policies.current());
            for who in order {
                let meets = usize::from(who.remote_ip == inside.remote_ip);
                assert_eq!(cache.find(&generation, who).security.len(), meets);
            }
        }
        // the names are the same to the byte, as in one session that says another address
        let moved = Who { remote_ip: outside.remote_ip, ..inside.clone() };
        let mut slot = PlanSlot::default();
        for (who, meets) in [(&inside, 1), (&moved, 0), (&inside, 1)] {
            assert_eq!(slot.plan(&policies, who).security.len(), meets);
        }
    }

    /// Policies of this text, behind which an upstream names every topic, or none.
    fn policies(text: &str, knows_all: bool) -> Arc<Policies> {
        struct Upstream(bool);
        impl TopicIds for Upstream {
            fn name(&self, _: Uuid) -> Option<Str> {
                None
            }

            fn exists(&self, _: &str) -> Option<bool> {
                None
            }

            fn knows_all(&self) -> bool {
                self.0
            }
        }
        let names = Names::new(Arc::new(Upstream(knows_all)));
        let policies = Policies::new(Shared::new(Settings { names, ..Settings::default() }));
        policies.load(&[Script { file: "p.rhai".into(), text: text.into() }]).unwrap();
        policies
    }

    fn who(principal: &str, client_id: &str) -> Who {
        Who {
            principal: principal.into(),
            client_id: client_id.into(),
            listener: "l".into(),
            remote_ip: [127, 0, 0, 1].into(),
        }
    }

    fn plan(text: &str) -> Arc<Plan> {
        policies(text, true).current().plan(&who("User:x", "c"))
    }

    use Interest::{Nothing, Parts, Records};

    #[test]
    fn a_rule_looks_as_deep_as_it_must() {
        for (rule, api, wants) in [
            ("on_produce(\"t\").deny()", ApiKey::Produce, (Parts, Nothing)),
            ("on_produce(\"t\").mask(\"$.a\", \"all\")", ApiKey::Produce, (Records, Nothing)),
            ("on_produce(\"t\").quota(\"9 records/s\", \"ip\")", ApiKey::Produce, (Parts, Nothing)),
            ("on_produce(\"t\").fail(\"UNKNOWN_SERVER_ERROR\")", ApiKey::Produce, (Parts, Nothing)),
            ("on_fetch(\"t\").deny()", ApiKey::Fetch, (Parts, Nothing)),
            ("on_fetch(\"t\").mask(\"$.a\", \"all\")", ApiKey::Fetch, (Parts, Records)),
            ("on_fetch(\"t\").quota(\"9 records/s\", \"ip\")", ApiKey::Fetch, (Parts, Records)),
            ("on_fetch(\"t\").quota(\"9KB/s\", \"ip\")", ApiKey::Fetch, (Parts, Parts)),
            ("on_fetch(\"t\").quota(\"9 requests/s\", \"ip\")", ApiKey::Fetch, (Parts, Nothing)),
            ("on_fetch(\"t\").fail(\"UNKNOWN_SERVER_ERROR\")", ApiKey::Fetch, (Parts, Nothing)),
            ("on_fetch(\"t\").chance(0.5).fail(\"UNKNOWN_SERVER_ERROR\")", ApiKey::Fetch, (Parts, Parts)),
            ("on_fetch(\"t\").empty_fetch()", ApiKey::Fetch, (Parts, Parts)),
            ("on_fetch(\"t\").truncate_fetch(9)", ApiKey::Fetch, (Parts, Records)),
            ("on_fetch(\"t\").drop_records()", ApiKey::Fetch, (Parts, Records)),
            ("on_request(\"Metadata\").topic(\"t\").no_leader()", ApiKey::Metadata, (Nothing, Parts)),
            ("on_request(\"Metadata\").topic(\"t\").deny()", ApiKey::Metadata, (Parts, Nothing)),
        ] {
            let plan = plan(&format!("{rule};"));
            assert_eq!((plan.request_interest(api), plan.response_interest(api)), wants, "{rule}");
            let candidates = plan.candidates(api, Some(Resource::Topic), "t");
            assert_eq!((candidates.request, candidates.response), wants, "{rule}");
            let others = plan.candidates(api, Some(Resource::Topic), "u");
            assert_eq!((others.request, others.response), (Nothing, Nothing), "{rule}");
            let other = ApiKey::ListOffsets;
            assert_eq!(
                (plan.request_interest(other), plan.response_interest(other)),
                (Nothing, Nothing),
                "{rule}"
            );
        }
    }

    #[test]
    fn ids_are_learned_where_a_rule_needs_names_and_the_upstream_does_not_say_them() {
        let topic = "on_produce(\"t\").deny();";
        let access = "on_access(\"Read\").group(\"g\").deny();";
        let nobody = "on_request(\"Heartbeat\").delay(\"1s\");";
        for (text, knows_all, learns) in [
            (topic, false, true),
            (topic, true, false),
            (access, false, true),
            (nobody, false, false),
            ("on_fetch(\"t\").fail(\"UNKNOWN_SERVER_ERROR\");", false, true),
        ] {
            let plan = policies(text, knows_all).current().plan(&who("User:x", "c"));
            let wants = if learns { (Parts, Parts) } else { (Nothing, Nothing) };
            let api = ApiKey::DeleteTopics;
            let asked = text == access;
            assert_eq!(
                (plan.request_interest(api), plan.response_interest(api)),
                (if asked { Parts } else { wants.0 }, wants.1),
                "{text} {knows_all}"
            );
            // no ids pass there
            assert_eq!(plan.response_interest(ApiKey::OffsetCommit), Nothing, "{text}");
        }
    }

    #[test]
    fn who_has_no_right_at_all_is_asked_about_everything_but_what_comes_before_a_name() {
        let open = plan("on_access(\"Write\").topic(\"t\").deny();");
        let some = plan("default_deny(); on_access(\"Write\").topic(\"t\").allow();");
        let none = plan("default_deny();");
        for api in APIS {
            let asks = if api.asks_of_requests() { Parts } else { Nothing };
            assert_eq!(open.request_interest(api.key), asks, "{}", api.name);
            assert_eq!(some.request_interest(api.key), asks, "{}", api.name);
            let before = api.key.precedes_principals() && !api.asks_of_requests();
            assert_eq!(none.request_interest(api.key), if before { Nothing } else { Parts }, "{}", api.name);
        }
        assert!(APIS.iter().any(|api| !api.asks_of_requests() && !api.key.precedes_principals()));
        assert!(APIS.iter().any(|api| api.key.precedes_principals()));
    }

    #[test]
    fn names_of_topics_are_needed_where_a_security_rule_is_about_them() {
        let topics = plan("on_produce(\"t\").deny(); on_request(\"Heartbeat\").deny();");
        assert!(topics.needs_topic_names(ApiKey::Produce));
        assert!(!topics.needs_topic_names(ApiKey::Fetch) && !topics.needs_topic_names(ApiKey::Heartbeat));
        assert!(!plan("on_produce().deny();").needs_topic_names(ApiKey::Produce));
        assert!(!plan("on_produce(\"t\").delay(\"1s\");").needs_topic_names(ApiKey::Produce));
    }

    #[test]
    fn rules_meet_things_of_their_names() {
        let meets = |rule: &str, api, resource, name: &str| {
            let candidates = plan(&format!("{rule}.deny();")).candidates(api, resource, name);
            assert_eq!(candidates.counts, [false, false]);
            candidates.security == [0]
        };
        let group = Some(Resource::Group);
        let of_group = "on_request(\"OffsetCommit\").group(\"g*\", \"!gx\")";
        assert!(meets(of_group, ApiKey::OffsetCommit, group, "g1"));
        assert!(!meets(of_group, ApiKey::OffsetCommit, group, "gx"));
        assert!(!meets(of_group, ApiKey::OffsetCommit, group, "h"));
        assert!(
            meets(of_group, ApiKey::OffsetCommit, Some(Resource::Topic), "h"),
            "which is asked part by part"
        );
        let id = Some(Resource::TransactionalId);
        let of_id = "on_request(\"EndTxn\").transactional_id(\"tx\")";
        assert!(meets(of_id, ApiKey::EndTxn, id, "tx") && !meets(of_id, ApiKey::EndTxn, id, "ty"));
        for of_topic in ["topic(\"t\")", "topic(\"!t\")", "partition(0)"] {
            let rule = format!("on_request(\"OffsetCommit\").{of_topic}");
            assert!(!meets(&rule, ApiKey::OffsetCommit, group, "t"), "{of_topic}");
            assert!(!meets(&rule, ApiKey::OffsetCommit, None, ""), "{of_topic}");
        }
        assert!(meets("on_request(\"OffsetCommit\")", ApiKey::OffsetCommit, group, "t"));
        let all = "on_request(\"OffsetCommit\").topic(\"*\")";
        assert!(
            !meets(all, ApiKey::OffsetCommit, group, "t")
                && meets(all, ApiKey::OffsetCommit, Some(Resource::Topic), "t")
        );
    }

    #[test]
    fn names_are_remembered_up_to_their_length() {
        let generation = policies("on_produce(\"t\").deny();", true).current();
        let most = REMEMBERED_NAME_BYTES;
        for (principal, client_id, kept) in [
            (most, 1, true),
            (1, most, true),
            (most + 1, 1, false),
            (1, most + 1, false),
            (most + 1, most + 1, false),
        ] {
            let cache = PlanCache::default();
            cache.find(&generation, &who(&"p".repeat(principal), &"c".repeat(client_id)));
            let remembered = cache.clients.lock().unwrap().as_ref().map_or(0, Lru::len);
            assert_eq!(remembered, usize::from(kept), "{principal} {client_id}");
        }
    }

    #[test]
    fn a_plan_outlives_the_making_of_others() {
        let generation = policies("on_produce(\"t\").client_id(\"a*\").deny();", true).current();
        let cache = PlanCache::default();
        let first = cache.find(&generation, &who("User:x", "a1"));
        let other = cache.find(&generation, &who("User:x", "b"));
        assert!(!Arc::ptr_eq(&first, &other));
        assert!(Arc::ptr_eq(&first, &cache.find(&generation, &who("User:x", "a2"))));
    }

    #[test]
    fn plans_are_bounded_however_many_the_rules_tell_apart() {
        let rules: String =
            (0..13).map(|n| format!("on_produce(\"t\").client_id(\"*-{n}-*\").deny();")).collect();
        let generation = policies(&rules, true).current();
        let cache = PlanCache::default();
        for number in 0..CLIENTS + 10 {
            let id: String = (0..13).filter(|n| number >> n & 1 == 1).map(|n| format!("-{n}-")).collect();
            cache.find(&generation, &who("User:x", &id));
            let plans = cache.plans.lock().unwrap().len();
            assert!(plans <= CLIENTS && plans == number % CLIENTS + 1, "{plans} after {number}");
        }
    }
}

//! What plans remember, how deep they look, and whom rules can meet.

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
    assert_eq!(ask(ApiKey::Produce, &format!("secret{long}")).security, [0], "and yet it meets its rules");
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
    assert!(meets(of_group, ApiKey::OffsetCommit, Some(Resource::Topic), "h"), "which is asked part by part");
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

//! Faults in replies, faults with a name of their own, and those on how exchanges are served.

use super::*;
use crate::policy::fault::named;
use crate::policy::identity::{Side, Subject};
use crate::policy::verdict::Lose;
use crate::wire::api::*;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

impl World {
    /// The rules at both stages of an exchange that is answered with this.
    fn exchange(
        &self,
        version: i16,
        asked: impl Into<RequestBody>,
        said: impl Into<ResponseBody>,
    ) -> Replied {
        let (who, mut asked) = (who("User:x"), request(version, asked));
        let verdict = self.ask(&who, &mut asked);
        let mut response = Response::new(&asked, said.into());
        let plan = self.generation().plan(&who);
        let cx = ExchangeContext { who: &who, session: 1 };
        let decided = plan.on_response(&cx, &asked, &verdict, &mut response);
        Replied { verdict, edited: decided.edited, body: response.body }
    }

    fn metadata(&self) -> Metadata {
        let partition = |n| metadata::MetadataResponsePartition {
            partition_index: n,
            leader_id: 1,
            leader_epoch: 4,
            ..Default::default()
        };
        let topic = |name: &str| metadata::MetadataResponseTopic {
            name: Some(name.into()),
            partitions: vec![partition(0), partition(1)],
            ..Default::default()
        };
        let broker = |id| metadata::MetadataResponseBroker {
            node_id: id,
            host: "here".into(),
            port: 9092,
            ..Default::default()
        };
        let said = metadata::Response {
            brokers: vec![broker(0), broker(1)],
            controller_id: 1,
            topics: vec![topic("t"), topic("u")],
            ..Default::default()
        };
        // of all topics: none is named
        let asked = metadata::Request { topics: None, ..Default::default() };
        let replied = self.exchange(12, asked, said);
        assert!(replied.verdict.is_pass());
        let ResponseBody::Metadata(body) = replied.body else { panic!("not metadata") };
        Metadata { edited: replied.edited, body: *body }
    }
}

struct Replied {
    verdict: Verdict,
    edited: bool,
    body: ResponseBody,
}

struct Metadata {
    edited: bool,
    body: metadata::Response,
}

impl Metadata {
    /// (leader, epoch, code) by topic and partition.
    fn leaders(&self) -> Vec<(i32, i32, i16)> {
        let partitions = self.body.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|p| (p.leader_id, p.leader_epoch, p.error_code)).collect()
    }

    fn brokers(&self) -> Vec<(i32, &str, i32)> {
        self.body.brokers.iter().map(|broker| (broker.node_id, &*broker.host, broker.port)).collect()
    }
}

const AS_IT_WAS: (i32, i32, i16) = (1, 4, 0);

#[test]
fn leaders_move_or_are_gone() {
    let moved = one("on_request(\"Metadata\").topic(\"t\").partition(1).leader_moves();").metadata();
    assert_eq!(moved.leaders(), [AS_IT_WAS, (0, 4, 0), AS_IT_WAS, AS_IT_WAS]);
    assert!(moved.edited);
    let world = one("on_request(\"Metadata\").topic(\"u\").no_leader();");
    let code = ErrorCode::LEADER_NOT_AVAILABLE.0;
    assert_eq!(world.metadata().leaders(), [AS_IT_WAS, AS_IT_WAS, (-1, 4, code), (-1, 4, code)]);
    assert_eq!(world.counts(0), (2, 2, 0));
    let lines = world.journal();
    assert_eq!((lines[0]["when"].as_str(), lines[0]["parameter"].as_str()), (Some("after"), Some("-1")));
    assert!(!one("on_request(\"Metadata\").topic(\"v\").no_leader();").metadata().edited);
    let flapping = one("on_request(\"Metadata\").topic(\"t\").partition(0).every(2).no_leader();");
    let gone: Vec<bool> = (0..4).map(|_| flapping.metadata().leaders()[0].0 == -1).collect();
    assert_eq!(gone, [false, true, false, true]);
}

#[test]
fn a_leader_of_a_cluster_of_one_moves_to_a_broker_that_is_not_there() {
    let partition = metadata::MetadataResponsePartition { leader_id: 0, ..Default::default() };
    let topic = metadata::MetadataResponseTopic {
        name: Some("t".into()),
        partitions: vec![partition],
        ..Default::default()
    };
    let brokers = vec![metadata::MetadataResponseBroker { node_id: 0, ..Default::default() }];
    let said = metadata::Response { brokers, topics: vec![topic], ..Default::default() };
    let world = one("on_request(\"Metadata\").leader_moves();");
    let replied = world.exchange(12, metadata::Request::default(), said);
    let ResponseBody::Metadata(body) = replied.body else { panic!("not metadata") };
    assert_eq!(body.topics[0].partitions[0].leader_id, 1);
}

#[test]
fn brokers_are_missing_or_elsewhere() {
    let world = one("on_request(\"Metadata\").broker_missing(0);");
    assert_eq!(world.metadata().brokers(), [(1, "here", 9092)]);
    let last = one("on_request(\"Metadata\").broker_missing();").metadata();
    assert_eq!((last.brokers(), last.body.controller_id), (vec![(0, "here", 9092)], -1));
    let none = one("on_request(\"Metadata\").broker_missing(7);");
    assert!(!none.metadata().edited);
    assert_eq!(none.counts(0), (1, 0, 1));
    let world = one("on_request(\"Metadata\", \"FindCoordinator\").wrong_address(\"nowhere\", 1);");
    assert_eq!(world.metadata().brokers(), [(0, "nowhere", 1), (1, "nowhere", 1)]);
    let found = find_coordinator::Coordinator { host: "here".into(), port: 9092, ..Default::default() };
    let said = find_coordinator::Response { coordinators: vec![found], ..Default::default() };
    let replied = world.exchange(4, find_coordinator::Request::default(), said);
    let ResponseBody::FindCoordinator(body) = replied.body else { panic!("not a coordinator") };
    assert_eq!((&*body.coordinators[0].host, body.coordinators[0].port), ("nowhere", 1));
}

#[test]
fn apis_are_offered_up_to_a_version() {
    let offers = |text: &str| {
        let offered = |api: i16, min_version, max_version| api_versions::ApiVersion {
            api_key: api,
            min_version,
            max_version,
            ..Default::default()
        };
        let said = api_versions::Response {
            api_keys: vec![offered(0, 3, 13), offered(1, 4, 18)],
            ..Default::default()
        };
        let replied = one(text).exchange(3, api_versions::Request::default(), said);
        let ResponseBody::ApiVersions(body) = replied.body else { panic!("not versions") };
        body.api_keys.iter().map(|k| (k.api_key, k.min_version, k.max_version)).collect::<Vec<_>>()
    };
    let rule = |what: &str| offers(&format!("on_request(\"ApiVersions\").api_versions({what});"));
    assert_eq!(rule("\"Fetch\", 11"), [(0, 3, 13), (1, 4, 11)]);
    assert_eq!(rule("\"Fetch\""), [(0, 3, 13)]);
    assert_eq!(rule("\"Fetch\", 3"), [(0, 3, 13)], "below what there is nothing is left");
    assert_eq!(rule("\"Fetch\", 99"), [(0, 3, 13), (1, 4, 18)]);
}

#[test]
fn fetches_are_cut_emptied_and_stale() {
    let payload = batch(&["a", "b"], 0);
    let fetch = |text: &str| one(text).fetch_payloads(&who("User:x"), &[("t", payload.clone())], 0);
    let cut = fetch("on_fetch(\"t\").truncate_fetch(20);");
    assert_eq!(cut.payload(0), payload.slice(..20));
    let empty = fetch("on_fetch(\"t\").empty_fetch();");
    assert_eq!((empty.payload(0).len(), empty.code(0)), (0, ErrorCode::NONE));
    assert!(!fetch("on_fetch(\"u\").empty_fetch();").decided.edited);
    let uncut = one("on_fetch(\"t\").truncate_fetch(4096);");
    assert!(!uncut.fetch_payloads(&who("User:x"), &[("t", payload.clone())], 0).decided.edited);
    assert_eq!(uncut.counts(0), (1, 0, 1));
    let mut partition = fetch::FetchPartitionData {
        high_watermark: 10,
        last_stable_offset: 9,
        log_start_offset: 3,
        ..Default::default()
    };
    use crate::policy::fault::reply::ReplyFault::StaleHighWatermark;
    assert!(StaleHighWatermark(4).fetched(&mut partition));
    assert_eq!((partition.high_watermark, partition.last_stable_offset), (6, 6));
    assert!(StaleHighWatermark(100).fetched(&mut partition));
    assert_eq!(partition.high_watermark, 3, "not before the start of the log");
    assert!(!StaleHighWatermark(100).fetched(&mut partition));
}

#[test]
fn observed_rules_leave_replies_alone() {
    let world = one("on_request(\"Metadata\").observe().no_leader(); on_fetch().observe().empty_fetch();");
    assert_eq!(world.metadata().leaders(), [AS_IT_WAS; 4]);
    assert_eq!(world.fetch(&who("User:x"), &[("t", "v")]).values(0), some(&["v"]));
    let lines = world.journal();
    assert!(lines.len() == 5 && lines.iter().all(|line| line["observed"] == true), "{lines:?}");
}

/// Every named fault, at every api where it happens, in an error reply of that api.
#[test]
fn named_faults_are_a_brokers_errors() {
    for named in named::ALL {
        for (api, _) in named.codes {
            let rule = match api.name().unwrap() {
                "Produce" => format!("on_produce().{}();", named.word),
                "Fetch" => format!("on_fetch().{}();", named.word),
                name => format!("on_request(\"{name}\").{}();", named.word),
            };
            let version = api.info().unwrap().max_version;
            let code = named.code(*api, version).unwrap().name().unwrap();
            let asked = match api.name().unwrap() {
                "Produce" => "produced(\"t\", \"v\")".to_owned(),
                "Fetch" => "fetched(\"t\", \"v\")".to_owned(),
                name => format!("requested(\"{name}\", #{{ topic: \"t\", group: \"g\" }})"),
            };
            let test = format!("test(\"a\", || {{ expect({asked}).to_fail_with(\"{code}\"); }});");
            let script = Script { file: "p.rhai".into(), text: format!("{rule}\n{test}").into() };
            let outcomes = crate::policy::testing::run(&[script], &Secrets::made_up(), &Default::default())
                .unwrap()
                .outcomes;
            assert!(outcomes[0].failure.is_none(), "{rule} {:?}", outcomes[0].failure);
        }
    }
}

#[test]
fn a_class_of_apis_is_narrowed_to_where_a_fault_can_happen() {
    let world = one("on_request(\"group\").group(\"g\").rebalance();");
    let ask = |version, body: RequestBody| world.ask(&who("User:x"), &mut request(version, body));
    let heartbeat = heartbeat::Request { group_id: "g".into(), ..Default::default() };
    assert_eq!(ask(4, heartbeat.into()).whole, Some(ErrorCode::REBALANCE_IN_PROGRESS));
    let join = join_group::Request { group_id: "g".into(), ..Default::default() };
    assert!(ask(9, join.into()).is_pass());
    assert_eq!(world.counts(0), (1, 1, 0), "where it cannot happen it does not match");
}

#[test]
fn a_slow_broker_serves_one_after_the_other() {
    let world = one("on_produce(\"t\").slow_broker(\"1s\");");
    let delay = |n| world.ask(&who("User:x"), &mut producing(&[("t", "v")], n)).delay;
    assert_eq!([delay(1), delay(2), delay(3)], [SECOND, SECOND * 2, SECOND * 3]);
    world.clock.advance(SECOND * 2);
    assert_eq!(delay(4), SECOND * 2);
    assert_eq!(one("on_produce(\"t\").delay(\"1s\");").produce(&who("User:x"), &[("t", "v")]).delay, SECOND);
}

#[test]
fn clients_are_told_to_wait_and_requests_are_doubled() {
    let world = one("on_produce(\"t\").throttle(\"3s\"); on_produce(\"u\").duplicate_request();");
    let verdict = world.produce(&who("User:x"), &[("t", "v")]);
    assert_eq!((verdict.throttle, verdict.duplicate, verdict.delay), (SECOND * 3, false, Duration::ZERO));
    assert!(!verdict.is_pass());
    assert!(world.produce(&who("User:x"), &[("u", "v")]).duplicate);
    let fetched = one("on_fetch(\"t\").chance(1.0).throttle(\"2s\");").fetch(&who("User:x"), &[("t", "v")]);
    assert_eq!(fetched.body.throttle_time_ms, 2_000);
    let world = one("on_request(\"SaslHandshake\").throttle(\"1s\");");
    assert!(world.ask(&who("User:x"), &mut request(1, sasl_handshake::Request::default())).is_pass());
    assert_eq!(world.counts(0), (1, 0, 1), "its answer has no place for it");
    let unanswered = one("on_produce(\"t\").throttle(\"1s\");");
    unanswered.ask(&who("User:x"), &mut producing_payloads(&[("t", batch(&["v"], 0))], 0));
    assert_eq!(unanswered.counts(0), (1, 0, 1));
}

#[test]
fn commits_are_lost_or_late_and_aborts_are_not() {
    let end = |world: &World, committed| {
        let body = end_txn::Request { transactional_id: "tx".into(), committed, ..Default::default() };
        world.ask(&who("User:x"), &mut request(3, body))
    };
    let lost = one("on_request(\"transaction\").transactional_id(\"tx\").lose_commit();");
    assert_eq!(end(&lost, true).lose, Some(Lose::Response));
    assert!(end(&lost, false).is_pass());
    assert_eq!(lost.counts(0), (1, 1, 0));
    let late = one("on_request(\"EndTxn\").delay_commit(\"1s\");");
    assert_eq!((end(&late, true).delay, end(&late, false).delay), (SECOND, Duration::ZERO));
}

#[test]
fn metadata_is_of_a_while_ago_topic_by_topic() {
    let world = one("on_request(\"Metadata\").topic(\"t\").stale_metadata(\"10s\"); \
                     on_request(\"Metadata\").topic(\"u\").every(2).stale_metadata().named(\"first\");");
    let tell = |partitions: [i32; 2]| {
        let topic = |name: &str, partitions: i32| metadata::MetadataResponseTopic {
            name: Some(name.into()),
            partitions: (0..partitions)
                .map(|n| metadata::MetadataResponsePartition { partition_index: n, ..Default::default() })
                .collect(),
            ..Default::default()
        };
        let topics = vec![topic("t", partitions[0]), topic("u", partitions[1]), topic("v", 5)];
        let said = metadata::Response { topics, ..Default::default() };
        let replied = world.exchange(12, metadata::Request { topics: None, ..Default::default() }, said);
        let ResponseBody::Metadata(body) = replied.body else { panic!("not metadata") };
        body.topics.iter().map(|topic| topic.partitions.len()).collect::<Vec<_>>()
    };
    assert_eq!(tell([1, 1]), [1, 1, 5]);
    assert_eq!(tell([2, 2]), [1, 1, 5]);
    assert_eq!(tell([2, 3]), [1, 3, 5], "one of two");
    world.clock.advance(11 * SECOND);
    assert_eq!(tell([2, 3]), [2, 1, 5], "eleven seconds ago there were two; the first is the first");
    // nothing was to be done at the first of the one, and at its last
    assert_eq!((world.counts(0), world.counts(1)), ((4, 2, 2), (4, 2, 0)));
    let journal = world.journal();
    assert_eq!(
        (journal.len(), &journal[0]["fault"], &journal[0]["when"]),
        (4, &"stale_metadata".into(), &"after".into())
    );
    // what is done to a partition is done to that one, whatever another topic is told as
    let world = one("on_request(\"Metadata\").topic(\"t\").stale_metadata(); \
                     on_request(\"Metadata\").topic(\"u\").partition(0).no_leader();");
    let led = |partitions: i32| {
        let topic = |name: &str, partitions: i32| metadata::MetadataResponseTopic {
            name: Some(name.into()),
            partitions: (0..partitions)
                .map(|n| metadata::MetadataResponsePartition {
                    partition_index: n,
                    leader_id: 1,
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        let said =
            metadata::Response { topics: vec![topic("t", partitions), topic("u", 2)], ..Default::default() };
        let replied = world.exchange(12, metadata::Request { topics: None, ..Default::default() }, said);
        let ResponseBody::Metadata(body) = replied.body else { panic!("not metadata") };
        let leaders = |topic: &metadata::MetadataResponseTopic| {
            topic.partitions.iter().map(|partition| partition.leader_id).collect::<Vec<_>>()
        };
        body.topics.iter().map(leaders).collect::<Vec<_>>()
    };
    assert_eq!(led(1), [vec![1], vec![-1, 1]]);
    assert_eq!(led(3), [vec![1], vec![-1, 1]]);
    let watching = one("mode(\"observe\"); on_request(\"Metadata\").stale_metadata();");
    assert!(!watching.metadata().edited);
}

#[test]
fn a_reply_of_the_cluster_is_about_no_partition() {
    let world = one(r#"on_request("Metadata").broker_missing();
           on_request("Metadata").when(|cx| cx.partition == ()).wrong_address("nowhere", 1);"#);
    world.metadata();
    let journal = world.journal();
    assert_eq!(journal.len(), 2);
    let subject = Subject {
        side: Side::Reply,
        principal: "User:x",
        client_id: "c",
        api: "Metadata",
        kind: "",
        name: "",
        partition: -1,
    };
    for line in &journal {
        assert_eq!(line["subject_id"], format!("{:032x}", subject.id()), "{line}");
    }
}

#[test]
fn faults_in_partitions_meet_partitions_and_stale_topics_topics() {
    let world = one("on_request(\"Metadata\").topic(\"t\").no_leader(); \
                     on_request(\"Metadata\").topic(\"t\").stale_metadata();");
    world.metadata();
    assert_eq!(
        (world.counts(0), world.counts(1)),
        ((2, 2, 0), (1, 1, 0)),
        "of two partitions, and of one topic"
    );
}

#[test]
fn what_a_request_draws_does_not_depend_on_who_looks_at_replies() {
    let delays = |more: &str| {
        let world = one(&format!(r#"seed(7); on_request("ApiVersions").chance(0.5).delay("1s"); {more}"#));
        let said = api_versions::Response::default;
        let delay = |_| world.exchange(3, api_versions::Request::default(), said()).verdict.delay;
        let delays: Vec<_> = (0..50).map(delay).collect();
        let events: Vec<_> = world.journal().iter().map(|line| line["n"].clone()).collect();
        (delays, events)
    };
    let alone = delays("");
    assert!(alone.0.contains(&SECOND) && alone.0.contains(&Duration::ZERO));
    let beside = r#"on_request("ApiVersions").api_versions("Fetch", 11);"#;
    assert_eq!(delays(beside), alone, "{beside}");
}

#[test]
fn the_past_is_what_the_rule_was_about() {
    let world =
        one(r#"on_request("Metadata").topic("t").when(|cx| cx.client_id == "c").stale_metadata("5s");"#);
    let partitions = |client_id: &str, partitions: i32| {
        let who = client("User:x", client_id);
        let partition = |n| metadata::MetadataResponsePartition { partition_index: n, ..Default::default() };
        let topic = metadata::MetadataResponseTopic {
            name: Some("t".into()),
            partitions: (0..partitions).map(partition).collect(),
            ..Default::default()
        };
        let mut asked = request(12, metadata::Request { topics: None, ..Default::default() });
        let verdict = world.ask(&who, &mut asked);
        let said = metadata::Response { topics: vec![topic], ..Default::default() };
        let mut response = Response::new(&asked, said.into());
        let plan = world.generation().plan(&who);
        plan.on_response(&ExchangeContext { who: &who, session: 1 }, &asked, &verdict, &mut response);
        let ResponseBody::Metadata(body) = response.body else { panic!("not metadata") };
        body.topics[0].partitions.len()
    };
    assert_eq!(partitions("d", 1), 1);
    world.clock.advance(10 * SECOND);
    assert_eq!(partitions("c", 2), 2, "nothing is known of what it was ten seconds ago");
    world.clock.advance(10 * SECOND);
    assert_eq!((partitions("d", 3), partitions("c", 3)), (3, 2));
}

#[test]
fn a_changed_fetch_is_written_again() {
    for fault in ["empty_fetch()", "truncate_fetch(20)", "stale_high_watermark(1)"] {
        let world = one(&format!("on_fetch(\"t\").{fault};"));
        let payload = batch(&["a", "b"], 0);
        let mut request = fetching(&["t", "t"], 0);
        let verdict = world.ask(&who("User:x"), &mut request);
        let mut said = answering(&[("t", payload.clone()), ("t", payload)]);
        said.responses[0].partitions[0].high_watermark = 2;
        let mut response = Response::new(&request, said.into());
        let cx = ExchangeContext { who: &who("User:x"), session: 1 };
        let plan = world.generation().plan(cx.who);
        assert!(plan.on_response(&cx, &request, &verdict, &mut response).edited, "{fault}");
    }
}

#[test]
fn a_changed_reply_is_audited_by_who_asks() {
    let world = one("on_request(\"Metadata\").topic(\"t\").partition(1).no_leader().audit(); \
                     on_request(\"Metadata\").broker_missing(7).audit();");
    world.metadata();
    let [line] = &*world.audit() else { panic!("one line") };
    assert_eq!(
        (&line["decision"], &line["name"], &line["partition"]),
        (&"inject".into(), &"t".into(), &1.into())
    );
}

#[test]
fn a_replay_changes_the_same_replies() {
    use crate::policy::replay::Replay;
    let text = "on_request(\"Metadata\").topic(\"t\").chance(0.4).no_leader(); \
                on_request(\"Metadata\").chance(0.3).broker_missing(0);";
    let run = |world: &World| (0..30).map(|_| world.metadata().body).collect::<Vec<_>>();
    let first = one(text);
    let before = run(&first);
    let journal: String = first.journal().iter().map(|line| format!("{line}\n")).collect();
    let replay = Some(Replay::read(journal.as_bytes()).unwrap());
    let again = world_with(&[("p", text)], Settings { forced_seed: Some(99), replay, ..Settings::default() });
    assert_eq!(run(&again), before);
    assert_ne!(
        run(&world_with(&[("p", text)], Settings { forced_seed: Some(99), ..Settings::default() })),
        before
    );
}

//! Client quotas: how they are kept, and what they do to who uses more. Time moves by hand.

use std::time::Duration;

use tollgate::broker::{Context, Reply};
use tollgate::wire::api::{
    alter_client_quotas as alter, create_partitions, delete_topics, describe_client_quotas as describe,
    describe_quorum, metadata,
};
use tollgate::wire::{RequestBody, Response, ResponseBody, Str};

use crate::bench::*;

type Named<'a> = &'a [(&'a str, Option<&'a str>)];

fn entry(named: Named, ops: &[(&str, Option<f64>)]) -> alter::Entry {
    let entity = |(kind, name): &(&str, Option<&str>)| alter::Entity {
        entity_type: Str::from(*kind),
        entity_name: name.map(Str::from),
        ..Default::default()
    };
    let op = |(key, value): &(&str, Option<f64>)| alter::Op {
        key: Str::from(*key),
        value: value.unwrap_or(0.0),
        remove: value.is_none(),
        ..Default::default()
    };
    alter::Entry {
        entity: named.iter().map(entity).collect(),
        ops: ops.iter().map(op).collect(),
        ..Default::default()
    }
}

async fn alter(bench: &Bench, version: i16, entries: Vec<alter::Entry>) -> Vec<(i16, String)> {
    let answer = answer!(AlterClientQuotas, {
        let request = alter::Request { entries, ..Default::default() };
        bench.ask(version, request).await
    });
    let told =
        |entry: alter::AnsweredEntry| (entry.error_code, entry.error_message.unwrap_or_default().to_string());
    answer.entries.into_iter().map(told).collect()
}

async fn set(bench: &Bench, named: Named<'_>, key: &str, value: f64) {
    let told = alter(bench, 1, vec![entry(named, &[(key, Some(value))])]).await;
    assert_eq!(told, [(0, String::new())]);
}

/// `type=name,... key=value,...` of each entity found.
async fn described(
    bench: &Bench,
    version: i16,
    components: &[(&str, i8, Option<&str>)],
    strict: bool,
) -> Result<Vec<String>, (i16, String)> {
    let component = |(kind, match_type, matched): &(&str, i8, Option<&str>)| describe::Component {
        entity_type: Str::from(*kind),
        match_type: *match_type,
        matched: matched.map(Str::from),
        ..Default::default()
    };
    let request = describe::Request {
        components: components.iter().map(component).collect(),
        strict,
        ..Default::default()
    };
    let answer = answer!(DescribeClientQuotas, bench.ask(version, request).await);
    let Some(entries) = answer.entries else {
        return Err((answer.error_code, answer.error_message.unwrap_or_default().to_string()));
    };
    let shown = |entry: &describe::Entry| {
        let named =
            |e: &describe::Entity| format!("{}={}", e.entity_type, e.entity_name.clone().unwrap_or_default());
        let entity: Vec<_> = entry.entity.iter().map(named).collect();
        let values: Vec<_> = entry.values.iter().map(|v| format!("{}={}", v.key, v.value)).collect();
        format!("{} {}", entity.join(","), values.join(","))
    };
    Ok(entries.iter().map(shown).collect())
}

#[tokio::test]
async fn quotas_are_kept_and_found() {
    let bench = Bench::new().await;
    let rate = |value| [("producer_byte_rate", Some(value))];
    let told = alter(
        &bench,
        0,
        vec![
            entry(&[("user", Some("u"))], &rate(1.0)),
            entry(&[("user", None)], &rate(2.0)),
            entry(&[("user", Some("u")), ("client-id", Some("c"))], &rate(3.0)),
            entry(
                &[("client-id", None)],
                &[("consumer_byte_rate", Some(4.0)), ("request_percentage", Some(0.5))],
            ),
            entry(&[("ip", Some("10.0.0.1"))], &[("connection_creation_rate", Some(5.0))]),
        ],
    )
    .await;
    assert!(told.iter().all(|told| *told == (0, String::new())), "{told:?}");
    let bench = bench.restart().await;
    for version in 0..=1 {
        let found = |components: &'static [(&str, i8, Option<&str>)], strict| {
            let bench = &bench;
            async move { described(bench, version, components, strict).await.unwrap() }
        };
        assert_eq!(found(&[], false).await.len(), 5);
        assert_eq!(found(&[], true).await.len(), 0, "nothing has no type at all");
        assert_eq!(found(&[("user", 2, None)], false).await.len(), 3);
        assert_eq!(
            found(&[("user", 2, None)], true).await,
            ["user= producer_byte_rate=2", "user=u producer_byte_rate=1"]
        );
        assert_eq!(found(&[("user", 1, None)], false).await, ["user= producer_byte_rate=2"]);
        assert_eq!(
            found(&[("user", 0, Some("u")), ("client-id", 0, Some("c"))], false).await,
            ["client-id=c,user=u producer_byte_rate=3"]
        );
        assert_eq!(
            found(&[("client-id", 1, None)], true).await,
            ["client-id= consumer_byte_rate=4,request_percentage=0.5"]
        );
        assert_eq!(
            found(&[("ip", 0, Some("10.0.0.1"))], true).await,
            ["ip=10.0.0.1 connection_creation_rate=5"]
        );
        assert_eq!(found(&[("ip", 0, Some("10.0.0.2"))], true).await.len(), 0);
    }
    for (components, code, message) in [
        (&[("", 0, Some("x"))][..], 42, "Invalid empty entity type."),
        (&[("user", 0, None)], 42, "Request specified MATCH_TYPE_EXACT, but set match string to null."),
        (
            &[("user", 1, Some("x"))],
            42,
            "Request specified MATCH_TYPE_DEFAULT, but also specified a match string.",
        ),
        (
            &[("user", 2, Some("x"))],
            42,
            "Request specified MATCH_TYPE_SPECIFIED, but also specified a match string.",
        ),
        (&[("user", 9, None)], 42, "Unknown match type 9"),
        (
            &[("user", 2, None), ("user", 2, None)],
            42,
            "Entity type user cannot appear more than once in the filter.",
        ),
        (&[("host", 2, None)], 35, "Custom entity type host not supported"),
        (&[("user", 2, None), ("ip", 2, None)], 42, "Invalid entity filter component combination. IP filter"),
    ] {
        let (told_code, told) = described(&bench, 1, components, false).await.unwrap_err();
        assert_eq!(told_code, code, "{told}");
        assert!(told.starts_with(message), "{told}");
    }
    let gone =
        vec![entry(&[("user", Some("u"))], &[("producer_byte_rate", None), ("request_percentage", None)])];
    assert_eq!(alter(&bench, 1, gone).await, [(0, String::new())]);
    assert_eq!(described(&bench, 1, &[("user", 0, Some("u"))], true).await, Ok(vec![]));
}

#[tokio::test]
async fn wrong_alterations_are_refused_and_the_others_done() {
    let bench = Bench::new().await;
    let rate = [("producer_byte_rate", Some(1.0))];
    let told = alter(
        &bench,
        1,
        vec![
            entry(&[("user", Some("good"))], &rate),
            entry(&[("user", Some("bad"))], &[("speed", Some(1.0))]),
            entry(&[("user", Some("none"))], &[("producer_byte_rate", Some(0.0))]),
            entry(&[("user", Some("u")), ("ip", None)], &rate),
            entry(&[], &rate),
            entry(&[("user", Some("twice"))], &rate),
            entry(&[("user", Some("twice"))], &rate),
        ],
    )
    .await;
    let codes: Vec<_> = told.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes, [0, 42, 42, 42, 42, 42], "{told:?}");
    assert_eq!(told[5].1, "Ignoring duplicate entity ClientQuotaEntity(entries={user=twice})");
    let request = alter::Request {
        entries: vec![entry(&[("user", Some("dry"))], &rate)],
        validate_only: true,
        ..Default::default()
    };
    assert_eq!(answer!(AlterClientQuotas, bench.ask(1, request).await).entries[0].error_code, 0);
    let all = described(&bench, 1, &[], false).await.unwrap();
    assert_eq!(all, ["user=good producer_byte_rate=1", "user=twice producer_byte_rate=1"]);
}

fn as_client(user: &str, client_id: &str) -> Context {
    Context {
        principal: Str::from(format!("User:{user}")),
        client_id: Some(Str::from(client_id)),
        ..context()
    }
}

/// The answer, and for how long the session is muted with it.
async fn metered(
    bench: &Bench,
    cx: &Context,
    version: i16,
    body: impl Into<RequestBody>,
) -> (Option<ResponseBody>, Duration) {
    match bench.broker.handle(cx, request(version, body.into())) {
        Reply::Metered { response, mute, .. } => {
            let (response, after) = response.await;
            let body = response.map(|response: Response| response.body);
            (body, mute.max(after))
        }
        reply => (settle(reply).await, Duration::ZERO),
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn who_produces_too_much_is_told_to_wait_as_long_as_it_takes() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    let alice = as_client("alice", "a");
    let big = || produce_to("t", 0, batch(&[&"x".repeat(50_000)]));
    let (_, mute) = metered(&bench, &alice, 9, big()).await;
    assert_eq!(mute, Duration::ZERO, "nobody has a quota");
    set(&bench, &[("user", Some("alice"))], "producer_byte_rate", 10_000.0).await;
    // Ten seconds' worth: two of fifty thousand are just over.
    let mut muted = Vec::new();
    for _ in 0..3 {
        let (body, mute) = metered(&bench, &alice, 9, big()).await;
        let Some(ResponseBody::Produce(answer)) = body else { panic!() };
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "it is taken all the same");
        assert_eq!(Duration::from_millis(answer.throttle_time_ms as u64), mute);
        muted.push(mute.as_millis());
    }
    assert_eq!(muted[0], 0);
    assert!(muted[1] < 50 && (5000..5100).contains(&muted[2]), "{muted:?}");
    let (_, mute) = metered(&bench, &as_client("bob", "a"), 9, big()).await;
    assert_eq!(mute, Duration::ZERO, "somebody else's quota");
    let mut silent = big();
    silent.acks = 0;
    let (body, mute) = metered(&bench, &as_client("alice", "other"), 9, silent).await;
    assert!(
        body.is_none() && mute > 10 * SECOND,
        "without an answer the session is muted all the same: {mute:?}"
    );
    bench.hand.advance(30 * SECOND);
    let (_, mute) = metered(&bench, &alice, 9, big()).await;
    assert_eq!(mute, Duration::ZERO, "what was used long ago does not count");
}

#[tokio::test]
async fn the_windows_are_those_that_are_set() {
    let bench = Bench::with(&[("quota.window.num", "3"), ("quota.window.size.seconds", "2")]).await;
    bench.create("t", 1).await;
    set(&bench, &[("user", Some("u"))], "producer_byte_rate", 10_000.0).await;
    let cx = as_client("u", "c");
    let send = || {
        let (bench, cx) = (&bench, &cx);
        async move { metered(bench, cx, 9, produce_to("t", 0, batch(&[&"x".repeat(39_000)]))).await.1 }
    };
    // Two windows of two seconds stand behind the first: forty thousand at once.
    assert_eq!(send().await, Duration::ZERO);
    let mute = send().await;
    assert!((3700..4100).contains(&mute.as_millis()), "{mute:?}");
    bench.hand.advance(7 * SECOND);
    assert_eq!(send().await, Duration::ZERO);
}

#[tokio::test]
async fn a_producer_gets_its_rate_over_time() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    set(&bench, &[("client-id", None)], "producer_byte_rate", 20_000.0).await;
    let cx = as_client("u", "steady");
    let start = bench.clock.elapsed();
    let mut sent = 0;
    while bench.clock.elapsed() - start < 60 * SECOND {
        let records = batch(&[&"x".repeat(4000)]);
        sent += records.len();
        let (_, mute) = metered(&bench, &cx, 9, produce_to("t", 0, records)).await;
        bench.hand.advance(mute + Duration::from_millis(5));
    }
    let rate = sent as f64 / 60.0;
    // The first ten seconds' worth may come at once.
    assert!((20_000.0..24_000.0).contains(&rate), "{rate}");
}

#[tokio::test]
async fn who_fetches_too_much_is_answered_empty_and_loses_nothing() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    for _ in 0..4 {
        bench.produce("t", 0, batch(&[&"x".repeat(50_000)])).await;
    }
    set(&bench, &[("user", None), ("client-id", Some("c"))], "consumer_byte_rate", 10_000.0).await;
    let cx = as_client("u", "c");
    let fetch = |version: i16, offset: i64| {
        let mut request = fetch_from("t", 0, offset);
        request.max_bytes = i32::MAX;
        let (bench, cx) = (&bench, &cx);
        async move {
            let (body, mute) = metered(bench, cx, version, request).await;
            let Some(ResponseBody::Fetch(answer)) = body else { panic!() };
            (*answer, mute)
        }
    };
    let (first, mute) = fetch(12, 0).await;
    assert_eq!(mute, Duration::ZERO);
    let told = values(&first.responses[0].partitions[0].records);
    assert_eq!(told.len(), 1, "no more than the quota allows in its windows is read at once");
    let (second, _) = fetch(12, 1).await;
    let (third, mute) = fetch(12, 2).await;
    let throttled = if second.responses.is_empty() { &second } else { &third };
    assert!(throttled.responses.is_empty() && throttled.error_code == 0);
    assert!(throttled.throttle_time_ms > 0 && mute > Duration::ZERO);
    // An answer that was not given is not counted: after the wait the same fetch goes through.
    bench.hand.advance(12 * SECOND);
    let (again, mute) = fetch(12, 1).await;
    assert_eq!((again.throttle_time_ms, mute), (0, Duration::ZERO));
    assert_eq!(values(&again.responses[0].partitions[0].records)[0].0, 1);
}

#[tokio::test]
async fn a_fetch_session_survives_an_empty_answer() {
    let bench = Bench::new().await;
    bench.create("t", 1).await;
    set(&bench, &[("client-id", Some("c"))], "consumer_byte_rate", 1_000.0).await;
    let cx = as_client("u", "c");
    let mut first = fetch_from("t", 0, 0);
    (first.max_bytes, first.session_epoch) = (i32::MAX, 0);
    let (body, _) = metered(&bench, &cx, 12, first).await;
    let Some(ResponseBody::Fetch(answer)) = body else { panic!() };
    let session_id = answer.session_id;
    assert_ne!(session_id, 0);
    bench.produce("t", 0, batch(&[&"x".repeat(50_000)])).await;
    let next = |session_epoch: i32| {
        let request = tollgate::wire::api::fetch::Request {
            replica_id: -1,
            min_bytes: 1,
            max_bytes: i32::MAX,
            session_id,
            session_epoch,
            ..Default::default()
        };
        let (bench, cx) = (&bench, &cx);
        async move {
            let (body, mute) = metered(bench, cx, 12, request).await;
            let Some(ResponseBody::Fetch(answer)) = body else { panic!() };
            (*answer, mute)
        }
    };
    let (empty, mute) = next(1).await;
    assert_eq!((empty.error_code, empty.session_id, empty.responses.len()), (0, session_id, 0));
    // The batch alone is more than the windows hold: told to wait for (50 - 10) / 1 seconds.
    assert!((39 * SECOND..41 * SECOND).contains(&mute), "{mute:?}");
    let gone =
        alter(&bench, 1, vec![entry(&[("client-id", Some("c"))], &[("consumer_byte_rate", None)])]).await;
    assert_eq!(gone, [(0, String::new())]);
    let (full, _) = next(2).await;
    assert_eq!((full.error_code, values(&full.responses[0].partitions[0].records).len()), (0, 1));
}

#[tokio::test]
async fn time_on_a_worker_counts_for_everything() {
    let bench = Bench::new().await;
    // So little that any request is over it; and no wait is longer than a window.
    set(&bench, &[("user", Some("slow"))], "request_percentage", 0.000_001).await;
    let (body, mute) = metered(&bench, &as_client("slow", "c"), 12, metadata::Request::default()).await;
    let Some(ResponseBody::Metadata(answer)) = body else { panic!() };
    assert_eq!((answer.throttle_time_ms, mute), (1000, SECOND));
    let (body, mute) = metered(&bench, &as_client("other", "c"), 12, metadata::Request::default()).await;
    let Some(ResponseBody::Metadata(answer)) = body else { panic!() };
    assert_eq!((answer.throttle_time_ms, mute), (0, Duration::ZERO));
}

#[tokio::test]
async fn topics_cost_as_many_as_their_partitions() {
    let bench = Bench::new().await;
    set(&bench, &[("user", Some("u"))], "controller_mutation_rate", 1.0).await;
    let cx = as_client("u", "c");
    let create = |version: i16, name: &'static str, partitions: i32| {
        let (bench, cx) = (&bench, &cx);
        async move {
            let (body, mute) = metered(bench, cx, version, new_topic(name, partitions, &[])).await;
            let Some(ResponseBody::CreateTopics(answer)) = body else { panic!() };
            assert_eq!(answer.throttle_time_ms as u128, mute.as_millis());
            (answer.topics[0].error_code, mute)
        }
    };
    // Eleven seconds' worth is there at first, and one more than that may still be taken.
    assert_eq!(create(7, "a", 13).await, (0, Duration::ZERO));
    assert_eq!(create(7, "b", 1).await, (89, 2 * SECOND));
    // Older clients do not know the error: it is done, and they wait.
    assert_eq!(create(5, "c", 1).await, (0, 3 * SECOND));
    let more = create_partitions::Request {
        topics: vec![create_partitions::CreatePartitionsTopic {
            name: Str::from("a"),
            count: 14,
            assignments: None,
            ..Default::default()
        }],
        ..Default::default()
    };
    let (body, _) = metered(&bench, &cx, 3, more.clone()).await;
    let Some(ResponseBody::CreatePartitions(answer)) = body else { panic!() };
    assert_eq!((answer.results[0].error_code, answer.throttle_time_ms), (89, 3000));
    let doomed = delete_topics::Request { topic_names: vec![Str::from("c")], ..Default::default() };
    let (body, _) = metered(&bench, &cx, 5, doomed.clone()).await;
    let Some(ResponseBody::DeleteTopics(answer)) = body else { panic!() };
    assert_eq!((answer.responses[0].error_code, answer.throttle_time_ms), (89, 3000));
    bench.hand.advance(3 * SECOND);
    let (body, _) = metered(&bench, &cx, 3, more).await;
    let Some(ResponseBody::CreatePartitions(answer)) = body else { panic!() };
    assert_eq!((answer.results[0].error_code, answer.throttle_time_ms), (0, 0));
    let (body, mute) = metered(&bench, &cx, 4, doomed).await;
    let Some(ResponseBody::DeleteTopics(answer)) = body else { panic!() };
    assert_eq!((answer.responses[0].error_code, mute), (0, 2 * SECOND));
}

#[tokio::test]
async fn an_address_opens_so_many_connections() {
    let bench = Bench::new().await;
    let quotas = || bench.broker.quotas();
    let (near, far) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
    assert_eq!(quotas().connect(near), None);
    set(&bench, &[("ip", Some("10.0.0.1"))], "connection_creation_rate", 2.0).await;
    for n in 0..20 {
        assert_eq!(quotas().connect(near), None, "{n}");
    }
    let wait = quotas().connect(near).unwrap();
    assert!(wait > Duration::ZERO && wait <= SECOND, "{wait:?}");
    assert_eq!(quotas().connect(near), Some(wait), "one that did not come in does not count");
    assert_eq!(quotas().connect(far), None);
    bench.hand.advance(wait);
    assert_eq!(quotas().connect(near), None);
}

#[tokio::test]
async fn any_quota_that_is_taken_is_there_after_a_restart() {
    let bench = Bench::new().await;
    let values = [f64::INFINITY, f64::MAX, f64::MIN_POSITIVE, 0.1 + 0.2, 5e-324];
    for (n, value) in values.into_iter().enumerate() {
        set(&bench, &[("user", Some(&format!("u{n}")))], "request_percentage", value).await;
    }
    let bench = bench.restart().await;
    for (n, value) in values.into_iter().enumerate() {
        let found = described(&bench, 1, &[("user", 0, Some(&format!("u{n}")))], true).await.unwrap();
        assert_eq!(found, [format!("user=u{n} request_percentage={value}")]);
    }
}

#[tokio::test]
async fn one_request_alters_thousands_and_no_more() {
    let bench = Bench::new().await;
    let wanted = |count: usize| -> Vec<alter::Entry> {
        let name = |n: usize| format!("c{n}");
        (0..count)
            .map(|n| entry(&[("client-id", Some(&name(n)))], &[("producer_byte_rate", Some(1.0))]))
            .collect()
    };
    let before = quorum_end(&bench).await;
    let told = alter(&bench, 1, wanted(10_000)).await;
    assert!(told.iter().all(|told| *told == (0, String::new())));
    assert_eq!(quorum_end(&bench).await, before + 1, "one commit");
    let told = alter(&bench, 1, wanted(10_001)).await;
    let message = "Unable to perform excessively large batch operation.".to_owned();
    assert!(told.iter().all(|told| *told == (44, message.clone())), "{:?}", told[0]);
    assert_eq!(described(&bench, 1, &[], false).await.unwrap().len(), 10_000);
    // Those that fall do not take the others with them.
    let told = alter(
        &bench,
        1,
        vec![
            entry(&[("user", Some("a"))], &[("producer_byte_rate", Some(1.0))]),
            entry(&[("user", Some("b"))], &[("producer_byte_rate", Some(-1.0))]),
            entry(&[("user", Some("c"))], &[("producer_byte_rate", Some(1.0))]),
            entry(&[("user", Some("c"))], &[("producer_byte_rate", Some(2.0))]),
        ],
    )
    .await;
    assert_eq!(told.iter().map(|(code, _)| *code).collect::<Vec<_>>(), [0, 42, 42]);
    let bench = bench.restart().await;
    let found = described(&bench, 1, &[("user", 2, None)], true).await.unwrap();
    assert_eq!(found, ["user=a producer_byte_rate=1", "user=c producer_byte_rate=1"]);
}

/// How many changes there were.
async fn quorum_end(bench: &Bench) -> i64 {
    let request = describe_quorum::Request {
        topics: vec![describe_quorum::AskedTopic {
            topic_name: Str::from_static("__cluster_metadata"),
            partitions: vec![Default::default()],
            ..Default::default()
        }],
        ..Default::default()
    };
    answer!(DescribeQuorum, bench.ask(2, request).await).topics[0].partitions[0].high_watermark
}

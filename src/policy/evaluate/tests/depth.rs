//! What takes long enough to be kept from other sessions, and which names must be asked for first.

use super::*;
use crate::policy::plan::Plan;
use crate::policy::verdict::Interest;
use crate::wire::record::Compression;

const MASK: &str = r#"on_produce("*").mask("$.a", "all"); on_fetch("*").mask("$.a", "all");"#;
/// So many plain bytes are looked into at once.
const LIGHT: usize = 64 << 10;

fn plan(script: &str) -> Arc<Plan> {
    one(script).generation().plan(&who("User:x"))
}

/// A plain batch of so many bytes.
fn plain(length: usize) -> Bytes {
    let spare = length - batch(&[&"x".repeat(length - 1_000)], 0).len();
    let payload = batch(&[&"x".repeat(length - 1_000 + spare)], 0);
    assert_eq!(payload.len(), length);
    payload
}

fn compressed() -> Bytes {
    with_codecs(|_, compressor| {
        let header = BatchHeader { attributes: Compression::Gzip as i16, ..BatchHeader::default() };
        let mut builder = BatchBuilder::new(header, compressor);
        builder.append(1_000, None, Some(b"x"), HeadersBuf::new().as_headers()).unwrap();
        builder.finish().unwrap()
    })
}

#[test]
fn many_plain_bytes_and_any_compressed_ones_are_heavy() {
    let heavy = |plan: &Plan, payloads: &[Bytes]| {
        let parts: Vec<(&str, Bytes)> = payloads.iter().map(|payload| ("t", payload.clone())).collect();
        let mut request = producing_payloads(&parts, -1);
        request.body().unwrap();
        let by_request = plan.is_heavy_request(&request);
        let asked = fetching(&["t"], 0);
        let response = Response::new(&asked, answering(&parts).into());
        let looked_into = Verdict { response: plan.response_interest(asked.api()), ..Verdict::default() };
        assert_eq!(plan.is_heavy_response(&looked_into, &response), by_request);
        let not = Verdict { response: Interest::Parts, ..Verdict::default() };
        assert!(!plan.is_heavy_response(&not, &response), "nothing is looked into");
        by_request
    };
    let (masking, idle) = (plan(MASK), plan(r#"on_produce("*").delay("1s");"#));
    for (payloads, expected) in [
        (vec![], false),
        (vec![Bytes::new()], false),
        (vec![batch(&["x"], 0)], false),
        (vec![plain(LIGHT)], false),
        (vec![plain(LIGHT + 1)], true),
        (vec![plain(2 * LIGHT)], true),
        (vec![plain(LIGHT / 2), Bytes::new(), plain(LIGHT / 2)], false),
        (vec![plain(LIGHT / 2), plain(LIGHT / 2 + 1)], true),
        (vec![compressed()], true),
        (vec![batch(&["x"], 0), compressed()], true),
        (vec![[batch(&["x"], 0), compressed()].concat().into()], true),
    ] {
        assert_eq!(
            heavy(&masking, &payloads),
            expected,
            "{:?}",
            payloads.iter().map(Bytes::len).collect::<Vec<_>>()
        );
        assert!(!heavy(&idle, &payloads), "nothing is looked into");
    }
    let other = request(5, crate::wire::api::list_groups::Request::default());
    assert!(!masking.is_heavy_request(&other), "it has no records");
}

#[test]
fn names_are_asked_for_where_rules_need_them_and_nobody_knows_them() {
    let world = one(r#"on_fetch("secret").deny();"#);
    world.topics.put(1, "known");
    let topic = |id: [u8; 16]| fetch::FetchTopic {
        topic_id: Uuid(id),
        partitions: vec![fetch::FetchPartition::default()],
        ..Default::default()
    };
    let body = fetch::Request {
        topics: [[1; 16], [3; 16], [0; 16], [2; 16], [3; 16]].map(topic).to_vec(),
        ..Default::default()
    };
    let mut asked = request(13, body.clone());
    let plan = world.generation().plan(&who("User:x"));
    assert_eq!(plan.unknown_topic_ids(&mut asked), [Uuid([2; 16]), Uuid([3; 16])]);
    let idle = one(r#"on_produce("secret").deny();"#).generation().plan(&who("User:x"));
    assert_eq!(idle.unknown_topic_ids(&mut request(13, body)), []);
}

#[test]
fn closures_see_who_asks_for_what() {
    let world = one(r#"on_produce("*").when(|cx|
        cx.principal == "User:x" && cx.client_id == "c" && cx.listener == "public" && cx.ip == "10.0.0.1"
            && cx.topic == "t" && cx.partition == 0).deny();"#);
    let denied = Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    let ask = |who: &Who, topic| codes(&world.produce(who, &[(topic, "v")]));
    assert_eq!(ask(&who("User:x"), "t"), [denied]);
    assert_eq!(ask(&who("User:y"), "t"), []);
    assert_eq!(ask(&who("User:x"), "u"), []);
    assert_eq!(ask(&client("User:x", "d"), "t"), []);
    assert_eq!(ask(&Who { listener: "private".into(), ..who("User:x") }, "t"), []);
    assert_eq!(ask(&Who { remote_ip: [10, 0, 0, 2].into(), ..who("User:x") }, "t"), []);
}

/// Who has no transactional id is all but those that an exclusion names, where there could be one.
#[test]
fn a_producer_id_without_a_transactional_one_is_not_exempt_by_exclusions() {
    let world = one(r#"on_request("InitProducerId", "ListGroups").transactional_id("!tx-*").deny();"#);
    let init = |id: Option<&str>| {
        let body = crate::wire::api::init_producer_id::Request {
            transactional_id: id.map(Str::from),
            ..Default::default()
        };
        world.ask(&who("User:x"), &mut request(4, body)).whole.is_some()
    };
    assert_eq!([None, Some("other"), Some("tx-1")].map(init), [true, true, false]);
    let groups = crate::wire::api::list_groups::Request::default();
    assert!(world.ask(&who("User:x"), &mut request(5, groups)).is_pass(), "there is none to have");
}

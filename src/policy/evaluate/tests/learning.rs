//! What is learned from replies that pass by, and what they tell of rights.

use super::*;
use crate::policy::verdict::Interest;
use crate::wire::Operation;
use crate::wire::api::*;

fn passes(world: &World, asked: &Request, body: impl Into<ResponseBody>) -> (ResponseVerdict, ResponseBody) {
    let user = who("User:x");
    let mut response = Response::new(asked, body.into());
    let verdict = Verdict { response: Interest::Parts, ..Verdict::default() };
    let cx = ExchangeContext { who: &user, session: 1 };
    let decided = world.generation().plan(&user).on_response(&cx, asked, &verdict, &mut response);
    (decided, response.body)
}

#[test]
fn names_of_topics_are_learned_where_replies_tell_them_and_forgotten_when_they_are_deleted() {
    let world = one(r#"on_fetch("secret").deny();"#);
    let knows = |id: u8| world.policies.shared().names.name(Uuid([id; 16])).map(|name| name.to_string());
    let (fine, error) = (0, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION.0);

    let topic = |name: &str, id: u8, error_code| metadata::MetadataResponseTopic {
        name: Some(name.into()),
        topic_id: Uuid([id; 16]),
        error_code,
        ..Default::default()
    };
    let body =
        metadata::Response { topics: vec![topic("a", 1, fine), topic("b", 2, error)], ..Default::default() };
    passes(&world, &request(12, metadata::Request::default()), body);
    assert_eq!((knows(1).as_deref(), knows(2)), (Some("a"), None));

    let topic = |name: &str, id: u8, error_code| create_topics::CreatableTopicResult {
        name: name.into(),
        topic_id: Uuid([id; 16]),
        error_code,
        ..Default::default()
    };
    let body = create_topics::Response {
        topics: vec![topic("c", 3, fine), topic("d", 4, error)],
        ..Default::default()
    };
    passes(&world, &request(7, create_topics::Request::default()), body);
    assert_eq!((knows(3).as_deref(), knows(4)), (Some("c"), None));

    let topic =
        |name: &str, id: u8, error_code| describe_topic_partitions::DescribeTopicPartitionsResponseTopic {
            name: Some(name.into()),
            topic_id: Uuid([id; 16]),
            error_code,
            ..Default::default()
        };
    let body = describe_topic_partitions::Response {
        topics: vec![topic("e", 5, fine), topic("f", 6, error)],
        ..Default::default()
    };
    passes(&world, &request(0, describe_topic_partitions::Request::default()), body);
    assert_eq!((knows(5).as_deref(), knows(6)), (Some("e"), None));

    let gone = |name: Option<&str>, id: u8, error_code| delete_topics::DeletableTopicResult {
        name: name.map(Str::from),
        topic_id: Uuid([id; 16]),
        error_code,
        ..Default::default()
    };
    let responses = vec![gone(Some("a"), 1, fine), gone(None, 3, fine), gone(Some("e"), 5, error)];
    let body = delete_topics::Response { responses, ..Default::default() };
    passes(&world, &request(6, delete_topics::Request::default()), body);
    assert_eq!(
        (knows(1), knows(3), knows(5).as_deref()),
        (None, None, Some("e")),
        "what failed is still there"
    );
}

const ALL: i32 = 0xffff;

/// Bits of operations, as Kafka numbers them.
fn bits(operations: &[Operation]) -> i32 {
    operations.iter().map(|operation| 1 << operation.number()).sum()
}

#[test]
fn rights_on_groups_and_topics_are_told_as_far_as_rules_give_them() {
    let world = one(r#"default_deny();
        on_access("Read").group("*").allow();
        on_access("Write").topic("*").allow();"#);
    let (of_group, of_topic) =
        (bits(&[Operation::Read, Operation::Describe]), bits(&[Operation::Write, Operation::Describe]));
    // what is told already is left, and the reply goes out as it came
    let check = |expected: i32, told: &dyn Fn(i32) -> (bool, i32)| {
        assert_eq!(told(ALL), (true, expected));
        assert_eq!(told(expected), (false, expected));
        assert_eq!(told(i32::MIN), (false, i32::MIN), "nobody asked");
    };
    check(of_group, &|authorized_operations| {
        let group = describe_groups::DescribedGroup {
            group_id: "g".into(),
            authorized_operations,
            ..Default::default()
        };
        let body = describe_groups::Response { groups: vec![group], ..Default::default() };
        let (decided, body) = passes(&world, &request(5, describe_groups::Request::default()), body);
        let ResponseBody::DescribeGroups(body) = body else { panic!() };
        (decided.edited, body.groups[0].authorized_operations)
    });
    check(of_group, &|authorized_operations| {
        let group = consumer_group_describe::DescribedGroup {
            group_id: "g".into(),
            authorized_operations,
            ..Default::default()
        };
        let body = consumer_group_describe::Response { groups: vec![group], ..Default::default() };
        let (decided, body) = passes(&world, &request(0, consumer_group_describe::Request::default()), body);
        let ResponseBody::ConsumerGroupDescribe(body) = body else { panic!() };
        (decided.edited, body.groups[0].authorized_operations)
    });
    check(of_group, &|authorized_operations| {
        let group = share_group_describe::DescribedGroup {
            group_id: "g".into(),
            authorized_operations,
            ..Default::default()
        };
        let body = share_group_describe::Response { groups: vec![group], ..Default::default() };
        let (decided, body) = passes(&world, &request(1, share_group_describe::Request::default()), body);
        let ResponseBody::ShareGroupDescribe(body) = body else { panic!() };
        (decided.edited, body.groups[0].authorized_operations)
    });
    check(of_group, &|authorized_operations| {
        let group = streams_group_describe::DescribedGroup {
            group_id: "g".into(),
            authorized_operations,
            ..Default::default()
        };
        let body = streams_group_describe::Response { groups: vec![group], ..Default::default() };
        let (decided, body) = passes(&world, &request(0, streams_group_describe::Request::default()), body);
        let ResponseBody::StreamsGroupDescribe(body) = body else { panic!() };
        (decided.edited, body.groups[0].authorized_operations)
    });
    check(of_topic, &|topic_authorized_operations| {
        let topic = describe_topic_partitions::DescribeTopicPartitionsResponseTopic {
            name: Some("t".into()),
            topic_authorized_operations,
            ..Default::default()
        };
        let body = describe_topic_partitions::Response { topics: vec![topic], ..Default::default() };
        let (decided, body) =
            passes(&world, &request(0, describe_topic_partitions::Request::default()), body);
        let ResponseBody::DescribeTopicPartitions(body) = body else { panic!() };
        (decided.edited, body.topics[0].topic_authorized_operations)
    });
}

/// A condition is asked about the topic as a whole, by its name.
#[test]
fn rights_that_depend_on_a_condition_are_told_by_the_thing_they_are_about() {
    let world = one(r#"default_deny();
        on_access("Describe").topic("*").allow();
        on_access("Write").topic("*").when(|cx| cx.topic == "t").allow();
        on_access("Read").topic("*").when(|cx| cx.partition == ()).allow();"#);
    let told = |name: &str| {
        let topic = metadata::MetadataResponseTopic {
            name: Some(name.into()),
            topic_authorized_operations: ALL,
            ..Default::default()
        };
        let body = metadata::Response {
            topics: vec![topic],
            cluster_authorized_operations: i32::MIN,
            ..Default::default()
        };
        let (_, body) = passes(&world, &request(12, metadata::Request::default()), body);
        let ResponseBody::Metadata(body) = body else { panic!() };
        body.topics[0].topic_authorized_operations
    };
    let read = [Operation::Describe, Operation::Read];
    assert_eq!(told("t"), bits(&[&read[..], &[Operation::Write]].concat()));
    assert_eq!(told("u"), bits(&read));
}

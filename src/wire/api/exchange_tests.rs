//! Random requests of every api and version: what they say of their parts, how they fail, and how answers made up here
//! come together with an upstream's.

use super::{Answer, Part, Resource};
use crate::wire::{
    ErrorCode, Payload, RequestBody, ResponseBody, Str, Uuid,
    api::{delete_topics, fetch, find_coordinator, metadata, offset_commit, offset_fetch, produce},
    read::Reader,
    sample::Draw,
    table::{APIS, ApiInfo, ApiKey},
    types::Tags,
    write::Writer,
};
use bytes::Bytes;

fn each(samples: u64, mut case: impl FnMut(&'static ApiInfo, i16, RequestBody, &mut Draw)) {
    for info in APIS {
        for version in info.min_version..=info.max_version {
            for n in 0..samples {
                let mut draw = Draw::new((info.key.0 as u64) << 40 | (version as u64) << 20 | n);
                let request = RequestBody::sample(info.key, version, &mut draw).unwrap();
                case(info, version, request, &mut draw);
            }
        }
    }
}

/// The same response as a client would read it.
fn reread(response: &ResponseBody, version: i16) -> ResponseBody {
    let mut writer = Writer::new();
    response.write(version, &mut writer).unwrap();
    let bytes = Payload::Pieces(writer.finish()).to_bytes().unwrap();
    ResponseBody::read(response.api(), version, &mut Reader::new(bytes)).unwrap()
}

fn codes(response: &ResponseBody) -> Vec<i16> {
    let mut codes = Vec::new();
    response.errors(&mut |code| codes.push(code));
    codes.retain(|code| *code != 0);
    codes
}

/// From version 8 on a group is a part of an OffsetFetch, and its partitions follow it.
fn groups_are_parts(info: &ApiInfo, version: i16) -> bool {
    info.key == ApiKey::OffsetFetch && version >= 8
}

/// How many codes stand in the reply to a request that failed whole.
fn places(info: &ApiInfo, version: i16, request: &RequestBody, parts: &[Part]) -> usize {
    match request {
        RequestBody::AddPartitionsToTxn(_) if version >= 4 => return 1,
        RequestBody::WriteTxnMarkers(it) => {
            let topics = it.markers.iter().flat_map(|marker| &marker.topics);
            return topics.map(|topic| topic.partition_indexes.len()).sum();
        }
        RequestBody::DescribeUserScramCredentials(it) => return 1 + it.users.iter().flatten().count(),
        RequestBody::CreateAcls(it) => return it.creations.len(),
        RequestBody::DeleteAcls(it) => return it.filters.len(),
        RequestBody::AlterReplicaLogDirs(it) => {
            let topics = it.dirs.iter().flat_map(|dir| &dir.topics);
            return topics.map(|topic| topic.partitions.len()).sum();
        }
        RequestBody::AlterClientQuotas(it) => return it.entries.len(),
        RequestBody::AlterUserScramCredentials(it) => {
            let deleted = it.deletions.iter().map(|user| &user.name);
            let users = deleted.chain(it.upsertions.iter().map(|user| &user.name));
            return users.collect::<std::collections::HashSet<_>>().len();
        }
        _ => {}
    }
    match info.key {
        ApiKey::DescribeLogDirs if version < 3 => 0,
        ApiKey::ElectLeaders if version < 1 => parts.len(),
        ApiKey::ElectLeaders | ApiKey::AlterPartitionReassignments => 1 + parts.len(),
        // One for the whole is enough.
        ApiKey::ShareFetch | ApiKey::ShareAcknowledge => 1,
        ApiKey::AlterShareGroupOffsets | ApiKey::DeleteShareGroupOffsets => 1,
        key if (ApiKey::InitializeShareGroupState..=ApiKey::ReadShareGroupStateSummary).contains(&key) => {
            parts.len()
        }
        // One for the whole is enough; up to version 12 Kafka gives it to the partitions as well.
        ApiKey::Fetch if version >= 13 => 1,
        ApiKey::Fetch if version >= 7 => 1 + parts.len(),
        ApiKey::Metadata if version >= 13 => 1 + parts.len(),
        ApiKey::OffsetDelete => 1,
        ApiKey::OffsetFetch if version >= 8 => {
            parts.iter().filter(|part| part.resource == Resource::Group).count()
        }
        ApiKey::OffsetFetch if version >= 2 => 1,
        _ if info.parts.is_none() => 1,
        _ => parts.len(),
    }
}

#[test]
fn a_failed_request_has_its_code_in_every_place() {
    each(8, |info, version, request, draw| {
        let parts = request.parts(version);
        for code in [3, 29, -1, 9999, draw.u64() as i16 | 1] {
            let at = format!("{} {version} code {code}: {request:?}", info.name);
            let Some(answer) = request.answer(version, ErrorCode(code)) else {
                let asks_for_all = match &request {
                    RequestBody::Metadata(_) => version < 13 && parts.is_empty(),
                    RequestBody::DescribeTopicPartitions(_) => parts.is_empty(),
                    _ => false,
                };
                assert!(asks_for_all, "no reply to {at}");
                continue;
            };
            let answer = reread(&answer, version);
            assert_eq!(
                codes(&answer),
                vec![code; places(info, version, &request, &parts)],
                "{at}\n{answer:?}"
            );
        }
    });
}

#[test]
fn an_empty_reply_is_never_a_failure() {
    // Asking for all topics: before there was a code for the whole, an empty list would say that there are none.
    let all: RequestBody = metadata::MetadataRequest { topics: None, ..Default::default() }.into();
    assert_eq!(all.answer(12, ErrorCode::KAFKA_STORAGE_ERROR), None);
    assert_eq!(codes(&all.answer(13, ErrorCode::KAFKA_STORAGE_ERROR).unwrap()), [56]);
}

#[test]
fn kept_parts_stay_and_the_others_go() {
    each(12, |info, version, request, draw| {
        let parts = request.parts(version);
        let mut keep: Vec<bool> = parts.iter().map(|_| draw.once_in(2)).collect();
        if info.key == ApiKey::FindCoordinator && version < 4 {
            // One key and no list: it goes on whole or not at all.
            keep.fill(true);
        }
        let mut kept = request.clone();
        kept.keep(&keep);
        if groups_are_parts(info, version) {
            // With a group go its partitions.
            let mut group = true;
            for (part, keep) in parts.iter().zip(&mut keep) {
                match part.resource {
                    Resource::Group => group = *keep,
                    _ => *keep &= group,
                }
            }
        }
        let expected: Vec<&Part> =
            parts.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(p, _)| p).collect();
        assert_eq!(
            kept.parts(version).iter().collect::<Vec<_>>(),
            expected,
            "{} {version} {request:?}",
            info.name
        );
        assert_eq!(kept.whole(version), request.whole(version));
    });
}

/// A reply as an upstream would make it, with a code of its own for every part.
fn upstream(info: &ApiInfo, version: i16, request: &RequestBody, first: i16) -> ResponseBody {
    let answers: Vec<Option<Answer>> = request
        .parts(version)
        .iter()
        .enumerate()
        .map(|(i, part)| {
            let whole_group = groups_are_parts(info, version) && part.resource == Resource::Group;
            (!whole_group).then(|| ErrorCode(first + i as i16).into())
        })
        .collect();
    request.merge(version, &answers, None).unwrap()
}

/// Whatever was answered here and whatever the upstream said: in request order, each part with its own code.
#[test]
fn answers_and_the_upstreams_come_together_in_request_order() {
    let mut merged_parts = 0;
    each(12, |info, version, request, draw| {
        let parts = request.parts(version);
        if parts.is_empty() || parts.len() > 5000 {
            return;
        }
        let answers: Vec<Option<Answer>> =
            (0..parts.len()).map(|i| draw.once_in(2).then(|| ErrorCode(10_000 + i as i16).into())).collect();
        let expect = |codes: &dyn Fn(usize) -> i16| {
            let all: Vec<Option<Answer>> = (0..parts.len())
                .map(|i| {
                    let whole_group = groups_are_parts(info, version) && parts[i].resource == Resource::Group;
                    match &answers[i] {
                        None if whole_group => None,
                        None => Some(ErrorCode(codes(i)).into()),
                        answer => answer.clone(),
                    }
                })
                .collect();
            request.merge(version, &all, None).unwrap()
        };
        let at = || format!("{} {version}\n{request:?}\n{answers:?}", info.name);

        // Failed after it was executed: the upstream answered everything.
        let everything = upstream(info, version, &request, 1000);
        let merged = request.merge(version, &answers, Some(everything)).unwrap();
        assert_eq!(merged, expect(&|i| 1000 + i as i16), "executed: {}", at());

        // Not executed: the upstream was asked for the rest only.
        let keep: Vec<bool> = answers.iter().map(Option::is_none).collect();
        let mut rest = request.clone();
        rest.keep(&keep);
        let all_answered = !keep.contains(&true);
        let said = (!all_answered).then(|| upstream(info, version, &rest, 1000));
        let merged = request.merge(version, &answers, said).unwrap();
        // The n-th part that went on has the upstream's n-th code.
        let mut group = true;
        let mut went_on = Vec::new();
        for (i, part) in parts.iter().enumerate() {
            let mut goes = keep[i];
            if groups_are_parts(info, version) {
                match part.resource {
                    Resource::Group => group = goes,
                    _ => goes &= group,
                }
            }
            if goes {
                went_on.push(i);
            }
        }
        let nth = |i: usize| went_on.iter().position(|n| *n == i).map_or(0, |n| 1000 + n as i16);
        assert_eq!(merged, expect(&nth), "not executed: {}", at());
        merged_parts += parts.len();
    });
    assert!(merged_parts > 5000, "{merged_parts}");
}

fn answers(codes: &[i16]) -> Vec<Option<Answer>> {
    codes.iter().map(|code| (*code != 0).then(|| ErrorCode(*code).into())).collect()
}

fn produce(topics: &[(&str, u8, &[i32])]) -> RequestBody {
    let topic = |(name, id, partitions): &(&str, u8, &[i32])| produce::TopicProduceData {
        name: Str::from(*name),
        topic_id: Uuid([*id; 16]),
        partition_data: partitions
            .iter()
            .map(|index| produce::PartitionProduceData { index: *index, ..Default::default() })
            .collect(),
        ..Default::default()
    };
    produce::ProduceRequest { topic_data: topics.iter().map(topic).collect(), ..Default::default() }.into()
}

/// (name, id, partition, code, offset) of a Produce reply.
fn produced(response: &ResponseBody) -> Vec<(&str, u8, i32, i16, i64)> {
    let ResponseBody::Produce(it) = response else { panic!("{response:?}") };
    let topics = it.responses.iter();
    topics
        .flat_map(|t| {
            let of = |p: &produce::PartitionProduceResponse| {
                (t.name.as_str(), t.topic_id.0[0], p.index, p.error_code, p.base_offset)
            };
            t.partition_responses.iter().map(of).collect::<Vec<_>>()
        })
        .collect()
}

#[expect(clippy::type_complexity, reason = "a list of cases")]
fn stored(topics: &[(&str, u8, &[(i32, i64)])]) -> ResponseBody {
    let topic = |(name, id, partitions): &(&str, u8, &[(i32, i64)])| produce::TopicProduceResponse {
        name: Str::from(*name),
        topic_id: Uuid([*id; 16]),
        partition_responses: partitions
            .iter()
            .map(|(index, base_offset)| produce::PartitionProduceResponse {
                index: *index,
                base_offset: *base_offset,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    produce::ProduceResponse { responses: topics.iter().map(topic).collect(), ..Default::default() }.into()
}

#[test]
fn an_upstreams_order_gives_way_to_the_requests() {
    let request = produce(&[("orders", 0, &[0, 1]), ("audit", 0, &[0]), ("orders", 0, &[2])]);
    let said = stored(&[("audit", 0, &[(0, 50)]), ("orders", 0, &[(2, 12), (1, 11)])]);
    let merged = request.merge(12, &answers(&[29, 0, 0, 0]), Some(said)).unwrap();
    let expected =
        [("orders", 0, 0, 29, -1), ("orders", 0, 1, 0, 11), ("audit", 0, 0, 0, 50), ("orders", 0, 2, 0, 12)];
    assert_eq!(produced(&merged), expected);
}

#[test]
fn a_partition_named_twice_gets_both_answers() {
    let request = produce(&[("orders", 0, &[0, 0]), ("orders", 0, &[0])]);
    // Two of three went on; the upstream's answers belong to those.
    let said = stored(&[("orders", 0, &[(0, 10), (0, 20)])]);
    let merged = request.merge(12, &answers(&[0, 29, 0]), Some(said)).unwrap();
    let expected = [("orders", 0, 0, 0, 10), ("orders", 0, 0, 29, -1), ("orders", 0, 0, 0, 20)];
    assert_eq!(produced(&merged), expected);
    // All went on and the second was failed afterwards.
    let said = stored(&[("orders", 0, &[(0, 10), (0, 15), (0, 20)])]);
    let merged = request.merge(12, &answers(&[0, 29, 0]), Some(said)).unwrap();
    assert_eq!(produced(&merged), expected);
    // Kafka answers a repeated partition once.
    let said = stored(&[("orders", 0, &[(0, 10)])]);
    let merged = request.merge(12, &answers(&[29, 0, 0]), Some(said)).unwrap();
    assert_eq!(produced(&merged), [("orders", 0, 0, 29, -1), ("orders", 0, 0, 0, 10)]);
}

#[test]
fn topics_are_told_apart_by_id() {
    let request = produce(&[("", 1, &[0]), ("", 2, &[0])]);
    let said = stored(&[("", 2, &[(0, 20)])]);
    let merged = request.merge(13, &answers(&[29, 0]), Some(said)).unwrap();
    assert_eq!(produced(&merged), [("", 1, 0, 29, -1), ("", 2, 0, 0, 20)]);

    let topic = |id: u8| offset_commit::OffsetCommitRequestTopic {
        topic_id: Uuid([id; 16]),
        partitions: vec![Default::default()],
        ..Default::default()
    };
    let request: RequestBody =
        offset_commit::OffsetCommitRequest { topics: vec![topic(1), topic(2)], ..Default::default() }.into();
    assert_eq!(request.parts(10)[1].topic_id, Uuid([2; 16]));
    let ResponseBody::OffsetCommit(it) = request.merge(10, &answers(&[16, 29]), None).unwrap() else {
        panic!()
    };
    let said: Vec<_> = it.topics.iter().map(|t| (t.topic_id.0[0], t.partitions[0].error_code)).collect();
    assert_eq!(said, [(1, 16), (2, 29)]);
}

/// An incremental fetch is answered with what its session holds besides: passed on, unless it was refused here.
#[test]
fn what_a_fetch_session_adds_is_passed_on_but_not_what_was_refused() {
    let partition = |id: u8, records: &'static [u8]| fetch::FetchableTopicResponse {
        topic_id: Uuid([id; 16]),
        partitions: vec![fetch::FetchPartitionData {
            records: Bytes::from_static(records).into(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let topic = |id: u8| fetch::FetchTopic {
        topic_id: Uuid([id; 16]),
        partitions: vec![Default::default()],
        ..Default::default()
    };
    let request: RequestBody =
        fetch::FetchRequest { topics: vec![topic(1), topic(2)], ..Default::default() }.into();
    let said: ResponseBody = fetch::FetchResponse {
        responses: vec![partition(3, b"held"), partition(1, b"secret"), partition(1, b"secret again")],
        ..Default::default()
    }
    .into();
    let ResponseBody::Fetch(it) = request.merge(13, &answers(&[29, 0]), Some(said)).unwrap() else {
        panic!()
    };
    let said: Vec<_> = it
        .responses
        .iter()
        .map(|t| (t.topic_id.0[0], t.partitions[0].error_code, t.partitions[0].records.to_bytes().unwrap()))
        .collect();
    assert_eq!(said, [(1, 29, Bytes::new()), (3, 0, Bytes::from_static(b"held"))]);
}

#[test]
fn unknown_tags_of_an_upstream_survive_a_merge() {
    let tagged = |n: u8| Tags::from(vec![(77, Bytes::from(vec![n]))]);
    let request = produce(&[("orders", 0, &[0]), ("audit", 0, &[0])]);
    let ResponseBody::Produce(mut said) = stored(&[("audit", 0, &[(0, 50)])]) else { panic!() };
    said.unknown_tags = tagged(1);
    said.responses[0].unknown_tags = tagged(2);
    said.responses[0].partition_responses[0].unknown_tags = tagged(3);
    let merged = request.merge(12, &answers(&[29, 0]), Some(ResponseBody::Produce(said))).unwrap();
    let ResponseBody::Produce(it) = reread(&merged, 12) else { panic!() };
    assert_eq!(it.unknown_tags, tagged(1));
    assert!(it.responses[0].unknown_tags.is_empty());
    assert_eq!(it.responses[1].unknown_tags, tagged(2));
    assert_eq!(it.responses[1].partition_responses[0].unknown_tags, tagged(3));
}

fn described(name: Option<&str>, id: u8, error_code: i16) -> metadata::MetadataResponseTopic {
    metadata::MetadataResponseTopic {
        name: name.map(Str::from),
        topic_id: Uuid([id; 16]),
        error_code,
        ..Default::default()
    }
}

#[test]
fn metadata_by_name_by_id_and_of_all() {
    let named = |name: Option<&str>, id: u8| metadata::MetadataRequestTopic {
        name: name.map(Str::from),
        topic_id: Uuid([id; 16]),
        ..Default::default()
    };
    let merge = |topics: Option<Vec<metadata::MetadataRequestTopic>>,
                 codes: &[i16],
                 said: &[metadata::MetadataResponseTopic]| {
        let request: RequestBody = metadata::MetadataRequest { topics, ..Default::default() }.into();
        let said: ResponseBody =
            metadata::MetadataResponse { topics: said.to_vec(), ..Default::default() }.into();
        let ResponseBody::Metadata(it) = request.merge(12, &answers(codes), Some(said)).unwrap() else {
            panic!()
        };
        it.topics
    };
    // By id: the reply says name and id.
    let topics = Some(vec![named(None, 1), named(None, 2), named(None, 3)]);
    let said = [described(None, 3, 100), described(Some("b"), 2, 0)];
    let expected = [described(None, 1, 29), described(Some("b"), 2, 0), described(None, 3, 100)];
    assert_eq!(merge(topics, &[29, 0, 0], &said), expected);
    // By name: what else the reply names is not passed on.
    let topics = Some(vec![named(Some("a"), 0), named(Some("b"), 0)]);
    let said = [described(Some("b"), 2, 0), described(Some("a"), 1, 0), described(Some("c"), 3, 0)];
    assert_eq!(merge(topics, &[29, 0], &said), [described(Some("a"), 0, 29), described(Some("b"), 2, 0)]);
    // One topic by its id and by its name.
    let topics = Some(vec![named(None, 2), named(Some("b"), 0)]);
    let said = [described(Some("b"), 2, 0), described(Some("b"), 2, 0)];
    assert_eq!(merge(topics, &[0, 0], &said), said);
    // Of all.
    let said = [described(Some("b"), 2, 0), described(Some("a"), 1, 0)];
    assert_eq!(merge(None, &[], &said), said);
}

#[test]
fn what_may_not_be_described_is_not_listed() {
    let mut response: ResponseBody = metadata::MetadataResponse {
        topics: vec![
            described(Some("a"), 1, 0),
            described(Some("b"), 2, 0),
            described(Some("c"), 3, 5),
            described(Some("d"), 0, 29),
            described(None, 4, 100),
        ],
        ..Default::default()
    }
    .into();
    response.retain(12, &mut |part| part.name == "b");
    let ResponseBody::Metadata(it) = response else { panic!() };
    let names: Vec<_> = it.topics.iter().map(|t| t.name.as_deref().unwrap_or("-")).collect();
    assert_eq!(
        names,
        ["b", "d", "-"],
        "an error tells that a topic is there, unless it is the refusal itself"
    );
}

#[test]
fn topics_are_deleted_by_name_and_by_id() {
    let state = |name: Option<&str>, id: u8| delete_topics::DeleteTopicState {
        name: name.map(Str::from),
        topic_id: Uuid([id; 16]),
        ..Default::default()
    };
    let result = |name: Option<&str>, id: u8, error_code: i16| delete_topics::DeletableTopicResult {
        name: name.map(Str::from),
        topic_id: Uuid([id; 16]),
        error_code,
        ..Default::default()
    };
    let request: RequestBody = delete_topics::DeleteTopicsRequest {
        topics: vec![state(Some("a"), 0), state(None, 2), state(None, 3)],
        ..Default::default()
    }
    .into();
    let said: ResponseBody = delete_topics::DeleteTopicsResponse {
        responses: vec![result(Some("c"), 3, 0), result(Some("a"), 1, 0)],
        ..Default::default()
    }
    .into();
    let ResponseBody::DeleteTopics(it) = request.merge(6, &answers(&[0, 29, 0]), Some(said)).unwrap() else {
        panic!()
    };
    assert_eq!(it.responses, [result(Some("a"), 1, 0), result(None, 2, 29), result(Some("c"), 3, 0)]);

    let request: RequestBody = delete_topics::DeleteTopicsRequest {
        topic_names: vec![Str::from("a"), Str::from("b")],
        ..Default::default()
    }
    .into();
    let ResponseBody::DeleteTopics(it) = request.merge(5, &answers(&[29, 41]), None).unwrap() else {
        panic!()
    };
    assert_eq!(it.responses, [result(Some("a"), 0, 29), result(Some("b"), 0, 41)]);
}

#[test]
fn coordinators_of_one_key_and_of_many() {
    let request: RequestBody =
        find_coordinator::FindCoordinatorRequest { key: Str::from("g"), ..Default::default() }.into();
    let said: ResponseBody = find_coordinator::FindCoordinatorResponse {
        node_id: 5,
        host: Str::from("h"),
        port: 9092,
        ..Default::default()
    }
    .into();
    assert_eq!(request.merge(3, &answers(&[0]), Some(said.clone())), Some(said.clone()));
    let ResponseBody::FindCoordinator(it) = request.merge(3, &answers(&[30]), Some(said)).unwrap() else {
        panic!()
    };
    assert_eq!((it.error_code, it.node_id, it.host.as_str(), it.port), (30, -1, "", -1));

    let request: RequestBody = find_coordinator::FindCoordinatorRequest {
        key_type: 2,
        coordinator_keys: vec![Str::from("share:AAAAAAAAAAAAAAAAAAAAAQ:0"), Str::from("h")],
        ..Default::default()
    }
    .into();
    assert_eq!(request.parts(6)[0], Part::new(Resource::Group, &Str::from("share")));
    let ResponseBody::FindCoordinator(it) = request.merge(6, &answers(&[30, 15]), None).unwrap() else {
        panic!()
    };
    let said: Vec<_> = it.coordinators.iter().map(|c| (c.key.as_str(), c.error_code)).collect();
    assert_eq!(said, [("share:AAAAAAAAAAAAAAAAAAAAAQ:0", 30), ("h", 15)]);
}

#[test]
fn offsets_of_a_group_asked_for_twice() {
    let group = |id: &str, partition: i32| offset_fetch::OffsetFetchRequestGroup {
        group_id: Str::from(id),
        topics: Some(vec![offset_fetch::OffsetFetchRequestTopics {
            name: Str::from("t"),
            partition_indexes: vec![partition],
            ..Default::default()
        }]),
        ..Default::default()
    };
    let request: RequestBody = offset_fetch::OffsetFetchRequest {
        groups: vec![group("g", 0), group("g", 1), group("h", 0)],
        ..Default::default()
    }
    .into();
    let RequestBody::OffsetFetch(mut asked) = request.clone() else { panic!() };
    asked.groups.remove(0);
    let said = RequestBody::OffsetFetch(asked).merge(9, &answers(&[0, 7, 0, 8]), None);
    // The first asking of g was refused here and did not go on; h's partition is refused though the group is not.
    let merged = request.merge(9, &answers(&[30, 0, 0, 0, 0, 29]), said).unwrap();
    let ResponseBody::OffsetFetch(it) = merged else { panic!() };
    let said: Vec<_> = it
        .groups
        .iter()
        .map(|g| {
            let p = g.topics.first().map(|t| (t.partitions[0].partition_index, t.partitions[0].error_code));
            (g.group_id.as_str(), g.error_code, p)
        })
        .collect();
    assert_eq!(said, [("g", 30, None), ("g", 0, Some((1, 7))), ("h", 0, Some((0, 29)))]);
}

/// ACLs about the cluster have its name: what is asked by another would pass them by.
#[test]
fn the_cluster_has_one_name() {
    each(40, |info, version, request, _| {
        let whole = [request.whole(version), request.also(version)];
        for part in request.parts(version).into_iter().chain(whole.into_iter().flatten()) {
            assert!(
                part.resource != Resource::Cluster || &*part.name == super::CLUSTER,
                "{} {part:?}",
                info.name
            );
        }
    });
}

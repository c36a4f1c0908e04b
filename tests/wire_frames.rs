//! Frames written by kafka-clients 4.4.0 (tests/data/frames, made by the Frames.java there) for every api, version and
//! direction: read with every field in its place, written back byte for byte, and failed as Kafka's classes fail them.

use std::{collections::HashSet, fs, path::Path};

use bytes::Bytes;
use tollgate::wire::{
    ApiKey, ErrorCode, Payload, Piece, Request, RequestBody, Response, ResponseBody, Str, Uuid,
    table::{APIS, ApiInfo},
};

/// A line of a frames file.
struct Line {
    info: &'static ApiInfo,
    version: i16,
    request: bool,
    variant: String,
    frame: Bytes,
}

impl Line {
    fn name(&self) -> String {
        let side = if self.request { "request" } else { "response" };
        format!("{} {} {side} {}", self.info.name, self.version, self.variant)
    }
}

fn lines(file: &str) -> Vec<Line> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/frames").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            let key = ApiKey(words[0].parse().unwrap());
            Line {
                info: key.info().unwrap(),
                version: words[1].parse().unwrap(),
                request: words[2] == "request",
                variant: words[3].to_owned(),
                frame: unhex(words[4]),
            }
        })
        .collect()
}

fn unhex(text: &str) -> Bytes {
    (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A frame without its length prefix.
fn flat(pieces: Vec<Piece>) -> Bytes {
    Payload::Pieces(pieces).to_bytes().unwrap().slice(4..)
}

/// Reads a frame and shows its body; written again from the decoded form.
fn round_trip(line: &Line) -> (String, Bytes) {
    let name = line.name();
    if line.request {
        let mut request = Request::parse(line.frame.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(
            (request.api(), request.version(), request.correlation_id()),
            (line.info.key, line.version, 0x0102_0304)
        );
        // Asking for it mutably gives up the original bytes.
        let body = request.body_mut().unwrap_or_else(|e| panic!("{name}: {e}"));
        let shown = format!("{body:?}");
        (shown, flat(request.encode().unwrap()))
    } else {
        let response = Response::parse(line.info.key, line.version, line.frame.clone())
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(response.correlation_id, 0x0102_0304);
        (format!("{:?}", response.body), flat(response.encode().unwrap()))
    }
}

#[test]
fn every_api_version_and_direction_is_there() {
    let there: HashSet<(ApiKey, i16, bool, String)> = lines("frames.txt")
        .into_iter()
        .map(|line| (line.info.key, line.version, line.request, line.variant))
        .collect();
    for info in APIS {
        for version in info.min_version..=info.max_version {
            for request in [true, false] {
                for variant in ["full", "null"] {
                    let case = (info.key, version, request, variant.to_owned());
                    assert!(there.contains(&case), "{case:?} is missing");
                }
            }
        }
    }
}

#[test]
fn frames_are_read_and_written_back() {
    for line in lines("frames.txt") {
        let (_, bytes) = round_trip(&line);
        assert_eq!(hex(&bytes), hex(&line.frame), "{}", line.name());
    }
}

#[test]
fn every_tag_of_kafka_is_known_and_the_others_are_kept() {
    for line in lines("frames.txt") {
        let (shown, _) = round_trip(&line);
        let unknown = shown.contains("unknown_tags: [(");
        let expected = line.variant == "null" && line.info.is_flexible(line.version);
        assert_eq!(unknown, expected, "{}: {shown}", line.name());
    }
}

/// The body of the full frame of that api and version.
fn full_request(api: ApiKey, version: i16) -> RequestBody {
    let line = lines("frames.txt")
        .into_iter()
        .find(|l| l.info.key == api && l.version == version && l.request && l.variant == "full");
    Request::parse(line.unwrap().frame).unwrap().into_body().unwrap()
}

fn full_response(api: ApiKey, version: i16) -> ResponseBody {
    let line = lines("frames.txt")
        .into_iter()
        .find(|l| l.info.key == api && l.version == version && !l.request && l.variant == "full");
    Response::parse(api, version, line.unwrap().frame).unwrap().body
}

/// The fill's counter counts fields in the order of Kafka's schemas; numbers get an offset of their width.
const I32: i32 = 65_536;
const I64: i64 = 1 << 40;
const I16: i16 = 256;

fn id(n: i64) -> Uuid {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    bytes[8..].copy_from_slice(&(-n).to_be_bytes());
    Uuid(bytes)
}

#[test]
fn fields_have_the_values_that_were_set() {
    let RequestBody::ApiVersions(it) = full_request(ApiKey::ApiVersions, 5) else { panic!() };
    assert_eq!(it.client_software_name, "client1");
    assert_eq!(it.client_software_version, "client2");
    assert_eq!(it.cluster_id.as_ref().unwrap(), &"cluste3");
    assert_eq!(it.node_id, I32 + 4);

    let RequestBody::OffsetCommit(it) = full_request(ApiKey::OffsetCommit, 10) else { panic!() };
    assert_eq!(it.group_id, "group_1");
    assert_eq!(it.generation_id_or_member_epoch, I32 + 2);
    assert_eq!(it.member_id, "member3");
    assert_eq!(it.group_instance_id.as_ref().unwrap(), &"group_4");
    assert_eq!(it.topics.len(), 2);
    let topic = &it.topics[0];
    assert_eq!((topic.topic_id, topic.name.as_str()), (id(5), ""));
    assert_eq!(topic.partitions[0].partition_index, I32 + 6);
    assert_eq!(topic.partitions[0].committed_offset, I64 + 7);
    assert_eq!(topic.partitions[0].committed_leader_epoch, I32 + 8);
    assert_eq!(topic.partitions[0].committed_metadata.as_ref().unwrap(), &"commit9");

    let ResponseBody::OffsetFetch(it) = full_response(ApiKey::OffsetFetch, 10) else { panic!() };
    assert_eq!(it.throttle_time_ms, I32 + 1);
    let group = &it.groups[0];
    assert_eq!(group.group_id, "group_2");
    assert_eq!(group.topics[0].topic_id, id(3));
    let partition = &group.topics[0].partitions[0];
    assert_eq!(partition.partition_index, I32 + 4);
    assert_eq!(partition.committed_offset, I64 + 5);
    assert_eq!(partition.committed_leader_epoch, I32 + 6);
    assert_eq!(partition.metadata.as_ref().unwrap(), &"metada7");
    assert_eq!(partition.error_code, I16 + 8);
    assert_eq!(group.error_code, I16 + 9);

    let RequestBody::ListOffsets(it) = full_request(ApiKey::ListOffsets, 11) else { panic!() };
    assert_eq!((it.replica_id, it.isolation_level), (I32 + 1, 2));
    assert_eq!(it.topics[0].name, "name3");
    assert_eq!(it.topics[0].partitions[0].partition_index, I32 + 4);
    assert_eq!(it.topics[0].partitions[0].current_leader_epoch, I32 + 5);
    assert_eq!(it.topics[0].partitions[0].timestamp, I64 + 6);

    let ResponseBody::DeleteGroups(it) = full_response(ApiKey::DeleteGroups, 3) else { panic!() };
    assert_eq!(it.results[0].group_id, "group_2");
    assert_eq!(it.results[0].error_code, I16 + 3);
    assert_eq!(it.results[0].error_message.as_ref().unwrap(), &"error_4");

    let ResponseBody::Fetch(it) = full_response(ApiKey::Fetch, 18) else { panic!() };
    let partition = &it.responses[0].partitions[0];
    assert_eq!(it.responses[0].topic_id, id(4));
    assert_eq!(partition.aborted_transactions.as_ref().unwrap()[0].producer_id, I64 + 10);
    assert!(matches!(&partition.records, Payload::Bytes(bytes) if bytes.len() == 3));
    assert_ne!(partition.diverging_epoch, Default::default());
    assert_ne!(partition.current_leader, Default::default());
    assert_ne!(partition.snapshot_id, Default::default());
    assert_eq!(it.node_endpoints.len(), 2);

    let RequestBody::InitProducerId(it) = full_request(ApiKey::InitProducerId, 6) else { panic!() };
    assert_eq!(it.transactional_id.as_ref().map(Str::as_str), Some("transa1"));
    assert_eq!((it.producer_id, it.producer_epoch), (I64 + 3, I16 + 4));
    assert!(it.enable2_pc && it.keep_prepared_txn);
}

/// Kafka's classes make the same replies of a request that failed as a whole, but for what `alike` evens out.
#[test]
fn requests_fail_as_kafka_fails_them() {
    let mut lines = lines("errors.txt").into_iter();
    let (mut tried, mut differing) = (HashSet::new(), Vec::new());
    while let (Some(request), Some(expected)) = (lines.next(), lines.next()) {
        assert!(request.request && !expected.request && request.version == expected.version);
        let (name, api, version) = (request.name(), request.info.key, request.version);
        let mut request = Request::parse(request.frame).unwrap();
        let ours = request.answer(ErrorCode::KAFKA_STORAGE_ERROR).unwrap();
        let ours = ours.unwrap_or_else(|| panic!("{name}: no place for an error"));
        let ours = Response::parse(api, version, flat(ours.encode().unwrap())).unwrap();
        let theirs = Response::parse(api, version, expected.frame).unwrap();
        assert_eq!(ours.correlation_id, theirs.correlation_id);
        let (ours, theirs) = (alike(ours.body), alike(theirs.body));
        if ours != theirs {
            differing.push(format!("{name}\n  ours   {ours:?}\n  theirs {theirs:?}"));
        }
        tried.insert((api, version));
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    for info in APIS {
        assert!(
            (info.min_version..=info.max_version).all(|v| tried.contains(&(info.key, v))),
            "{}",
            info.name
        );
    }
}

fn alike(mut body: ResponseBody) -> ResponseBody {
    match &mut body {
        // Kafka gathers the topics in a hash map; ours keep the request's order.
        ResponseBody::Produce(it) => it.responses.sort_by_key(|t| (t.name.clone(), t.topic_id)),
        ResponseBody::WriteTxnMarkers(it) => it.markers.sort_by_key(|m| m.producer_id),
        ResponseBody::AddPartitionsToTxn(it) => {
            it.results_by_topic_v3_and_below.sort_by_key(|topic| topic.name.clone());
        }
        // Ours names the member, as Kafka's coordinator does when it refuses one.
        ResponseBody::JoinGroup(it) => it.member_id = Str::default(),
        // Here Kafka repeats the code in words.
        ResponseBody::FindCoordinator(it) => {
            it.error_message = None;
            it.coordinators.iter_mut().for_each(|c| c.error_message = None);
        }
        ResponseBody::DescribeConfigs(it) => it.results.iter_mut().for_each(|r| r.error_message = None),
        ResponseBody::AlterClientQuotas(it) => it.entries.iter_mut().for_each(|e| e.error_message = None),
        ResponseBody::DescribeQuorum(it) => it.error_message = None,
        ResponseBody::AddRaftVoter(it) => it.error_message = None,
        ResponseBody::RemoveRaftVoter(it) => it.error_message = None,
        ResponseBody::AlterShareGroupOffsets(it) => it.error_message = None,
        ResponseBody::DeleteShareGroupOffsets(it) => it.error_message = None,
        ResponseBody::ReadShareGroupState(it) => {
            it.results.iter_mut().flat_map(|t| &mut t.partitions).for_each(|p| p.error_message = None);
        }
        ResponseBody::WriteShareGroupState(it) => {
            it.results.iter_mut().flat_map(|t| &mut t.partitions).for_each(|p| p.error_message = None);
        }
        ResponseBody::ReadShareGroupStateSummary(it) => {
            it.results.iter_mut().flat_map(|t| &mut t.partitions).for_each(|p| p.error_message = None);
        }
        // Kafka's class leaves the users' names out.
        ResponseBody::DescribeUserScramCredentials(it) => {
            it.results.iter_mut().for_each(|result| result.user = Str::default());
        }
        // Kafka's class knows who asks.
        ResponseBody::CreateDelegationToken(it) => {
            it.principal_type = Str::default();
            it.principal_name = Str::default();
            it.token_requester_principal_type = Str::default();
            it.token_requester_principal_name = Str::default();
        }
        _ => {}
    }
    body
}

/// What Kafka's classes wrote at random is read and written back byte for byte.
#[test]
#[ignore = "needs messages that Java draws: scripts/oracle"]
#[expect(clippy::disallowed_methods, reason = "scripts/oracle says where they are")]
fn what_kafka_draws_is_read_and_written_back() {
    let lines = lines(&std::env::var("TOLLGATE_KAFKA_SAMPLES").unwrap());
    for line in &lines {
        let (_, bytes) = round_trip(line);
        assert_eq!(hex(&bytes), hex(&line.frame), "{}", line.name());
    }
    assert!(lines.len() >= APIS.len() * 2);
}

/// The reply of every api and version for every error code, for Kafka's classes to judge.
#[test]
#[ignore = "for Java to read: scripts/oracle"]
#[expect(clippy::disallowed_methods, reason = "scripts/oracle says where to write them")]
fn write_error_replies() {
    let mut text = String::new();
    for line in lines("errors.txt").into_iter().filter(|line| line.request) {
        for code in ErrorCode::ALL.iter().filter(|code| code.is_error()) {
            let mut request = Request::parse(line.frame.clone()).unwrap();
            let reply =
                request.answer(*code).unwrap().unwrap_or_else(|| panic!("{}: no place for it", line.name()));
            let hex = hex(&flat(reply.encode().unwrap()));
            text += &format!("{} {} response {} {hex}\n", line.info.key.0, line.version, code.0);
        }
    }
    fs::write(std::env::var("TOLLGATE_REPLIES").unwrap(), text).unwrap();
}

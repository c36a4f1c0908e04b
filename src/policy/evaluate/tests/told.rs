//! What journal and audit trail say an event was about: who, of which thing, of which partition.

use super::*;
use crate::policy::evaluate::on_disk;
use crate::policy::fault::disk::Operation;
use crate::policy::identity::{Side, Subject};
use crate::policy::replay::Replay;
use crate::wire::api::*;
use std::time::Duration;

/// Of what an exchange of "User:x" with chaos rules is about.
fn subject<'s>(api: &'s str, kind: &'s str, name: &'s str, partition: i32) -> Subject<'s> {
    Subject { side: Side::Chaos, principal: "User:x", client_id: "c", api, kind, name, partition }
}

/// All lines of the journal are about this.
fn about(world: &World, lines: usize, subject: Subject<'_>) {
    let journal = world.journal();
    assert_eq!(journal.len(), lines, "{journal:?}");
    for line in &journal {
        assert_eq!(line["subject"], subject.to_string(), "{line}");
        assert_eq!(line["subject_id"], format!("{:032x}", subject.id()), "{line}");
    }
}

#[test]
fn a_session_is_about_no_partition() {
    let world = one("on_connect().reset();");
    on_connect(&world.generation(), plain("public"), [10, 0, 0, 1].into(), 5);
    let nothing = subject("connect", "", "", -1);
    about(&world, 1, Subject { principal: "public", client_id: "10.0.0.1", ..nothing });
}

#[test]
fn an_operation_of_the_disk_is_of_no_session_and_of_no_request() {
    let world = one("on_disk().disk_full();");
    on_disk(&world.generation(), Operation::Append, "t", 3);
    let [line] = &*world.journal() else { panic!("one line") };
    assert_eq!((&line["session"], &line["correlation_id"]), (&0.into(), &(-1).into()));
    on_disk(&world.generation(), Operation::Append, "t", 3);
    about(
        &world,
        1,
        Subject { principal: "broker", client_id: "disk", ..subject("append", "topic", "t", 3) },
    );
}

const STANDS: &str = "on_broker().during(\"0s\", \"15s\").pause();";

#[test]
fn a_broker_that_stands_still_does_so_about_no_log() {
    let world = one(STANDS);
    assert!(world.policies.paused().is_some());
    about(&world, 1, Subject { principal: "broker", client_id: "itself", ..subject("time", "", "", -1) });
}

#[test]
fn a_replay_has_the_broker_stand_still_when_its_journal_does() {
    let first = one(STANDS);
    assert!(first.policies.paused().is_some());
    let journal: String = first.journal().iter().map(|line| format!("{line}\n")).collect();
    let with = |journal: &str| {
        let replay = Some(Replay::read(journal.as_bytes()).unwrap());
        world_with(&[("p", STANDS)], Settings { replay, ..Settings::default() })
    };
    assert!(with(&journal).policies.paused().is_some());
    let elsewhere = with("");
    assert_eq!(elsewhere.policies.paused(), None);
    assert_eq!(elsewhere.counts(0), (0, 0, 0));
}

#[test]
fn what_is_about_nothing_has_no_partition() {
    let world = one(r#"on_request("ApiVersions").delay("1s");
           on_request("ApiVersions").when(|cx| cx.partition == () && cx.topic == ()).delay("2s");"#);
    let verdict = world.ask(&who("User:x"), &mut request(3, api_versions::Request::default()));
    assert_eq!(verdict.delay, Duration::from_secs(3));
    about(&world, 2, subject("ApiVersions", "", "", -1));
}

#[test]
fn a_fetch_that_fails_at_its_request_is_known_by_its_offset() {
    let world = one(r#"on_fetch("t").fail("NOT_LEADER_OR_FOLLOWER");"#);
    world.ask(&who("User:x"), &mut fetching(&["t"], 5));
    let [line] = &*world.journal() else { panic!("one line") };
    assert_eq!((&line["n"], &line["subject"]), (&5.into(), &"User:x c Fetch t-0".into()));
}

#[test]
fn a_whole_topic_is_audited_without_a_partition() {
    let world = one(r#"on_request("Metadata").topic("t").audit(); on_produce("t").audit();
           on_request("Heartbeat").group("g").audit();"#);
    let topic = metadata::MetadataRequestTopic { name: Some("t".into()), ..Default::default() };
    let asked = metadata::Request { topics: Some(vec![topic]), ..Default::default() };
    world.ask(&who("User:x"), &mut request(9, asked));
    world.produce(&who("User:x"), &[("t", "v")]);
    let heartbeat = heartbeat::Request { group_id: "g".into(), ..Default::default() };
    world.ask(&who("User:x"), &mut request(4, heartbeat));
    let told: Vec<_> = world
        .audit()
        .iter()
        .map(|line| ["resource", "name", "partition"].map(|field| line[field].to_string()))
        .collect();
    let rows = [["\"topic\"", "\"t\"", "null"], ["\"topic\"", "\"t\"", "0"], ["\"group\"", "\"g\"", "null"]];
    assert_eq!(told, rows);
}

/// What stands in the audit trail: decision, thing and partition of each line.
fn audited(world: &World) -> Vec<[String; 3]> {
    let fields = ["decision", "name", "partition"];
    world.audit().iter().map(|line| fields.map(|field| line[field].to_string())).collect()
}

#[test]
fn a_fault_that_is_to_be_audited_is_once_it_is_injected() {
    let injected =
        |name: &str, partition: &str| vec![["\"inject\"".to_owned(), name.to_owned(), partition.to_owned()]];
    let of_t = || injected("\"t\"", "0");
    for observe in ["", ".observe()"] {
        let produced = |fault: &str, acks: i16| {
            let world = one(&format!("on_produce(\"t\"){observe}.{fault}.audit();"));
            world.ask(&who("User:x"), &mut producing_payloads(&[("t", batch(&["v"], 0))], acks));
            audited(&world)
        };
        assert_eq!(produced("delay(\"1s\")", -1), of_t());
        assert_eq!(produced("delay(\"1s\")", 0), [[""; 3]; 0], "nothing is answered that could be delayed");
        assert_eq!(produced("fail(\"UNKNOWN_SERVER_ERROR\")", -1), of_t());
        let world = one(&format!("on_fetch(\"t\"){observe}.empty_fetch().audit();"));
        world.fetch(&who("User:x"), &[("t", "v"), ("u", "v")]);
        assert_eq!(audited(&world), of_t());
        let connected = |audit: &str| {
            let world = one(&format!("on_connect(){observe}.delay(\"1s\"){audit};"));
            on_connect(&world.generation(), plain("public"), [10, 0, 0, 1].into(), 5);
            assert_eq!(world.counts(0), (1, 1, 0));
            audited(&world)
        };
        assert_eq!(connected(".audit()"), injected("null", "null"));
        assert_eq!(connected(""), [[""; 3]; 0]);
    }
}

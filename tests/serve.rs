//! `tollgate serve` as a process: how it starts, what it says, how it ends.

#[path = "support/program.rs"]
mod program;

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Instant;

use program::*;
use rustix::process::Signal;
use tollgate::wire::api::create_topics::{CreatableTopic, CreateTopicsRequest};
use tollgate::wire::api::fetch::{FetchPartition, FetchRequest, FetchTopic};
use tollgate::wire::api::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use tollgate::wire::api::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use tollgate::wire::record::{BatchBuilder, BatchHeader, Compressor};
use tollgate::wire::{ApiKey, ErrorCode, Payload, ResponseBody};

#[test]
fn it_says_what_it_serves_and_answers() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &["--flush", "interval:200ms"]);
    assert!(TcpStream::connect(server.kafka()).is_ok());
    assert_eq!(server.line("data")["flush"], "interval:200ms");
    assert_eq!(server.line("data")["folder"], "./tollgate-data");
    assert!(dir.path().join("tollgate-data").is_dir());
    assert!(server.line("ready")["after_ms"].is_u64());
    assert!(server.get("/healthz").starts_with("HTTP/1.1 200"));
    assert!(server.get("/readyz").starts_with("HTTP/1.1 200"));
    let metrics = server.get("/metrics");
    for line in [
        "tollgate_sessions_accepted_total 1\n",
        "tollgate_sessions_ended_total{cause=\"request_memory\"} 0\n",
        "tollgate_sessions_ended_total{cause=\"response_memory\"} 0\n",
        "tollgate_memory_limit_bytes{memory=\"request\"} 536870912\n",
        "tollgate_memory_waits_total{memory=\"response\"} 0\n",
        "tollgate_memory_refusals_total{memory=\"request\"} 0\n",
        "tollgate_policy_evicted_subjects_total 0\n",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    assert!(server.get("/v1/policies").contains("\"policies\":["));
}

#[test]
fn a_session_is_listed_while_it_lasts() {
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(dir.path(), &[]);
    let client = TcpStream::connect(server.kafka()).unwrap();
    let local = client.local_addr().unwrap().to_string();
    let wait_until = |listed: bool| {
        let deadline = Instant::now() + PATIENCE;
        while server.get("/v1/sessions").contains(&local) != listed {
            assert!(Instant::now() < deadline, "{}", server.get("/v1/sessions"));
        }
    };
    wait_until(true);
    assert!(server.get("/v1/sessions").contains("\"listener\":\"default\""));
    drop(client);
    wait_until(false);
}

#[test]
fn a_signal_drains_and_the_folder_can_be_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    for signal in [Signal::INT, Signal::TERM] {
        let mut server = Server::start(dir.path(), &[]);
        let _idle = TcpStream::connect(server.kafka()).unwrap();
        server.signal(signal);
        server.wait_for("draining");
        server.wait_for("stopped");
        // Whoever still held the policies now would keep the journal open, and nobody would know whether it is whole.
        assert_eq!(server.rest(), [""; 0]);
        assert_eq!(server.wait(), Some(0));
    }
}

/// What the tests below ask of a server.
trait Doings {
    fn create(&mut self, topic: &str);
    fn produce(&mut self, topic: &str, bytes: usize);
    fn fetch(&mut self, topic: &str);
}

impl Doings for Kafka {
    fn create(&mut self, topic: &str) {
        let topic = CreatableTopic {
            name: topic.into(),
            num_partitions: 1,
            replication_factor: 1,
            ..Default::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..Default::default() };
        let ResponseBody::CreateTopics(answer) = self.ask(5, request) else { panic!() };
        assert_eq!(answer.topics[0].error_code, 0);
    }

    /// A batch of one record of about this size.
    fn produce(&mut self, topic: &str, bytes: usize) {
        let mut compressor = Compressor::default();
        let mut builder = BatchBuilder::new(BatchHeader::default(), &mut compressor);
        builder.append(1, None, Some(&vec![7; bytes]), Default::default()).unwrap();
        let records = Payload::Bytes(builder.finish().unwrap());
        let partition = PartitionProduceData { records, ..Default::default() };
        let topic =
            TopicProduceData { name: topic.into(), partition_data: vec![partition], ..Default::default() };
        let request =
            ProduceRequest { acks: 1, timeout_ms: 10_000, topic_data: vec![topic], ..Default::default() };
        let ResponseBody::Produce(answer) = self.ask(9, request) else { panic!() };
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }

    /// Asks for all there is and waits up to a minute for a byte at least.
    fn fetch(&mut self, topic: &str) {
        let partition = FetchPartition { partition_max_bytes: i32::MAX, ..Default::default() };
        let topic = FetchTopic { topic: topic.into(), partitions: vec![partition], ..Default::default() };
        let request = FetchRequest {
            max_wait_ms: 60_000,
            min_bytes: 1,
            max_bytes: i32::MAX,
            session_epoch: -1,
            topics: vec![topic],
            ..Default::default()
        };
        self.send(12, request);
    }
}

/// A session that does not end by itself: its client does not take the 40 MB it is owed.
fn stuck(server: &Server) -> Kafka {
    let mut client = Kafka::connect(server, "test");
    client.create("large");
    for _ in 0..40 {
        client.produce("large", 1_000_000);
    }
    client.fetch("large");
    let mut length = [0; 4];
    client.stream.read_exact(&mut length).unwrap();
    assert!(u32::from_be_bytes(length) > 32 << 20);
    client
}

#[test]
fn a_fetch_that_waits_is_answered_at_once_when_the_process_drains() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &["--drain-timeout", "60s"]);
    let mut client = Kafka::connect(&server, "test");
    client.create("idle");
    client.fetch("idle");
    server.until_taken("Fetch");
    let begun = Instant::now();
    server.signal(Signal::TERM);
    let ResponseBody::Fetch(answer) = client.receive(ApiKey::Fetch, 12) else { panic!() };
    assert_eq!(answer.responses[0].partitions[0].error_code, 0);
    assert_eq!(client.stream.read(&mut [0; 1]).unwrap(), 0, "and then the session ends");
    drop(client);
    server.wait_for("stopped");
    assert!(begun.elapsed() < PATIENCE, "it took {:?}", begun.elapsed());
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_member_that_waits_to_join_is_answered_at_once_when_the_process_drains() {
    let dir = tempfile::tempdir().unwrap();
    // A new group waits for more members, here for longer than any test.
    let settings = "[broker]\n\"group.initial.rebalance.delay.ms\" = 600000\n";
    std::fs::write(dir.path().join("tollgate.toml"), settings).unwrap();
    let mut server = Server::start(dir.path(), &["--drain-timeout", "60s"]);
    let mut client = Kafka::connect(&server, "test");
    client.create("unrelated");
    let protocol = JoinGroupRequestProtocol { name: "range".into(), ..Default::default() };
    client.send(
        3,
        JoinGroupRequest {
            group_id: "g".into(),
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 600_000,
            protocol_type: "consumer".into(),
            protocols: vec![protocol],
            ..Default::default()
        },
    );
    server.until_taken("JoinGroup");
    server.signal(Signal::TERM);
    let ResponseBody::JoinGroup(answer) = client.receive(ApiKey::JoinGroup, 3) else { panic!() };
    assert!(ErrorCode(answer.error_code).is_retriable(), "{answer:?}");
    drop(client);
    server.wait_for("stopped");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_drain_refuses_new_connections_and_ends_at_a_second_signal() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &["--drain-timeout", "10m"]);
    let _stuck = stuck(&server);
    let address = server.kafka();
    server.signal(Signal::TERM);
    server.wait_for("draining");
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(address).is_ok() {
        assert!(Instant::now() < deadline, "a server that drains still accepts");
    }
    server.signal(Signal::TERM);
    server.wait_for("a second signal");
    assert_eq!(server.wait(), Some(143));
}

#[test]
fn a_drain_ends_at_its_deadline() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &["--drain-timeout", "100ms"]);
    let _stuck = stuck(&server);
    server.signal(Signal::TERM);
    server.wait_for("sessions did not end in time");
    server.wait_for("stopped");
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn one_data_folder_one_process() {
    let dir = tempfile::tempdir().unwrap();
    let first = Server::start(dir.path(), &[]);
    assert_fails(&run(dir.path(), &[]), 1, "is in use by another process");
    // The lock dies with its holder, however that ends.
    first.signal(Signal::KILL);
    first.wait();
    drop(Server::start(dir.path(), &[]));
}

#[test]
fn an_occupied_port_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = other.local_addr().unwrap().to_string();
    let serve = |listen: &str, admin: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        command
            .current_dir(dir.path())
            .args(["serve", "--log", "json", "--listen", listen, "--admin", admin])
            .env_clear();
        ends(command)
    };
    let in_use = format!("cannot listen on {address}: Address already in use");
    assert_fails(&serve(&address, "off"), 1, &format!("listener `default` {in_use}"));
    assert_fails(&serve("127.0.0.1:0", &address), 1, &format!("the admin address {in_use}"));
    assert!(!dir.path().join("tollgate-data").exists(), "nothing was touched");
}

#[test]
fn a_folder_that_cannot_be_used_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    assert_fails(&run(dir.path(), &["--data", "file"]), 1, "the data folder file cannot be used");
    assert_fails(&run(dir.path(), &["--data", "file/below"]), 1, "the data folder file/below cannot be used");
}

#[test]
fn a_setting_the_broker_does_not_have_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tollgate.toml"), "[broker]\n\"log.rol.ms\" = 5\n").unwrap();
    assert_fails(&run(dir.path(), &[]), 2, "log.rol.ms");
}

#[test]
fn users_that_are_added_while_it_runs_are_taken() {
    let dir = tempfile::tempdir().unwrap();
    let add = |name: &str| {
        let status = Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .current_dir(dir.path())
            .args(["user", "add", name, "--iterations", "4096"])
            .env_clear()
            .env("TOLLGATE_PASSWORD", "secret")
            .stdout(Stdio::null())
            .status();
        assert!(status.unwrap().success());
    };
    add("alice");
    let mut server = Server::start(dir.path(), &["--sasl", "SCRAM-SHA-256,PLAIN"]);
    assert_eq!(server.line("listening")["sasl"], "SCRAM-SHA-256,PLAIN");
    add("bob");
    server.wait_for("users changed");
    assert_eq!(server.lines.last().unwrap()["users"], 2);
    std::fs::write(dir.path().join("tollgate-users.toml"), "password = \"hunter2\"\n").unwrap();
    server.wait_for("the users stay as they were");
    let line = server.lines.last().unwrap().to_string();
    assert!(line.contains("tollgate-users.toml:1:") && !line.contains("hunter2"), "{line}");
}

#[test]
fn policies_are_announced_shown_and_their_files_are_where_they_were_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("policies")).unwrap();
    std::fs::write(
        dir.path().join("policies/deny.rhai"),
        "policy(\"keep-out\", \"Nobody writes to secrets.\");\non_access(\"Write\").topic(\"secret-*\").deny();\n",
    )
    .unwrap();
    let server = Server::start(dir.path(), &["--audit", "decisions.jsonl", "--journal", "off"]);
    let announced = server.lines.iter().filter_map(|line| line["message"].as_str());
    assert!(
        announced.into_iter().any(|m| m.contains("keep-out: Nobody writes to secrets.")),
        "{:?}",
        server.lines
    );
    let shown = server.get("/v1/policies");
    assert!(shown.contains("\"name\":\"keep-out\"") && shown.contains("\"kind\":\"security\""), "{shown}");
    let metrics = server.get("/metrics");
    assert!(
        metrics.contains("tollgate_rule_matched_total{kind=\"security\",policy=\"keep-out\""),
        "{metrics}"
    );
    assert!(dir.path().join("decisions.jsonl").exists());
    assert!(!dir.path().join("tollgate-data/journal.jsonl").exists());
    assert!(!dir.path().join("tollgate-data/audit.jsonl").exists());
}

/// A line that is not JSON would be the one that a machine looks for and cannot read.
#[test]
fn the_last_word_of_a_failure_is_plain_where_the_log_is() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), "").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.current_dir(dir.path()).env_clear();
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin", "off", "--data", "file"]);
    let output = ends(command);
    let error = String::from_utf8(output.stderr).unwrap();
    let last = error.lines().last().unwrap();
    assert!(last.starts_with("tollgate: the data folder file cannot be used"), "{error}");
}

#[test]
fn policies_that_cannot_be_taken_leave_no_data_folder() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("policies")).unwrap();
    std::fs::write(dir.path().join("policies/broken.rhai"), "on_access(").unwrap();
    assert_fails(&run(dir.path(), &[]), 2, "broken.rhai");
    assert!(!dir.path().join("tollgate-data").exists(), "nothing was touched");
}

#[test]
fn one_address_in_two_settings_is_told_from_one_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.current_dir(dir.path()).env_clear();
    command.args(["serve", "--log", "json", "--listen", &free, "--admin", &free]);
    assert_fails(&ends(command), 2, "listener `default` and `admin` have the same address");
}

#[test]
fn a_folder_of_policies_that_goes_away_is_told_of_once() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("policies");
    std::fs::create_dir(&folder).unwrap();
    let rule = "policy(\"keep-out\", \"Nobody writes to secrets.\");\non_access(\"Write\").topic(\"secret-*\").deny();\n";
    std::fs::write(folder.join("deny.rhai"), rule).unwrap();
    let mut server = Server::start(dir.path(), &[]);
    let away = dir.path().join("elsewhere");
    std::fs::rename(&folder, &away).unwrap();
    server.wait_for("the rules in force stay");
    assert!(server.get("/v1/policies").contains("\"name\":\"keep-out\""));
    std::fs::rename(&away, &folder).unwrap();
    server.wait_for("the folder of policies can be read again");
    let said = server.lines.iter().filter(|line| {
        line["message"].as_str().is_some_and(|said| said.starts_with("the rules in force stay"))
    });
    assert_eq!(said.count(), 1);
}

/// As somebody who may not write there; root may write everywhere, so it becomes nobody.
#[test]
#[expect(clippy::disallowed_macros, reason = "a test that is not made says so")]
fn a_folder_that_may_not_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65534;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = command(dir.path(), &[]);
    if rustix::process::geteuid().is_root() {
        let mut version = Command::new(env!("CARGO_BIN_EXE_tollgate"));
        if version.arg("version").uid(NOBODY).gid(NOBODY).stdout(Stdio::null()).status().is_err() {
            eprintln!("not tried: this program is where only root may start it");
            return;
        }
        command.uid(NOBODY).gid(NOBODY);
    }
    let message =
        "the data folder ./tollgate-data cannot be used: create failed on ./tollgate-data: Permission denied";
    assert_fails(&ends(command), 1, message);
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
}

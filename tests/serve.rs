//! `tollgate serve` as a process: how it starts, what it says, how it ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tollgate::wire::api::create_topics::{CreatableTopic, CreateTopicsRequest};
use tollgate::wire::api::fetch::{FetchPartition, FetchRequest, FetchTopic};
use tollgate::wire::api::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use tollgate::wire::api::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use tollgate::wire::api::{create_topics, fetch, list_offsets, produce};
use tollgate::wire::record::{BatchBuilder, BatchHeader, Compressor, Headers, with_codecs};
use tollgate::wire::{ApiKey, ErrorCode, Payload, Piece, Request, RequestBody, Response, ResponseBody};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command
        .current_dir(folder)
        .args(["serve", "--log", "json", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A server that runs, with the log lines up to the one that says so. Killed when dropped.
struct Server {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    lines: Vec<Value>,
}

impl Server {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = command(folder, arguments).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut server = Self { child, log, lines: Vec::new() };
        server.wait_for("ready");
        server
    }

    /// Reads the log up to a message. A server that ends instead closes the log and fails the test.
    fn wait_for(&mut self, message: &str) {
        loop {
            let mut line = String::new();
            assert_ne!(self.log.read_line(&mut line).unwrap(), 0, "it ended: {:?}", self.lines);
            let line: Value = serde_json::from_str(&line).unwrap();
            let found = line["message"].as_str().unwrap().starts_with(message);
            self.lines.push(line);
            if found {
                return;
            }
        }
    }

    #[track_caller]
    fn line(&self, message: &str) -> &Value {
        let matches = |line: &&Value| line["message"].as_str().unwrap().starts_with(message);
        self.lines.iter().find(matches).unwrap_or_else(|| panic!("no {message:?} in {:?}", self.lines))
    }

    fn kafka(&self) -> SocketAddr {
        self.line("listening for Kafka clients")["address"].as_str().unwrap().parse().unwrap()
    }

    fn admin(&self) -> SocketAddr {
        self.line("admin:")["address"].as_str().unwrap().parse().unwrap()
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Waits until a request of this api has been taken.
    fn until_taken(&self, api: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.get("/metrics").contains(&format!("tollgate_requests_total{{api=\"{api}\"}} 1\n")) {
            assert!(Instant::now() < deadline, "no {api} was taken");
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn wait(mut self) -> Option<i32> {
        let process = Pid::from_child(&self.child);
        within_patience(process, move || self.child.wait().unwrap().code())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs what is expected to end by itself.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    ends(command(folder, arguments))
}

fn ends(mut command: Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let process = Pid::from_child(&child);
    within_patience(process, move || child.wait_with_output().unwrap())
}

/// Waits for a process to end by itself; kills it when that takes too long, and fails.
fn within_patience<T: Send + 'static>(process: Pid, wait: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, ended) = std::sync::mpsc::sync_channel(1);
    let waiting = std::thread::spawn(move || {
        let output = wait();
        let _ = done.send(());
        output
    });
    let in_time = ended.recv_timeout(PATIENCE).is_ok();
    if !in_time {
        let _ = kill_process(process, Signal::KILL);
    }
    let output = waiting.join().unwrap();
    assert!(in_time, "it did not end by itself");
    output
}

/// It ended by itself; its last line says why, and only that line is not a log line.
#[track_caller]
fn assert_fails(output: &Output, code: i32, message: &str) {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{error}");
    let said: Vec<&str> = error.lines().filter(|line| line.starts_with("tollgate: ")).collect();
    assert!(said.len() == 1 && said[0].contains(message), "{error}");
    assert!(error.ends_with(&format!("{}\n", said[0])), "it is the last word: {error}");
}

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
        assert_eq!(server.wait(), Some(0));
    }
}

/// A client that speaks frames.
struct Kafka(TcpStream);

impl Kafka {
    fn connect(server: &Server) -> Self {
        let stream = TcpStream::connect(server.kafka()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(stream)
    }

    fn send(&mut self, version: i16, body: impl Into<RequestBody>) {
        let request = Request::new(version, 1, None, body.into()).unwrap();
        for piece in request.encode().unwrap() {
            let Piece::Bytes(bytes) = piece else { panic!("not in memory") };
            self.0.write_all(&bytes).unwrap();
        }
    }

    fn receive(&mut self, api: ApiKey, version: i16) -> ResponseBody {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut frame).unwrap();
        Response::parse(api, version, frame.into()).unwrap().body
    }

    fn ask(&mut self, version: i16, body: impl Into<RequestBody>) -> ResponseBody {
        let body = body.into();
        let api = body.api();
        self.send(version, body);
        self.receive(api, version)
    }

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
    let mut client = Kafka::connect(server);
    client.create("large");
    for _ in 0..40 {
        client.produce("large", 1_000_000);
    }
    client.fetch("large");
    let mut length = [0; 4];
    client.0.read_exact(&mut length).unwrap();
    assert!(u32::from_be_bytes(length) > 32 << 20);
    client
}

#[test]
fn a_fetch_that_waits_is_answered_at_once_when_the_process_drains() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = Server::start(dir.path(), &["--drain-timeout", "60s"]);
    let mut client = Kafka::connect(&server);
    client.create("idle");
    client.fetch("idle");
    server.until_taken("Fetch");
    let begun = Instant::now();
    server.signal(Signal::TERM);
    let ResponseBody::Fetch(answer) = client.receive(ApiKey::Fetch, 12) else { panic!() };
    assert_eq!(answer.responses[0].partitions[0].error_code, 0);
    assert_eq!(client.0.read(&mut [0; 1]).unwrap(), 0, "and then the session ends");
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
    let mut client = Kafka::connect(&server);
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
        command.current_dir(dir.path()).args(["serve", "--listen", listen, "--admin", admin]).env_clear();
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

/// A connection that speaks frames.
struct Client {
    stream: TcpStream,
    client_id: &'static str,
}

impl Client {
    fn connect(server: &Server, client_id: &'static str) -> Self {
        let stream = TcpStream::connect(server.kafka()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, client_id }
    }

    fn send(&mut self, version: i16, body: impl Into<RequestBody>) -> Request {
        let request = Request::new(version, 7, Some(self.client_id.into()), body.into()).unwrap();
        for piece in request.clone().encode().unwrap() {
            let Piece::Bytes(bytes) = piece else { panic!("requests are in memory") };
            self.stream.write_all(&bytes).unwrap();
        }
        request
    }

    fn ask(&mut self, version: i16, body: impl Into<RequestBody>) -> ResponseBody {
        let request = self.send(version, body);
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame).unwrap();
        Response::parse(request.api(), version, frame.into()).unwrap().body
    }

    /// Where the partition's readable records end.
    fn end_offset(&mut self, topic: &str) -> i64 {
        let partition =
            list_offsets::ListOffsetsPartition { partition_index: 0, timestamp: -1, ..Default::default() };
        let topic = list_offsets::ListOffsetsTopic {
            name: topic.into(),
            partitions: vec![partition],
            ..Default::default()
        };
        let body = list_offsets::Request { replica_id: -1, topics: vec![topic], ..Default::default() };
        let ResponseBody::ListOffsets(said) = self.ask(7, body) else { panic!("another answer") };
        let partition = &said.topics[0].partitions[0];
        assert_eq!(partition.error_code, 0);
        partition.offset
    }
}

fn producing(topics: &[&str], acks: i16) -> produce::Request {
    let records = with_codecs(|_, compressor| {
        let mut builder = BatchBuilder::new(BatchHeader::default(), compressor);
        builder.append(1_000, None, Some(b"v"), Headers::default()).unwrap();
        builder.finish().unwrap()
    });
    let topic = |name: &&str| produce::TopicProduceData {
        name: (*name).into(),
        partition_data: vec![produce::PartitionProduceData {
            records: Payload::Bytes(records.clone()),
            ..Default::default()
        }],
        ..Default::default()
    };
    produce::Request {
        acks,
        timeout_ms: 1_000,
        topic_data: topics.iter().map(topic).collect(),
        ..Default::default()
    }
}

#[test]
fn nothing_denied_is_stored_though_every_response_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("policies")).unwrap();
    for (file, text) in [
        ("a-chaos.rhai", "on_request(\"*\").client_id(\"!checker\").lose_response();\n"),
        (
            "z-deny.rhai",
            "on_produce(\"secret\").deny();\non_produce(\"part\").each(|cx, record| { cx.deny(\"no\") });\n",
        ),
    ] {
        std::fs::write(dir.path().join("policies").join(file), text).unwrap();
    }
    let server = Server::start(dir.path(), &[]);
    let mut checker = Client::connect(&server, "checker");
    let topics = ["open", "secret", "part"].map(|name| create_topics::CreatableTopic {
        name: name.into(),
        num_partitions: 1,
        replication_factor: 1,
        ..Default::default()
    });
    let body = create_topics::Request { topics: topics.into(), timeout_ms: 10_000, ..Default::default() };
    let ResponseBody::CreateTopics(created) = checker.ask(7, body) else { panic!("another answer") };
    assert!(created.topics.iter().all(|topic| topic.error_code == 0), "{created:?}");

    let mut victim = Client::connect(&server, "victim");
    for acks in [1, 0, -1] {
        victim.send(9, producing(&["secret"], acks));
        victim.send(9, producing(&["secret", "open", "part"], acks));
    }
    // alone on a connection, with each acks: the refusal is lost with its response as well
    for (topic, acks) in [("secret", 1), ("part", -1), ("secret", 0)] {
        Client::connect(&server, "victim").send(9, producing(&[topic], acks));
    }
    victim.send(9, producing(&["open"], -1));
    let since = Instant::now();
    while checker.end_offset("open") == 0 {
        assert!(since.elapsed() < PATIENCE, "what is allowed was not stored");
    }
    // whatever was still under way has been dealt with once the server has ended
    assert_eq!((checker.end_offset("secret"), checker.end_offset("part")), (0, 0));
    drop(victim);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    std::fs::remove_file(dir.path().join("policies/a-chaos.rhai")).unwrap();
    let server = Server::start(dir.path(), &[]);
    let mut checker = Client::connect(&server, "checker");
    assert!(checker.end_offset("open") >= 1);
    assert_eq!((checker.end_offset("secret"), checker.end_offset("part")), (0, 0), "stored though denied");
    let topic = fetch::FetchTopic {
        topic: "secret".into(),
        partitions: vec![fetch::FetchPartition { partition_max_bytes: 1 << 20, ..Default::default() }],
        ..Default::default()
    };
    let body = fetch::Request { max_bytes: 1 << 20, topics: vec![topic], ..Default::default() };
    let ResponseBody::Fetch(fetched) = checker.ask(11, body) else { panic!("another answer") };
    assert!(fetched.responses.iter().flat_map(|t| &t.partitions).all(|p| p.records.is_empty()));
}

//! The program as a process of its own: started, listened to, asked, ended.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tollgate::wire::{ApiKey, Piece, Request, RequestBody, Response, ResponseBody, Str};

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub fn command(folder: &Path, arguments: &[&str]) -> Command {
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
pub struct Server {
    pub child: Child,
    log: BufReader<std::process::ChildStderr>,
    pub lines: Vec<Value>,
}

impl Server {
    pub fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut child = command(folder, arguments).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut server = Self { child, log, lines: Vec::new() };
        server.wait_for("ready");
        server
    }

    /// Reads the log up to a message. A server that ends instead closes the log and fails the test.
    pub fn wait_for(&mut self, message: &str) {
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

    /// The messages from here to the end of the log.
    pub fn rest(&mut self) -> Vec<String> {
        let lines =
            self.log.by_ref().lines().map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        lines.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    }

    #[track_caller]
    pub fn line(&self, message: &str) -> &Value {
        let matches = |line: &&Value| line["message"].as_str().unwrap().starts_with(message);
        self.lines.iter().find(matches).unwrap_or_else(|| panic!("no {message:?} in {:?}", self.lines))
    }

    pub fn kafka(&self) -> SocketAddr {
        self.line("listening for Kafka clients")["address"].as_str().unwrap().parse().unwrap()
    }

    pub fn admin(&self) -> SocketAddr {
        self.line("admin:")["address"].as_str().unwrap().parse().unwrap()
    }

    pub fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Waits until a request of this api has been taken.
    pub fn until_taken(&self, api: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.get("/metrics").contains(&format!("tollgate_requests_total{{api=\"{api}\"}} 1\n")) {
            assert!(Instant::now() < deadline, "no {api} was taken");
        }
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn wait(mut self) -> Option<i32> {
        let process = Pid::from_child(&self.child);
        within_patience(process, move || self.child.wait().unwrap().code())
    }
}

/// A client that speaks frames.
pub struct Kafka {
    pub stream: TcpStream,
    client_id: Str,
}

impl Kafka {
    pub fn connect(server: &Server, client_id: &'static str) -> Self {
        let stream = TcpStream::connect(server.kafka()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, client_id: Str::from_static(client_id) }
    }

    pub fn send(&mut self, version: i16, body: impl Into<RequestBody>) {
        let request = Request::new(version, 7, Some(self.client_id.clone()), body.into()).unwrap();
        for piece in request.encode().unwrap() {
            let Piece::Bytes(bytes) = piece else { panic!("requests are in memory") };
            self.stream.write_all(&bytes).unwrap();
        }
    }

    pub fn receive(&mut self, api: ApiKey, version: i16) -> ResponseBody {
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).unwrap();
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        self.stream.read_exact(&mut frame).unwrap();
        Response::parse(api, version, frame.into()).unwrap().body
    }

    pub fn ask(&mut self, version: i16, body: impl Into<RequestBody>) -> ResponseBody {
        let body = body.into();
        let api = body.api();
        self.send(version, body);
        self.receive(api, version)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs what is expected to end by itself.
pub fn run(folder: &Path, arguments: &[&str]) -> Output {
    ends(command(folder, arguments))
}

pub fn ends(mut command: Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let process = Pid::from_child(&child);
    within_patience(process, move || child.wait_with_output().unwrap())
}

/// Waits for a process to end by itself; kills it when that takes too long, and fails.
pub fn within_patience<T: Send + 'static>(process: Pid, wait: impl FnOnce() -> T + Send + 'static) -> T {
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

/// It ended by itself; its last line says why, and is a log line like the others.
#[track_caller]
pub fn assert_fails(output: &Output, code: i32, message: &str) {
    let error = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{error}");
    let lines: Vec<Value> = error
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {line}")))
        .collect();
    let last = lines.last().expect("a last word");
    assert_eq!(last["level"], "ERROR", "{error}");
    assert!(last["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{error}");
    assert!(last["message"].as_str().is_some_and(|said| said.contains(message)), "{error}");
}

//! Policies changed over HTTP and by `tollgate ctl`, in the whole program.

#[path = "support/program.rs"]
mod program;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use program::{Kafka, PATIENCE, Server, ends};
use rustix::process::Signal;
use serde_json::{Value, json};
use tollgate::wire::api::metadata;
use tollgate::wire::{ApiKey, ResponseBody};

const SLOW: &str = "on_request(\"Metadata\").client_id(\"victim\").delay(\"1h\").named(\"slow\");\n";
const MASK: &str = "on_fetch(\"t\").mask(\"$.email\", \"all\").named(\"mask\");\n";
const TOKEN: &str = "a-token-of-some-length";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("policies")).unwrap();
    for (file, text) in files {
        std::fs::write(dir.path().join("policies").join(file), text).unwrap();
    }
    dir
}

fn ask_with(server: &Server, method: &str, path: &str, headers: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(server.admin()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}{length}\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}")))
}

fn ask(server: &Server, method: &str, path: &str, body: &str) -> (u16, Value) {
    ask_with(server, method, path, "", body)
}

/// Names of the policies there are.
fn policies(server: &Server) -> Vec<String> {
    let (_, shown) = ask(server, "GET", "/v1/policies", "");
    shown["policies"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap().to_owned()).collect()
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "{what}");
    }
}

fn metadata(client: &mut Kafka, topic: &str) {
    let topics = vec![metadata::MetadataRequestTopic { name: Some(topic.into()), ..Default::default() }];
    client.send(
        9,
        metadata::Request { topics: Some(topics), allow_auto_topic_creation: false, ..Default::default() },
    );
}

fn answered(client: &mut Kafka) -> String {
    let ResponseBody::Metadata(said) = client.receive(ApiKey::Metadata, 9) else { panic!("another answer") };
    said.topics[0].name.as_ref().unwrap().to_string()
}

/// A client with three answers held back by a rule for an hour.
fn held(server: &Server) -> Kafka {
    let applied = || {
        let (_, shown) = ask(server, "GET", "/v1/rules", "");
        let rules = shown["rules"].as_array().unwrap().iter();
        rules.filter(|rule| rule["name"] == "slow").map(|rule| rule["applied"].as_u64().unwrap()).sum::<u64>()
    };
    let before = applied();
    let mut victim = Kafka::connect(server, "victim");
    ["a", "b", "c"].into_iter().for_each(|topic| metadata(&mut victim, topic));
    until("the fault was not injected", || applied() == before + 3);
    let (_, shown) = ask(server, "GET", "/v1/sessions", "");
    let sessions = shown["sessions"].as_array().unwrap();
    let newest =
        sessions.iter().filter(|s| s["client_id"] == "victim").max_by_key(|s| s["id"].as_u64()).unwrap();
    assert_eq!(newest["in_flight"], 3, "{newest}");
    victim
}

/// Long before the hour is over, and in order.
#[track_caller]
fn released(mut victim: Kafka) {
    assert_eq!([answered(&mut victim), answered(&mut victim), answered(&mut victim)], ["a", "b", "c"]);
}

/// Nothing is held any more.
fn unharmed(server: &Server) {
    let mut victim = Kafka::connect(server, "victim");
    metadata(&mut victim, "now");
    assert_eq!(answered(&mut victim), "now");
}

#[test]
fn what_is_held_back_goes_on_in_order_when_its_fault_ends() {
    let dir = folder(&[("folder.rhai", &SLOW.replace("victim", "other"))]);
    let server = Server::start(dir.path(), &[]);
    unharmed(&server);
    let add = |path: &str| {
        let (status, said) = ask(&server, "PUT", path, SLOW);
        assert_eq!(status, 201, "{said}");
        assert_eq!((&said["policy"]["origin"], &said["policy"]["enabled"]), (&json!("api"), &json!(true)));
    };

    add("/v1/policies/p");
    let victim = held(&server);
    assert_eq!(ask(&server, "DELETE", "/v1/policies/p", "").0, 200);
    released(victim);
    unharmed(&server);

    add("/v1/policies/p");
    let victim = held(&server);
    // Another change does not let go of it.
    assert_eq!(ask(&server, "PUT", "/v1/policies/q", &SLOW.replace("victim", "nobody")).0, 201);
    assert_eq!(ask(&server, "POST", "/v1/policies/p/rules/slow/disable", "").0, 200);
    released(victim);
    unharmed(&server);
    assert_eq!(ask(&server, "POST", "/v1/policies/p/rules/slow/enable", "").0, 200);
    let victim = held(&server);
    let (status, said) = ask(&server, "POST", "/v1/policies/p/disable", "");
    assert_eq!((status, &said["changed"], &said["policy"]["enabled"]), (200, &json!(true), &json!(false)));
    released(victim);
    assert_eq!(ask(&server, "POST", "/v1/policies/p/disable", "").1["changed"], false);
    assert_eq!(ask(&server, "POST", "/v1/policies/p/enable", "").0, 200);

    let victim = held(&server);
    ask(&server, "POST", "/v1/policies/folder/disable", "");
    let (status, said) = ask(&server, "POST", "/v1/reset", "");
    assert_eq!((status, &said["removed"], &said["enabled"]), (200, &json!(["p", "q"]), &json!(1)));
    released(victim);
    unharmed(&server);
    assert_eq!(policies(&server), ["folder"]);

    // Its time to live is over: it lets go, and is gone, and that is written down.
    let rule = SLOW.replace(".named(\"slow\");\n", "");
    let (status, said) = ask(&server, "PUT", "/v1/rules/slow?ttl=5s", &rule);
    assert_eq!(status, 201, "{said}");
    let left = said["policy"]["expires_in_ms"].as_u64().unwrap();
    assert!((1..=5_000).contains(&left), "{left}");
    released(held(&server));
    unharmed(&server);
    until("what has ended stayed", || policies(&server) == ["folder"]);
    assert_eq!(ask(&server, "GET", "/v1/policies/slow", "").0, 404);
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    let audit = std::fs::read_to_string(dir.path().join("tollgate-data/audit.jsonl")).unwrap();
    let last: Value = serde_json::from_str(audit.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["change"], &last["policy"], &last["by"]),
        (&json!("end"), &json!("slow"), &json!("tollgate"))
    );
}

#[test]
fn the_folder_and_what_was_added_leave_each_other_alone_until_the_process_dies() {
    let dir = folder(&[("mask.rhai", MASK)]);
    let server = Server::start(dir.path(), &[]);
    assert_eq!(ask(&server, "PUT", "/v1/policies/added", SLOW).0, 201);
    std::fs::write(dir.path().join("policies/new.rhai"), SLOW.replace("victim", "nobody")).unwrap();
    until("the folder was not reloaded", || policies(&server) == ["added", "mask", "new"]);
    let victim = held(&server);
    std::fs::remove_file(dir.path().join("policies/new.rhai")).unwrap();
    until("the folder was not reloaded", || policies(&server) == ["added", "mask"]);
    // What was put stays what it was, and what it holds with it, until it is put otherwise.
    assert_eq!(ask(&server, "PUT", "/v1/policies/added", &SLOW.replace("1h", "59m")).0, 200);
    released(victim);
    // A file of the same policy is not taken while the added one is there.
    std::fs::write(dir.path().join("policies/other.rhai"), format!("policy(\"added\", \"x\");\n{SLOW}"))
        .unwrap();
    let refused =
        || ask(&server, "GET", "/v1/policies", "").1["refused_change"].as_str().map(ToOwned::to_owned);
    until("a clash was taken", || refused().is_some_and(|why| why.contains("admin API")));
    assert_eq!(ask(&server, "DELETE", "/v1/policies/added", "").0, 200);
    until("what was refused before is not taken", || refused().is_none());
    let (_, shown) = ask(&server, "GET", "/v1/policies/added", "");
    assert_eq!(
        (&shown["origin"], &shown["text"]),
        (&json!("folder"), &json!(format!("policy(\"added\", \"x\");\n{SLOW}")))
    );
    std::fs::remove_file(dir.path().join("policies/other.rhai")).unwrap();
    until("the folder was not reloaded", || policies(&server) == ["mask"]);

    assert_eq!(ask(&server, "PUT", "/v1/policies/added", SLOW).0, 201);
    let _victim = held(&server);
    server.signal(Signal::KILL);
    server.wait();
    let server = Server::start(dir.path(), &[]);
    assert_eq!(policies(&server), ["mask"]);
    unharmed(&server);
}

#[test]
fn every_change_is_written_down_whether_it_was_made_or_not() {
    let dir =
        folder(&[("mask.rhai", &format!("{MASK}{SLOW}")), ("taken.rhai", "policy(\"named\", \"x\");\n")]);
    std::fs::write(dir.path().join("tokens"), format!("# who may\nci {TOKEN}\n")).unwrap();
    let server =
        Server::start(dir.path(), &["--admin-token-file", "tokens", "--admin-security-changes", "true"]);
    let shown = format!("Authorization: Bearer {TOKEN}\r\n");
    let bad = format!("{SLOW}on_fetch(\"t\").dealy(\"1s\");\n");
    let page = format!("{shown}Origin: http://evil.example\r\n");
    for (method, path, headers, body, status, word) in [
        ("PUT", "/v1/policies/p?ttl=10m", shown.as_str(), SLOW, 201, "done"),
        ("PUT", "/v1/policies/p", "", SLOW, 401, "token"),
        ("PUT", "/v1/policies/p", "Authorization: Bearer a-token-of-other-words\r\n", SLOW, 401, "token"),
        ("POST", "/v1/reset", &page, "", 403, "origin"),
        ("PUT", "/v1/policies/p", &shown, &bad, 400, "script"),
        ("PUT", "/v1/policies/named", &shown, SLOW, 409, "clash"),
        ("PUT", "/v1/policies/taken", &shown, SLOW, 409, "clash"),
        ("DELETE", "/v1/policies/mask", &shown, "", 409, "clash"),
        ("DELETE", "/v1/policies/none", &shown, "", 404, "missing"),
        ("PUT", "/v1/policies/p?ttl=soon", &shown, SLOW, 400, "invalid"),
        ("PUT", "/v1/policies/p?ttl=1m&ttl=2m", &shown, SLOW, 400, "request"),
        ("POST", "/v1/policies/mask/disable", &shown, "", 403, "security"),
        ("POST", "/v1/policies/mask/rules/mask/disable", &shown, "", 403, "security"),
        ("POST", "/v1/policies/mask/rules/slow/disable", &shown, "", 200, "done"),
        ("PUT", "/v1/policies/q?security=true&ttl=1m", &shown, MASK, 400, "script"),
        ("PUT", "/v1/policies/q?security=true", &shown, MASK, 201, "done"),
        ("POST", "/v1/policies/mask/disable?security=true", &shown, "", 200, "done"),
        ("POST", "/v1/reset", &shown, "", 200, "done"),
    ] {
        let (got, said) = ask_with(&server, method, path, headers, body);
        assert_eq!(got, status, "{method} {path}: {said}");
        if status >= 400 {
            assert_eq!(said["error"], word, "{method} {path}: {said}");
        }
        if word == "script" && body == bad {
            let error = &said["errors"][0];
            assert_eq!(
                (&error["file"], &error["line"], &error["column"]),
                (&json!("api/p.rhai"), &json!(2), &json!(15))
            );
            assert_eq!(error["source"], "on_fetch(\"t\").dealy(\"1s\");");
            assert!(error["message"].as_str().unwrap().contains("delay"), "{error}");
        }
    }
    // The reset left what protects, and put what was off back on.
    assert_eq!(policies(&server), ["mask", "q", "named"]);
    assert!(
        ask(&server, "GET", "/v1/rules", "").1["rules"]
            .as_array()
            .unwrap()
            .iter()
            .all(|r| r["enabled"] == true)
    );
    server.signal(Signal::TERM);
    assert_eq!(server.wait(), Some(0));

    let audit = std::fs::read_to_string(dir.path().join("tollgate-data/audit.jsonl")).unwrap();
    assert!(!audit.contains(TOKEN) && !audit.contains("other-words"));
    let lines: Vec<Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<String> = lines
        .iter()
        .map(|line| {
            let word = |key: &str| line[key].as_str().unwrap_or("-").to_owned();
            format!("{} {} {} {}", word("by"), word("change"), word("policy"), word("result"))
        })
        .collect();
    assert_eq!(
        told,
        [
            "ci put_policy p done",
            "unknown put_policy p token",
            "unknown put_policy p token",
            "unknown reset - origin",
            "ci put_policy p script",
            "ci put_policy named clash",
            "ci put_policy taken clash",
            "ci remove_policy mask clash",
            "ci remove_policy none missing",
            "ci put_policy p invalid",
            "ci put_policy p request",
            "ci disable_policy mask security",
            "ci disable_rule mask security",
            "ci disable_rule mask done",
            "ci put_policy q script",
            "ci put_policy q done",
            "ci disable_policy mask done",
            "ci reset - done",
        ]
    );
    // As `sha256sum` has it.
    assert_eq!(lines[0]["sha256"].as_str().unwrap().len(), 64);
    assert_eq!((&lines[0]["ttl"], &lines[1]["sha256"]), (&json!("10m"), &Value::Null));
    assert!(lines[0]["address"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(lines[4]["reason"].as_str().unwrap().starts_with("api/p.rhai:2:15: "), "{}", lines[4]);
    assert!(lines[17]["reason"].as_str().unwrap().contains("kept: q"), "{}", lines[17]);
}

#[test]
fn without_the_setting_what_protects_is_out_of_reach() {
    let dir = folder(&[("mask.rhai", MASK), ("deny.rhai", "default_deny();\n")]);
    let server = Server::start(dir.path(), &[]);
    let open = "on_access(\"Read\").topic(\"*\").principal(\"*\").allow();";
    for (method, path, body) in [
        ("POST", "/v1/policies/mask/disable?security=true", ""),
        ("POST", "/v1/policies/mask/rules/mask/disable?security=true", ""),
        ("POST", "/v1/policies/deny/disable?security=true", ""),
        ("PUT", "/v1/policies/open?security=true", open),
        ("PUT", "/v1/rules/open?security=true", open),
    ] {
        let (status, said) = ask(&server, method, path, body);
        assert_eq!((status, &said["error"]), (403, &json!("security")), "{method} {path}: {said}");
        assert!(said["message"].as_str().unwrap().contains("admin_security_changes"), "{said}");
    }
    let (_, shown) = ask(&server, "GET", "/v1/rules", "");
    assert_eq!((shown["rules"].as_array().unwrap().len(), &shown["rules"][0]["enabled"]), (1, &json!(true)));
}

#[test]
fn tokens_are_taken_in_and_out_while_the_server_runs() {
    let dir = folder(&[("mask.rhai", MASK)]);
    let file = dir.path().join("tokens");
    std::fs::write(&file, format!("ci {TOKEN}\n")).unwrap();
    let mut server = Server::start(dir.path(), &["--admin-token-file", "tokens"]);
    let status = |server: &Server, token: &str| {
        let shown = format!("Authorization: Bearer {token}\r\n");
        ask_with(server, "GET", "/v1/policies/mask", &shown, "").0
    };
    let other = "another-token-of-some-length";
    assert_eq!((status(&server, TOKEN), status(&server, other)), (200, 401));
    std::fs::write(&file, format!("# the first became known\nci {other}\n")).unwrap();
    until("the new token is good for nothing", || status(&server, other) == 200);
    assert_eq!(status(&server, TOKEN), 401);
    // one that is no token leaves it at that
    std::fs::write(&file, "short\n").unwrap();
    server.wait_for("the admin tokens stay as they were");
    assert_eq!((status(&server, TOKEN), status(&server, other)), (401, 200));
}

#[test]
fn what_cannot_be_a_token_ends_the_start() {
    let dir = folder(&[]);
    std::fs::write(dir.path().join("tokens"), "short-token\n").unwrap();
    let output = program::run(dir.path(), &["--admin-token-file", "tokens"]);
    program::assert_fails(&output, 2, "a token has at least 16 characters");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("short-token"));
    program::assert_fails(&program::run(dir.path(), &["--admin-token-file", "none"]), 2, "none");
}

fn ctl(server: &Server, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    let url = format!("http://{}", server.admin());
    command.current_dir(folder).env_clear().args(["ctl", "--admin", &url]).args(arguments);
    command.stdin(std::process::Stdio::null());
    ends(command)
}

#[test]
fn ctl_does_the_same_from_a_shell() {
    let dir = folder(&[("mask.rhai", MASK)]);
    std::fs::write(dir.path().join("slow.rhai"), SLOW).unwrap();
    std::fs::write(dir.path().join("bad.rhai"), format!("{SLOW}on_fetch(\"t\").dealy(\"1s\");\n")).unwrap();
    std::fs::write(dir.path().join("token"), format!("{TOKEN}\n")).unwrap();
    let server = Server::start(dir.path(), &["--admin-token-file", "token"]);
    let run = |code: i32, arguments: &[&str]| {
        let with_token: Vec<&str> = arguments.iter().copied().chain(["--token-file", "token"]).collect();
        let output = ctl(&server, dir.path(), &with_token);
        let (out, error) =
            (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {out}{error}");
        assert!(!out.contains(TOKEN) && !error.contains(TOKEN));
        if code == 0 { out } else { error }
    };
    let status = run(0, &["status"]);
    assert!(
        status.starts_with(
            "ready\npolicies: 1 (0 added while it runs), generation 1\nrules: 1 (0 switched off)\n"
        ),
        "{status}"
    );
    assert_eq!(run(0, &["policy", "add", "slow", "slow.rhai", "--ttl", "10m"]), "slow added, ends in 10m\n");
    let victim = held(&server);
    let shown = run(0, &["policies"]);
    let rows: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["POLICY", "FROM", "STATE", "ENDS", "IN", "RULES", "APPLIED"]);
    assert_eq!(rows[1], ["mask", "folder", "on", "-", "1", "0"]);
    assert_eq!((&rows[2][..3], &rows[2][4..]), (&["slow", "api", "on"][..], &["1", "3"][..]));
    let shown = run(0, &["policy", "show", "slow"]);
    assert!(shown.contains("from api/slow.rhai (api), on, ends in ") && shown.contains(SLOW), "{shown}");
    assert_eq!(run(0, &["policy", "disable", "slow"]), "slow disabled\n");
    released(victim);
    assert_eq!(run(0, &["policy", "disable", "slow"]), "slow was disabled already\n");
    assert_eq!(run(0, &["rule", "disable", "slow", "slow"]), "slow of slow disabled\n");
    assert!(run(0, &["rules"]).lines().any(|line| line.contains("chaos") && line.contains(" off ")));
    assert_eq!(run(0, &["rule", "enable", "slow", "slow"]), "slow of slow enabled\n");
    assert_eq!(run(0, &["policy", "enable", "slow"]), "slow enabled\n");

    // An editor jumps to where it was read from.
    let error = run(2, &["policy", "add", "slow", "bad.rhai"]);
    assert!(error.starts_with("tollgate: bad.rhai:2:15: "), "{error}");
    assert!(error.contains("\n 2 | on_fetch(\"t\").dealy(\"1s\");\n   |               ^"), "{error}");
    assert_eq!(
        run(0, &["rule", "add", "lost", "on_produce(\"t\").every(2).lose_response()"]),
        "lost added, until it is removed or the server ends\n"
    );
    assert_eq!(run(0, &["rule", "remove", "lost"]), "lost removed\n");
    for (code, arguments, why) in [
        (1, &["rule", "remove", "lost"][..], "there is no policy \"lost\""),
        (1, &["policy", "disable", "mask", "--security"], "admin_security_changes"),
        (1, &["policy", "remove", "mask"], "is a policy of the folder"),
        (2, &["policy", "add", "slow", "none.rhai"], "cannot read none.rhai"),
        (2, &["policy", "add", "a b", "slow.rhai"], "a name is 1 to 100 letters"),
        (2, &["policy", "add", "slow", "slow.rhai", "--ttl", "soon"], "ttl"),
        (2, &["policy", "add"], "required"),
    ] {
        let error = run(code, arguments);
        assert!(error.contains(why), "{arguments:?}: {error}");
    }
    let json: Value = serde_json::from_str(&run(0, &["--json", "policy", "show", "slow"])).unwrap();
    assert_eq!(json["text"], SLOW);
    let victim = held(&server);
    assert_eq!(run(0, &["reset"]), "1 removed, 0 switched on again\nremoved: slow\n");
    released(victim);

    let output = ctl(&server, dir.path(), &["reset"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("this needs a token"));
    let nowhere = ctl(&server, dir.path(), &["status", "--token-file", "none"]);
    assert_eq!(nowhere.status.code(), Some(2));
    server.signal(Signal::TERM);
    let admin = server.admin();
    server.wait();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.current_dir(dir.path()).env_clear().args(["ctl", "--admin", &admin.to_string(), "status"]);
    let gone = ends(command);
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("cannot be asked"));
}

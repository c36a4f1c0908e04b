//! The program as it is typed: what it prints, what it writes, how it ends.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use tollgate::security::credential::ScramHash;
use tollgate::security::users_file;

/// The program in a folder of its own, with no variable but those given.
fn tollgate(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.current_dir(folder).args(arguments).env_clear().stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    tollgate(folder, arguments).output().unwrap()
}

fn with_input(mut command: Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may end before it reads: what it says about that is in its output.
    let _ = child.stdin.take().unwrap().write_all(input);
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// It ended with this code and one line on standard error that contains the text.
#[track_caller]
fn assert_fails(output: &Output, code: i32, message: &str) {
    let error = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.starts_with("tollgate: ") && error.contains(message), "{error}");
}

#[track_caller]
fn assert_succeeds(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn the_version_is_the_package_s() {
    let dir = folder();
    for arguments in [["version"], ["--version"]] {
        let output = run(dir.path(), &arguments);
        assert_succeeds(&output);
        assert_eq!(stdout(&output), concat!("tollgate ", env!("CARGO_PKG_VERSION"), "\n"));
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    let dir = folder();
    for arguments in [&[][..], &["serv"], &["serve", "--lisen", "x"], &["serve", "--listen", "nowhere"]] {
        assert_eq!(run(dir.path(), arguments).status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn an_unknown_key_is_named_with_its_place() {
    let dir = folder();
    fs::write(dir.path().join("tollgate.toml"), "data = \"d\"\nmax_sesions = 5\n").unwrap();
    let output = run(dir.path(), &["serve", "--check"]);
    assert_fails(&output, 2, "./tollgate.toml:2:1: unknown key `max_sesions`; did you mean `max_sessions`?");
}

#[test]
fn a_file_that_is_named_must_exist() {
    let dir = folder();
    let output = run(dir.path(), &["serve", "--check", "--config", "none.toml"]);
    assert_fails(&output, 2, "cannot read none.toml: No such file");
    let mut command = tollgate(dir.path(), &["serve", "--check"]);
    let output = command.env("TOLLGATE_CONFIG", "other.toml").output().unwrap();
    assert_fails(&output, 2, "cannot read other.toml: No such file");
}

#[test]
fn a_check_reads_and_starts_nothing() {
    let dir = folder();
    assert_succeeds(&run(dir.path(), &["serve", "--check"]));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn a_flag_goes_before_a_variable_and_a_variable_before_the_file() {
    let dir = folder();
    fs::write(dir.path().join("tollgate.toml"), "admin = \"0.0.0.0:1\"\n").unwrap();
    let shown = |flag: Option<&str>, variable: Option<&str>| {
        let mut command = tollgate(dir.path(), &["serve", "--check"]);
        if let Some(flag) = flag {
            command.args(["--admin", flag]);
        }
        if let Some(variable) = variable {
            command.env("TOLLGATE_ADMIN", variable);
        }
        let output = command.output().unwrap();
        assert_succeeds(&output);
        stdout(&output)
    };
    assert!(shown(None, None).contains("admin address 0.0.0.0:1 "));
    assert!(shown(None, Some("0.0.0.0:2")).contains("admin address 0.0.0.0:2 "));
    assert!(shown(Some("0.0.0.0:3"), Some("0.0.0.0:2")).contains("admin address 0.0.0.0:3 "));
}

#[test]
fn bad_and_unknown_variables_are_named() {
    let dir = folder();
    let with = |name: &str, value: &str| {
        tollgate(dir.path(), &["serve", "--check"]).env(name, value).output().unwrap()
    };
    assert_fails(&with("TOLLGATE_IDLE_TIMEOUT", "10"), 2, "TOLLGATE_IDLE_TIMEOUT: a length of time is");
    let output = with("TOLLGATE_IDLE_TIME", "10s");
    assert_succeeds(&output);
    assert!(stdout(&output).contains("warning: the variable TOLLGATE_IDLE_TIME is no setting"));
}

#[test]
fn a_listener_without_authentication_on_the_network_is_warned_about() {
    let dir = folder();
    let output = run(dir.path(), &["serve", "--check", "--listen", "0.0.0.0:9092"]);
    assert_succeeds(&output);
    assert!(stdout(&output).contains("warning: listener `default` at 0.0.0.0:9092"), "{}", stdout(&output));
    assert!(!stdout(&run(dir.path(), &["serve", "--check"])).contains("warning"));
}

#[test]
fn certificates_are_checked_before_anything_starts() {
    let dir = folder();
    fs::write(dir.path().join("tollgate.toml"), "tls_certificate = \"x.pem\"\n").unwrap();
    let check = || run(dir.path(), &["serve", "--check"]);
    assert_fails(&check(), 2, "listener `default`: x.pem: cannot be read: No such file");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    fs::write(dir.path().join("x.pem"), made.cert.pem()).unwrap();
    assert_fails(&check(), 2, "x.pem: there is no private key in it");
    let both = format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem());
    fs::write(dir.path().join("x.pem"), both).unwrap();
    assert_succeeds(&check());
}

#[test]
fn sasl_needs_a_users_file_that_can_be_read() {
    let dir = folder();
    let check = || run(dir.path(), &["serve", "--check", "--sasl", "SCRAM-SHA-256"]);
    assert_fails(&check(), 2, "there is no ./tollgate-users.toml; `tollgate user add` makes it");
    fs::write(dir.path().join("tollgate-users.toml"), "format = 1\npassword = \"hunter2\"\n").unwrap();
    let output = check();
    assert_fails(&output, 2, "./tollgate-users.toml:2:1: unknown key \"password\"");
    assert!(!stderr(&output).contains("hunter2"));
}

#[test]
fn users_are_added_listed_and_removed() {
    let dir = folder();
    let path = dir.path().join("tollgate-users.toml");
    let add = |name: &str, input: &[u8]| {
        with_input(tollgate(dir.path(), &["user", "add", name, "--iterations", "4096"]), input)
    };
    let output = add("alice", b"wonderland\n");
    assert_succeeds(&output);
    assert_eq!(stdout(&output), "alice added in ./tollgate-users.toml\n");
    assert_succeeds(&add("bob", b"builder"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!fs::read_to_string(&path).unwrap().contains("wonderland"));
    assert_eq!(stdout(&run(dir.path(), &["user", "list"])), "alice\nbob\n");

    assert_fails(&add("alice", b"other"), 1, "the user alice exists");
    let matches = |password: &[u8]| {
        let users = users_file::load(&path).unwrap();
        users.find("alice").unwrap().record(ScramHash::Sha512).unwrap().matches(ScramHash::Sha512, password)
    };
    assert!(matches(b"wonderland"), "a refused addition changes nothing");

    let replace = ["user", "add", "alice", "--replace", "--iterations", "4096"];
    let output = tollgate(dir.path(), &replace).env("TOLLGATE_PASSWORD", "cheshire").output().unwrap();
    assert_succeeds(&output);
    assert_eq!(stdout(&output), "alice has a new password in ./tollgate-users.toml\n");
    assert!(matches(b"cheshire") && !matches(b"wonderland"));

    assert_succeeds(&run(dir.path(), &["user", "remove", "alice"]));
    assert_fails(&run(dir.path(), &["user", "remove", "alice"]), 1, "there is no user alice");
    assert_eq!(stdout(&run(dir.path(), &["user", "list"])), "bob\n");
}

#[test]
fn the_users_file_is_a_setting_like_any_other() {
    let dir = folder();
    fs::write(dir.path().join("tollgate.toml"), "users = \"from-file.toml\"\n").unwrap();
    fs::write(dir.path().join("password"), "secret\n").unwrap();
    let add = |extra: &[&str], variable: Option<&str>| {
        let arguments = ["user", "add", "x", "--iterations", "4096", "--password-file", "password"];
        let mut command = tollgate(dir.path(), &arguments);
        command.args(extra);
        if let Some(variable) = variable {
            command.env("TOLLGATE_USERS", variable);
        }
        assert_succeeds(&command.output().unwrap());
    };
    add(&[], None);
    add(&[], Some("from-variable.toml"));
    add(&["--users", "from-flag.toml"], Some("from-variable.toml"));
    for file in ["from-file.toml", "from-variable.toml", "from-flag.toml"] {
        assert_eq!(users_file::load(&dir.path().join(file)).unwrap().len(), 1, "{file}");
    }
}

#[test]
fn names_and_passwords_that_cannot_be_are_refused() {
    let dir = folder();
    let add = |arguments: &[&str], input: &[u8]| {
        let output = with_input(tollgate(dir.path(), &[&["user", "add"], arguments].concat()), input);
        assert!(!stderr(&output).contains("hunter2"));
        output
    };
    assert_fails(&add(&["ANONYMOUS"], b"hunter2"), 2, "ANONYMOUS");
    assert_fails(&add(&["a\nb"], b"hunter2"), 2, "control character");
    assert_fails(&add(&["x"], b""), 2, "the password is empty");
    assert_fails(&add(&["x"], b"hunter2\nhunter2\n"), 2, "control character");
    assert_fails(&add(&["x"], b"hunter2\xff"), 2, "not UTF-8");
    assert_fails(&add(&["x", "--iterations", "10"], b"hunter2"), 2, "--iterations must be from 4096");
    assert_fails(&add(&["x", "--password-file", "none"], b""), 1, "cannot read the password from none");
    assert_eq!(add(&["x", "--password", "hunter2"], b"").status.code(), Some(2), "there is no such flag");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was made");
}

#[test]
fn a_users_file_that_is_wrong_is_not_overwritten() {
    let dir = folder();
    let path = dir.path().join("tollgate-users.toml");
    fs::write(&path, "my notes\n").unwrap();
    let output = with_input(tollgate(dir.path(), &["user", "add", "x"]), b"secret");
    assert_fails(&output, 2, "./tollgate-users.toml:1:");
    assert_eq!(fs::read_to_string(&path).unwrap(), "my notes\n");
    assert_fails(&run(folder().path(), &["user", "list"]), 1, "cannot open");
}

#[test]
fn a_bad_policy_is_named_with_its_place() {
    let dir = folder();
    let check = |arguments: &[&str]| run(dir.path(), &[&["serve", "--check"], arguments].concat());
    assert_fails(&check(&["--policies", "none"]), 2, "none: the folder cannot be read");
    fs::create_dir(dir.path().join("policies")).unwrap();
    fs::write(dir.path().join("policies/a.rhai"), "policy(\"a\", \"A.\");\non_produce(\"x\").dney();\n")
        .unwrap();
    let output = check(&[]);
    let error = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.starts_with("tollgate: ./policies/a.rhai:2:"), "{error}");
}

#[test]
fn a_rule_that_acts_in_no_test_is_told_and_fails_only_where_it_must_not_be() {
    let dir = folder();
    let rules = "on_produce(\"a\").named(\"acts\").deny();\non_produce(\"b\").named(\"idle\").deny();\n";
    let test = "test(\"a\", || { expect(produced(\"a\", \"1\")).to_be_denied(); });\n";
    fs::create_dir(dir.path().join("policies")).unwrap();
    fs::write(dir.path().join("policies/p.rhai"), format!("{rules}{test}")).unwrap();
    let output = run(dir.path(), &["policy", "test"]);
    assert_succeeds(&output);
    let told = "1 passed, 0 failed\nnever met    p: idle (p.rhai:2)\n1 of 2 rules acted\n";
    assert!(stdout(&output).ends_with(told), "{}", stdout(&output));
    let output = run(dir.path(), &["policy", "test", "--require-coverage"]);
    assert_fails(&output, 1, "1 of 2 rules act in no test");
}

#[test]
fn definitions_for_editors_are_no_policy() {
    let dir = folder();
    fs::create_dir(dir.path().join("policies")).unwrap();
    let output = run(dir.path(), &["policy", "definitions"]);
    assert_succeeds(&output);
    assert!(stdout(&output).starts_with("module static;\n"));
    fs::write(dir.path().join("policies/tollgate.d.rhai"), stdout(&output)).unwrap();
    let output = run(dir.path(), &["policy", "check"]);
    assert_succeeds(&output);
    assert!(stdout(&output).starts_with("0 policies"), "{}", stdout(&output));
}

#[test]
fn interceptors_become_policies_that_load() {
    let dir = folder();
    let interceptor = |class: &str, config: &str| {
        format!(
            "{{\"metadata\":{{\"name\":\"m\"}},\"spec\":{{\"pluginClass\":\"{class}\",\"config\":{config}}}}}"
        )
    };
    let slow = interceptor("SimulateLatencyPlugin", "{\"latencyMs\":5}");
    fs::write(dir.path().join("one.json"), &slow).unwrap();
    let output = run(dir.path(), &["policy", "import", "one.json", "--out", "policies"]);
    assert_succeeds(&output);
    assert_eq!((stdout(&output).as_str(), stderr(&output).as_str()), ("policies/001-m.rhai\n", ""));
    assert_succeeds(&run(dir.path(), &["policy", "check"]));
    // once more would write over it
    assert_fails(
        &run(dir.path(), &["policy", "import", "one.json", "--out", "policies"]),
        1,
        "cannot be written",
    );

    let two = format!("[{slow},{}]", interceptor("VirtualSqlTopicPlugin", "{}"));
    let output = with_input(tollgate(dir.path(), &["policy", "import", "-"]), two.as_bytes());
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stdout(&output).contains("\non_request(\"*\").named(\"m\").delay(\"5ms\")"),
        "{}",
        stdout(&output)
    );
    assert!(
        stderr(&output).contains("-: no equal: $[1].spec.pluginClass: VirtualSqlTopicPlugin"),
        "{}",
        stderr(&output)
    );
    assert_fails(&run(dir.path(), &["policy", "import", "none.json"]), 2, "none.json cannot be read");
    fs::write(dir.path().join("no.json"), "{").unwrap();
    assert_fails(&run(dir.path(), &["policy", "import", "no.json"]), 2, "no.json: it is no JSON");
}

#[test]
fn what_is_no_capture_is_refused() {
    let dir = folder();
    fs::create_dir(dir.path().join("policies")).unwrap();
    fs::write(dir.path().join("c"), "something else").unwrap();
    let output = run(dir.path(), &["policy", "dry-run", "--capture", "c"]);
    assert_fails(&output, 2, "c: at byte 0: this is no capture");
    fs::write(dir.path().join("c"), "tollgate capture 1\n").unwrap();
    let output = run(dir.path(), &["policy", "dry-run", "--capture", "c"]);
    assert_succeeds(&output);
    assert_eq!(stdout(&output), "0 requests, 0 answers, 0 new sessions in 0.000 s\n");
}

//! The admin address over HTTPS, and who may ask there, in the whole program.

#[path = "support/program.rs"]
mod program;

use program::{Server, ends};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output};

const SLOW: &str =
    "expires(\"1h\"); on_request(\"Metadata\").client_id(\"victim\").delay(\"1h\").named(\"slow\");\n";
const TOKEN: &str = "a-token-of-some-length";

/// An authority, and what it signs, as PEM files of a folder.
struct Authority<'a> {
    folder: &'a Path,
    issuer: Issuer<'static, KeyPair>,
}

impl<'a> Authority<'a> {
    fn new(folder: &'a Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.join(format!("{name}.pem")), certificate.pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    /// Certificate and key in one file.
    fn sign(&self, name: &str) {
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let both = format!("{}{}", certificate.pem(), key.serialize_pem());
        std::fs::write(self.folder.join(format!("{name}.pem")), both).unwrap();
    }
}

fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("policies")).unwrap();
    std::fs::write(dir.path().join("slow.rhai"), SLOW).unwrap();
    std::fs::write(dir.path().join("token"), format!("ci {TOKEN}\n")).unwrap();
    let (ours, theirs) = (Authority::new(dir.path(), "ours"), Authority::new(dir.path(), "theirs"));
    ours.sign("server");
    ours.sign("ada");
    theirs.sign("mallory");
    dir
}

fn ctl(server: &Server, folder: &Path, scheme: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    let url = format!("{scheme}://{}", server.admin());
    command.current_dir(folder).env_clear().args(["ctl", "--admin", &url]).args(arguments);
    command.stdin(std::process::Stdio::null());
    ends(command)
}

#[track_caller]
fn says(output: &Output, code: i32, text: &str) {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(text), "{said}");
    assert!(!said.contains(TOKEN), "{said}");
}

#[test]
fn a_certificate_does_for_a_token() {
    let dir = folder();
    let tls = ["--admin-tls-certificate", "server.pem", "--admin-tls-client-ca", "ours.pem"];
    let server = Server::start(dir.path(), &tls);
    let add = ["policy", "add", "slow", "slow.rhai", "--ttl", "10m"];
    let with = |more: &[&'static str]| ctl(&server, dir.path(), "https", &[&add[..], more].concat());
    says(&with(&["--ca", "ours.pem", "--certificate", "ada.pem"]), 0, "slow added");
    // without one, and with one of others, nobody sees anything
    says(&with(&["--ca", "ours.pem"]), 1, "cannot be asked");
    says(&with(&["--ca", "ours.pem", "--certificate", "mallory.pem"]), 1, "cannot be asked");
    says(&with(&["--ca", "theirs.pem", "--certificate", "ada.pem"]), 1, "UnknownIssuer");
    says(&with(&[]), 2, "--ca says whom to trust");
    says(&with(&["--ca", "none.pem"]), 2, "none.pem: cannot be read");
    says(&with(&["--ca", "ours.pem", "--certificate", "ours.pem"]), 2, "there is no private key in it");
    says(&ctl(&server, dir.path(), "http", &["status"]), 1, "cannot be asked");
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.wait(), Some(0));
    let audit = std::fs::read_to_string(dir.path().join("tollgate-data/audit.jsonl")).unwrap();
    let by: Vec<serde_json::Value> = audit.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(by.len(), 1, "{audit}");
    assert_eq!((by[0]["by"].as_str(), by[0]["result"].as_str()), (Some("User:CN=ada"), Some("done")));
}

#[test]
fn a_token_goes_over_https_as_well_and_a_certificate_does_not_replace_it() {
    let dir = folder();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let own = format!("{}{}", made.cert.pem(), made.signing_key.serialize_pem());
    std::fs::write(dir.path().join("server.pem"), own).unwrap();
    let settings = "admin_tls_certificate = \"server.pem\"\nadmin_token_file = \"token\"\n";
    std::fs::write(dir.path().join("tollgate.toml"), settings).unwrap();
    let server = Server::start(dir.path(), &[]);
    let add = |more: &[&'static str]| {
        ctl(&server, dir.path(), "https", &[&["policy", "add", "slow", "slow.rhai"][..], more].concat())
    };
    // what is trusted, and the token, are in the settings
    std::fs::write(dir.path().join("none"), "none of-the-right-tokens\n").unwrap();
    says(&add(&["--token-file", "none"]), 1, "this needs a token");
    says(&add(&["--token-file", "none", "--certificate", "ada.pem"]), 1, "this needs a token");
    says(&add(&["--ca", "ours.pem"]), 1, "UnknownIssuer");
    says(&add(&[]), 0, "slow added");
}

#[test]
fn whoever_says_nothing_holds_nobody_up() {
    let dir = folder();
    let server = Server::start(dir.path(), &["--admin-tls-certificate", "server.pem"]);
    let silent: Vec<_> = (0..8).map(|_| TcpStream::connect(server.admin()).unwrap()).collect();
    says(&ctl(&server, dir.path(), "https", &["status", "--ca", "ours.pem"]), 0, "ready");
    drop(silent);
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.wait(), Some(0));
}

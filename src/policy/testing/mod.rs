//! The runner of tests that stand in policy files: no server, no sockets, the very evaluation that serves.
//!
//! Each test begins in a world of its own: its file's policy alone, all counters at zero, a clock that stands
//! still until the test moves it (`at: "30s"`). Draws use the policy's seed, else zero, else the test's own.

mod bench;
#[cfg(test)]
mod exchanges;
mod newer_requests;
mod replies;
mod requests;

use super::error::LoadError;
use super::generation::{Policies, Settings};
use super::load::Script;
use super::schema::Schemas;
use super::script::{Surroundings, closure};
use super::secrets::Secrets;
use super::state::StateStore;
use bench::Worlds;
use std::collections::HashMap;
use std::path::PathBuf;
use std::rc::Rc;

/// How one test went.
#[derive(Debug, Clone)]
pub struct TestOutcome {
    pub file: PathBuf,
    pub policy: String,
    pub name: String,
    /// Why it failed, where.
    pub failure: Option<LoadError>,
}

/// What the tests of all files make of one rule.
#[derive(Debug, Clone)]
pub struct RuleCoverage {
    pub policy: String,
    pub rule: String,
    /// `file:line`
    pub written_at: String,
    /// Parts (records, for record rules) that its selectors let through in any test.
    pub matched: u64,
    /// Of these, what it acted on; of a rule that only watches, what it would have acted on.
    pub acted: u64,
}

/// What came of all tests.
#[derive(Debug, Default)]
pub struct Report {
    pub outcomes: Vec<TestOutcome>,
    /// Of all rules, in their order.
    pub rules: Vec<RuleCoverage>,
}

/// Runs all tests of all scripts. A rule is met by the tests of its own file only. Fails when a script cannot be loaded.
pub fn run(scripts: &[Script], secrets: &Secrets, schemas: &Schemas) -> Result<Report, Vec<LoadError>> {
    let policies = Policies::new(super::generation::Shared::new(Settings {
        secrets: secrets.clone(),
        schemas: schemas.clone(),
        allow_crash: true,
        ..Settings::default()
    }));
    let generation = policies.load(scripts)?;
    let mut report = Report::default();
    for policy in &generation.policies {
        let mut counts: HashMap<u64, (u64, u64)> = HashMap::new();
        for test in &policy.tests {
            let worlds = Rc::new(Worlds::new(&policy.info, secrets.clone(), schemas.clone()));
            let around = Surroundings {
                state: StateStore::new(worlds.clock()),
                secrets: secrets.clone(),
                schemas: schemas.clone(),
            };
            let bench = Rc::clone(&worlds);
            let result = closure::with_thread(|thread| thread.test(&policy.info, &test.name, &around, bench));
            for (rule, (matched, acted)) in worlds.counts() {
                let count = counts.entry(rule).or_default();
                *count = (count.0 + matched, count.1 + acted);
            }
            report.outcomes.push(TestOutcome {
                file: policy.info.file.clone(),
                policy: policy.info.name.clone(),
                name: test.name.clone(),
                failure: result.err(),
            });
        }
        for rule in &policy.rules {
            let (matched, acted) = counts.get(&rule.key).copied().unwrap_or_default();
            report.rules.push(RuleCoverage {
                policy: policy.info.name.clone(),
                rule: rule.name.clone(),
                written_at: rule.written_at(),
                matched,
                acted,
            });
        }
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Those that are shipped.
    fn schemas() -> Schemas {
        Schemas::new(Some(concat!(env!("CARGO_MANIFEST_DIR"), "/policies/schemas").into()))
    }

    /// The failures of a policy's tests, by name.
    pub(super) fn failures(text: &str) -> Vec<(String, String)> {
        let script = Script { file: "p.rhai".into(), text: Arc::from(text) };
        let outcomes = run(&[script], &Secrets::made_up(), &schemas())
            .unwrap_or_else(|errors| panic!("{}", errors[0]))
            .outcomes;
        assert!(!outcomes.is_empty());
        outcomes.into_iter().filter_map(|o| o.failure.map(|f| (o.name, f.message))).collect()
    }

    fn passes(text: &str) {
        let failed = failures(text);
        assert!(failed.is_empty(), "{failed:?}");
    }

    /// Every policy here must have tests that fail once its rules are taken away.
    fn passes_and_matters(rules: &str, tests: &str) {
        passes(&format!("{rules}\n{tests}"));
        let without = failures(tests);
        assert!(!without.is_empty(), "these tests pass without the rules:\n{tests}");
    }

    #[test]
    fn doings_are_counted_by_how_they_went() {
        passes_and_matters(
            r#"on_produce("a").deny("no"); on_connect().listener("l").refuse(); on_connect().listener("m").deny();
            on_fetch("b").disconnect(); on_fetch("c").deny(); on_produce("d").disconnect(); on_produce("e").fail("REQUEST_TIMED_OUT");
            on_fetch("f").each(|cx, record| cx.deny("no"));"#,
            r#"test("denied", || {
                let seen = produced("a", "x", #{ times: 3 });
                expect([seen.denied, seen.failed, seen.passed]).to_equal([3, 0, 0]);
                expect(seen.exists).to_equal(false);
                let seen = connected(#{ listener: "m", times: 2 });
                expect([seen.denied, seen.closed]).to_equal([2, 0]);
                expect(seen).to_be_denied();
                let seen = fetched("c", "x", #{ times: 2 });
                expect([seen.denied, seen.failed]).to_equal([2, 0]);
                let seen = fetched("f", "x");
                expect(seen.denied).to_equal(1);
            });
            test("closed", || {
                let seen = connected(#{ listener: "l", times: 2 });
                expect([seen.denied, seen.closed, seen.passed]).to_equal([0, 2, 0]);
                let seen = fetched("b", "x", #{ times: 2 });
                expect([seen.closed, seen.lost, seen.passed]).to_equal([2, 0, 0]);
                let seen = produced("d", "x");
                expect([seen.closed, seen.exists]).to_equal([1, false]);
            });
            test("failed", || {
                let seen = produced("e", "x", #{ times: 2 });
                expect([seen.failed, seen.denied, seen.passed, seen.exists]).to_equal([2, 0, 0, false]);
            });"#,
        );
    }

    #[test]
    fn a_fetch_is_closed_and_refused_at_its_reply_too() {
        passes_and_matters(
            r#"on_fetch("b").chance(1.0).disconnect(); on_fetch("f").each(|cx, record| { throw "no" });"#,
            r#"test("closed", || {
                let seen = fetched("b", "x", #{ times: 2 });
                expect([seen.closed, seen.denied]).to_equal([2, 0]);
                expect(seen).to_be_closed();
            });
            test("refused", || {
                let seen = fetched("f", "x");
                expect(seen.denied).to_equal(1);
                expect(seen).to_fail_with("TOPIC_AUTHORIZATION_FAILED");
            });"#,
        );
    }

    #[test]
    fn a_topic_may_be_asked_to_have_no_partitions() {
        passes_and_matters(
            r#"on_create("t").limit(#{ partitions: 1..=9 });"#,
            r#"test("none", || {
                expect(requested("CreatePartitions", #{ topic: "t", partitions: 0 })).to_be_denied();
                expect(requested("CreatePartitions", #{ topic: "t" })).to_pass();
            });"#,
        );
    }

    #[test]
    fn masks_are_seen_by_those_they_are_for() {
        passes_and_matters(
            r#"on_fetch("customers").principal("User:analytics-*").mask("$.email", "email").remove_header("x-*");"#,
            r#"test("analytics", || {
                let seen = fetched("customers", `{"email":"ada@example.com"}`,
                    #{ principal: "User:analytics-1", headers: #{ "x-a": "1", y: "2" }, key: "k" });
                expect(seen.value("$.email")).to_equal("a**@example.com");
                expect(seen.header("x-a")).to_equal(());
                expect(seen.header("y")).to_equal("2");
                expect(seen.key()).to_equal("k");
            });
            test("others", || {
                let seen = fetched("customers", `{"email":"ada@example.com"}`, #{ principal: "User:shop" });
                expect(seen.value("$.email")).to_equal("ada@example.com");
                expect(fetched("else", "x", #{ principal: "User:analytics-1" })).to_pass();
            });"#,
        );
    }

    #[test]
    fn access_is_decided() {
        passes_and_matters(
            r#"default_deny();
            on_access("Write").topic("orders").principal("User:shop").allow();
            on_access("Read").group("billing").principal("User:shop").allow();
            on_access("*").topic("orders").principal("User:mallory").deny();"#,
            r#"test("writes", || {
                expect(produced("orders", "x", #{ principal: "User:shop" })).to_pass();
                expect(produced("orders", "x", #{ principal: "User:mallory" })).to_be_denied();
                expect(produced("orders", "x", #{ principal: "User:eve" })).to_fail_with("TOPIC_AUTHORIZATION_FAILED");
                expect(fetched("orders", "x", #{ principal: "User:shop" })).to_be_denied();
                expect(requested("Metadata", #{ principal: "User:shop", topic: "orders" })).to_pass();
                expect(requested("JoinGroup", #{ principal: "User:shop", group: "billing" })).to_pass();
                expect(requested("JoinGroup", #{ principal: "User:shop", group: "other" })).to_fail_with("GROUP_AUTHORIZATION_FAILED");
                expect(requested("CreateTopics", #{ principal: "User:shop", topic: "new" })).to_be_denied();
            });"#,
        );
    }

    #[test]
    fn faults_are_seen() {
        for (rule, expectation) in [
            (
                r#"on_produce("t").fail("NOT_LEADER_OR_FOLLOWER");"#,
                r#"to_fail_with("NOT_LEADER_OR_FOLLOWER")"#,
            ),
            (r#"on_produce("t").fail_after("REQUEST_TIMED_OUT");"#, r#"to_fail_with("REQUEST_TIMED_OUT")"#),
            (r#"on_produce("t").lose_request();"#, "to_be_lost()"),
            (r#"on_produce("t").lose_response();"#, "to_be_lost()"),
            (r#"on_produce("t").disconnect();"#, "to_be_closed()"),
            (r#"on_produce("t").reset();"#, "to_be_closed()"),
            (r#"on_produce("t").delay("200ms");"#, r#"to_be_delayed_by("200ms", "200ms")"#),
        ] {
            let test = format!("test(\"a\", || {{ expect(produced(\"t\", \"x\")).{expectation}; }});");
            passes_and_matters(rule, &test);
            let on_fetch = rule.replace("on_produce", "on_fetch");
            passes_and_matters(&on_fetch, &test.replace("produced", "fetched"));
            let on_request = rule.replace("on_produce(\"t\")", "on_request(\"Heartbeat\").group(\"g\")");
            let test = test.replace("produced(\"t\", \"x\")", "requested(\"Heartbeat\", #{ group: \"g\" })");
            passes_and_matters(&on_request, &test);
        }
        for rule in ["on_connect().reset();", "on_connect().disconnect();", "on_connect().deny();"] {
            passes_and_matters(rule, "test(\"a\", || { expect(connected()).to_be_closed(); });");
        }
        passes_and_matters(
            "on_connect().from_ip(\"10.0.0.0/8\").latency(\"1s\").half_open();",
            r#"test("a", || {
                expect(connected(#{ ip: "10.1.2.3" })).to_be_struck_by("latency");
                expect(connected(#{ ip: "10.1.2.3" })).to_be_struck_by("half_open");
                expect(connected(#{ ip: "11.1.2.3" })).to_pass();
            });"#,
        );
        passes_and_matters(
            "on_connect().from_ip(\"10.0.0.0/8\").delay(\"1s\");",
            r#"test("a", || {
                expect(connected(#{ ip: "10.1.2.3" })).to_be_delayed_by("1s", "1s");
                expect(connected(#{ ip: "11.1.2.3" })).to_pass();
            });"#,
        );
    }

    #[test]
    fn letters_are_seen() {
        passes_and_matters(
            r#"on_produce("t").value("$.bad", true).route("dlq", "it is bad");
               on_produce("t").require_header("id").route("no-id");"#,
            r#"test("a", || {
                let letter = produced("t", `{"bad":true}`, #{ headers: #{ id: "1" } });
                expect(letter).to_be_routed_to("dlq");
                expect(letter.header("tollgate-reason")).to_equal("it is bad");
                expect(letter.header("id")).to_equal("1");
                expect(letter.value("$.bad")).to_equal(true);
                expect(produced("t", "{}")).to_be_routed_to("no-id");
                expect(produced("t", "{}", #{ headers: #{ id: "1" } })).to_pass();
                expect(produced("t", "{}", #{ times: 5 }).routed).to_equal(5);
            });"#,
        );
        let failed = failures(r#"test("a", || { expect(produced("t", "x")).to_be_routed_to("dlq"); });"#);
        assert!(failed[0].1.contains("expected a letter to dlq, but it passed"), "{failed:?}");
    }

    #[test]
    fn values_that_do_not_fit_are_seen() {
        passes_and_matters(
            r#"on_produce("t").validate(schema("demo-shipment.json"));"#,
            r#"test("a", || {
                let said = produced("t", `{"shipment":"x","to":"Oslo","weight_kg":1}`);
                expect(said).to_fail_with("INVALID_RECORD");
                expect(said.message).to_equal("the value does not fit demo-shipment.json at $.shipment: does not hold to `type`");
                expect(produced("t", ())).to_pass();
            });"#,
        );
    }

    #[test]
    fn times_seeds_and_the_clock() {
        passes_and_matters(
            r#"on_produce("t").chance(0.1).fail("UNKNOWN_SERVER_ERROR");
               on_produce("u").every(10).lose_response();
               on_produce("w").during("10s", "20s").fail("UNKNOWN_SERVER_ERROR");"#,
            r#"test("many", || {
                let seen = produced("t", "x", #{ times: 1000, seed: 7 });
                if seen.failed < 60 || seen.failed > 140 { throw `${seen.failed} failed`; }
                expect(seen.passed + seen.failed).to_equal(1000);
                expect(produced("t", "x", #{ times: 1000, seed: 8 }).failed == seen.failed).to_equal(false);
                expect(produced("u", "x", #{ times: 100 }).lost).to_equal(10);
            });
            test("during", || {
                expect(produced("w", "x", #{ at: "9s" })).to_pass();
                expect(produced("w", "x", #{ at: "10s" })).to_fail_with("UNKNOWN_SERVER_ERROR");
                expect(produced("w", "x", #{ at: "20s" })).to_pass();
            });"#,
        );
    }

    #[test]
    fn windows_count_through_tests() {
        passes_and_matters(
            r#"let failures = window("failures", "60s");
            on_produce("attempts").each(|cx, record| {
                let user = record.value("$.user");
                if failures.count(user) >= 5 { return cx.deny("too many failed attempts"); }
                if record.value("$.status") == "failed" { failures.add(user); }
            });"#,
            r#"test("five and no more", || {
                let failed = `{"user":"ada","status":"failed"}`;
                for n in 0..5 { expect(produced("attempts", failed)).to_pass(); }
                let sixth = produced("attempts", failed);
                expect(sixth).to_be_denied();
                expect(sixth).to_fail_with("INVALID_RECORD");
                expect(sixth.message).to_equal("too many failed attempts");
                expect(produced("attempts", `{"user":"bob","status":"failed"}`)).to_pass();
                expect(produced("attempts", failed, #{ at: "62s" })).to_pass();
            });"#,
        );
    }

    #[test]
    fn quotas_are_seen() {
        passes_and_matters(
            r#"on_produce("t").quota("5 records/s", "principal"); on_fetch("t").quota("100B/s", "client_id");"#,
            r#"test("a", || {
                let seen = produced("t", "x", #{ times: 60 });
                expect(seen.passed).to_equal(60);
                expect(seen.throttled).to_equal(10);
                expect(seen).to_be_throttled_by("1s", "2s");
                expect(produced("t", "x", #{ principal: "User:bob" })).to_pass();
                expect(produced("t", "x", #{ at: "15s" })).to_pass();
                expect(fetched("t", "x", #{ times: 30 })).to_be_throttled_by("1s", "60s");
            });"#,
        );
        passes_and_matters(
            r#"on_produce("t").throttle("2s");"#,
            r#"test("a", || { expect(produced("t", "x")).to_be_throttled_by("2s", "2s"); });"#,
        );
    }

    #[test]
    fn logins_and_requests_that_wait_are_seen() {
        passes_and_matters(
            r#"on_request("SaslAuthenticate").principal("User:a").sasl_fail();
               on_request("SaslAuthenticate").principal("User:b").sasl_expire("30s");
               on_request("OffsetCommit").group("g").hold_until("JoinGroup", "g", "10s");"#,
            r#"test("a", || {
                let login = |who| requested("SaslAuthenticate", #{ principal: who });
                expect(login.call("User:a")).to_fail_with("SASL_AUTHENTICATION_FAILED");
                expect(login.call("User:b")).to_expire_after("30s", "30s");
                expect(login.call("User:c")).to_pass();
                expect(requested("OffsetCommit", #{ group: "g" })).to_be_held_until("JoinGroup");
                expect(requested("OffsetCommit", #{ group: "h" })).to_pass();
            });"#,
        );
    }

    #[test]
    fn a_failed_expectation_says_where_and_what() {
        let text = "test(\"a\", || {\n  expect(produced(\"t\", \"x\")).to_be_denied();\n});";
        let script = Script { file: "p.rhai".into(), text: Arc::from(text) };
        let outcomes = run(&[script], &Secrets::made_up(), &schemas()).unwrap().outcomes;
        let failure = outcomes[0].failure.as_ref().unwrap();
        assert_eq!((failure.line, failure.message.as_str()), (2, "expected a refusal, but it passed"));
        for (body, says) in [
            ("expect(1).to_equal(2);", "expected 2, got 1"),
            ("expect(produced(\"t\", \"x\")).to_be_lost();", "expected no answer, but it passed"),
            (
                "expect(produced(\"t\", \"x\")).to_fail_with(\"NOT_COORDINATOR\");",
                "the error NOT_COORDINATOR",
            ),
            ("expect(5).to_pass();", "wants what produced"),
            ("produced(\"t\", \"x\", #{ princpal: \"a\" });", "did you mean \"principal\"?"),
            ("requested(\"group\");", "is a class"),
            ("on_produce().deny();", "not into a closure"),
            ("loop {}", "too many operations"),
        ] {
            let failed = failures(&format!("test(\"a\", || {{ {body} }});"));
            assert!(failed[0].1.contains(says), "{body}: {failed:?}");
        }
    }

    #[test]
    fn faults_beside_what_a_client_is_told_are_seen() {
        for (rule, doing) in [
            (r#"on_produce("t").truncate_log(3);"#, r#"produced("t", "x")"#),
            (r#"on_produce("t").duplicate_request();"#, r#"produced("t", "x")"#),
            (r#"on_produce("t").throttle("5s");"#, r#"produced("t", "x")"#),
            (r#"on_produce("t").poison("random_bytes", 4);"#, r#"produced("t", "x")"#),
            (r#"on_produce("t").storm();"#, r#"produced("t", "x")"#),
            (r#"on_fetch("t").stale_high_watermark(1);"#, r#"fetched("t", "x")"#),
            (
                r#"on_request("Metadata").topic("t").no_leader();"#,
                r#"requested("Metadata", #{ topic: "t" })"#,
            ),
            (r#"on_request("Metadata").broker_missing(2);"#, r#"requested("Metadata", #{ topic: "t" })"#),
            (
                r#"on_request("FindCoordinator").wrong_address("10.255.255.1", 1);"#,
                r#"requested("FindCoordinator", #{ group: "g" })"#,
            ),
            (r#"on_request("ApiVersions").api_versions("Fetch", 11);"#, r#"requested("ApiVersions")"#),
        ] {
            let word = rule.rsplit_once(").").map_or("", |(_, word)| word).split('(').next().unwrap();
            let test = format!("test(\"a\", || {{ expect({doing}).to_be_struck_by(\"{word}\"); }});");
            passes_and_matters(rule, &test);
            let watching = failures(&format!("mode(\"observe\");\n{rule}\n{test}"));
            assert_eq!(watching.len(), 1, "{rule}");
        }
    }

    #[test]
    fn the_disk_and_the_broker_itself_are_seen() {
        passes_and_matters(
            r#"on_disk("t").operation("append").nth(2).disk_full();
               on_disk("u").slow_disk("1s");
               on_disk("u").operation("sync").partition(3).fsync_error();
               on_disk("u").operation("read").crash_at("before");"#,
            r#"test("disk", || {
                expect(disk("append", "t")).to_pass();
                expect(disk("append", "t")).to_fail_with("KAFKA_STORAGE_ERROR");
                expect(disk("append", "u")).to_be_delayed_by("1s", "1s");
                expect(disk("sync", "u", #{ partition: 3 })).to_fail_with("KAFKA_STORAGE_ERROR");
                expect(disk("read", "u")).to_be_closed();
                expect(disk("append", "v")).to_pass();
            });"#,
        );
        passes_and_matters(
            r#"on_broker().during("10s", "15s").pause(); on_produce("t").key("stop").pause("3s");"#,
            r#"test("broker", || {
                expect(produced("t", "x", #{ key: "stop" })).to_be_delayed_by("3s", "3s");
                expect(requested("Metadata", #{ topic: "else", at: "1s" })).to_be_delayed_by("2s", "2s");
                expect(requested("Metadata", #{ topic: "else", at: "4s" })).to_pass();
                expect(requested("Metadata", #{ topic: "else", at: "12s" })).to_be_delayed_by("3s", "3s");
            });"#,
        );
    }

    #[test]
    fn rules_that_no_test_meets_are_told() {
        let text = r#"
            on_produce("a").named("acts").deny();
            on_produce("b").named("never acts").chance(0.0).lose_response();
            on_produce("c").named("never met").lose_response();
            on_produce("d").named("watches").observe().deny();
            test("one", || { expect(produced("a", "x")).to_be_denied(); });
            test("two", || { produced("b", "x", #{ seed: 3, times: 4 }); produced("d", "x"); });"#;
        let script = Script { file: "dir/p.rhai".into(), text: Arc::from(text) };
        let other = Script {
            file: "dir/q.rhai".into(),
            text: Arc::from(
                "policy(\"q\", \"x\"); test(\"of another file\", || { produced(\"c\", \"x\"); });",
            ),
        };
        let report = run(&[script, other], &Secrets::made_up(), &schemas()).unwrap();
        let told: Vec<_> = report
            .rules
            .iter()
            .map(|rule| (rule.rule.as_str(), rule.written_at.as_str(), rule.matched, rule.acted))
            .collect();
        assert_eq!(
            told,
            [
                ("acts", "p.rhai:2", 1, 1),
                ("never acts", "p.rhai:3", 4, 0),
                ("never met", "p.rhai:4", 0, 0),
                ("watches", "p.rhai:5", 1, 1),
            ]
        );
    }

    #[test]
    fn every_rule_of_the_policies_that_come_with_it_acts_in_a_test() {
        for folder in ["policies", "policies/with-keys"] {
            let report = run(&shipped(folder), &Secrets::made_up(), &schemas()).unwrap();
            let failed: Vec<_> = report.outcomes.iter().filter_map(|o| o.failure.as_ref()).collect();
            assert!(failed.is_empty(), "{failed:?}");
            let idle: Vec<_> = report.rules.iter().filter(|rule| rule.acted == 0).collect();
            assert!(idle.is_empty(), "{idle:?}");
        }
    }

    #[test]
    fn shipped_tests_fail_when_their_policy_does_nothing() {
        for script in ["policies", "policies/with-keys"].into_iter().flat_map(shipped) {
            let watching = script.text.replacen("\npolicy(", "\nmode(\"observe\");\npolicy(", 1);
            assert!(!failures(&watching).is_empty(), "{}", script.file.display());
        }
    }

    fn shipped(folder: &str) -> Vec<Script> {
        let folder = format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"));
        let scripts = crate::policy::load::read_folder(folder.as_ref()).unwrap();
        assert!(!scripts.is_empty());
        scripts
    }

    #[test]
    fn every_api_can_be_requested() {
        for api in crate::wire::table::APIS {
            let name = api.name;
            let rule = format!("on_request(\"{name}\").delay(\"1s\");");
            let test = format!(
                "test(\"a\", || {{ expect(requested(\"{name}\", #{{ topic: \"t\", group: \"g\" }})).to_be_delayed_by(\"1s\", \"1s\"); }});"
            );
            passes(&format!("{rule}\n{test}"));
        }
    }
}

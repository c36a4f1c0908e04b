mod told;

use super::*;
use crate::policy::generation::{Policies, Settings, Shared};
use crate::policy::testing;
use crate::policy::tools;
use proptest::prelude::*;
use serde_json::json;

fn one(class: &str, config: Value) -> Value {
    json!({
        "kind": "Interceptor",
        "apiVersion": "gateway/v2",
        "metadata": { "name": "mine" },
        "spec": { "comment": "c", "pluginClass": class, "priority": 100, "config": config },
    })
}

fn imported(value: &Value) -> Imported {
    import(&value.to_string()).unwrap()
}

/// The rules of one plugin, without comments, and the notes.
fn rules(class: &str, config: Value) -> (Vec<String>, Vec<String>) {
    let imported = imported(&one(class, config));
    let script = imported.script();
    let rules = script.lines().skip(3).filter(|line| !line.is_empty() && !line.starts_with("//"));
    (rules.map(str::to_owned).collect(), imported.notes.iter().map(ToString::to_string).collect())
}

/// Loads, and passes `policy check`.
fn passes(script: &str) {
    let settings = Settings { secrets: Secrets::made_up(), ..Settings::default() };
    let script = Script { file: "imported.rhai".into(), text: script.into() };
    let loaded = Policies::new(Shared::new(settings)).load(std::slice::from_ref(&script));
    let generation = loaded.unwrap_or_else(|errors| panic!("{}\n{}", errors[0], script.text));
    let found = tools::check(&generation);
    assert!(found.is_empty(), "{found:?}\n{}", script.text);
}

const CHAOS: &str = "io.conduktor.gateway.interceptor.chaos.";
const GUARD: &str = "io.conduktor.gateway.interceptor.safeguard.";
const PLAIN: &str = "io.conduktor.gateway.interceptor.";

/// Every plugin, with a configuration as its documentation has it, and the rules that it becomes.
fn plugins() -> Vec<(String, Value, Vec<&'static str>, usize)> {
    let plugin =
        |class: String, config: Value, rules: Vec<&'static str>, lost: usize| (class, config, rules, lost);
    let chaos = |class: &str| format!("{CHAOS}{class}");
    let guard = |class: &str| format!("{GUARD}{class}");
    let plain = |class: &str| format!("{PLAIN}{class}");
    vec![
        plugin(
            chaos("SimulateBrokenBrokersPlugin"),
            json!({ "rateInPercent": 20, "errorMap": { "FETCH": "UNKNOWN_SERVER_ERROR", "PRODUCE": "CORRUPT_MESSAGE" } }),
            vec![
                r#"on_fetch().named("mine").chance(0.2).fail("UNKNOWN_SERVER_ERROR").expires("7d");"#,
                r#"on_produce().named("mine 2").chance(0.2).fail("CORRUPT_MESSAGE").expires("7d");"#,
            ],
            0,
        ),
        plugin(
            chaos("SimulateSlowBrokerPlugin"),
            json!({ "rateInPercent": 100, "minLatencyMs": 50, "maxLatencyMs": 1200 }),
            vec![
                r#"on_produce().named("mine").delay(uniform("50ms", "1200ms")).expires("7d");"#,
                r#"on_fetch().named("mine 2").delay(uniform("50ms", "1200ms")).expires("7d");"#,
            ],
            0,
        ),
        plugin(
            chaos("SimulateSlowProducersConsumersPlugin"),
            json!({ "topic": "slow-.*", "rateInPercent": 50, "minLatencyMs": 50, "maxLatencyMs": 50 }),
            vec![
                r#"on_produce("slow-*").named("mine").chance(0.5).delay("50ms").expires("7d");"#,
                r#"on_fetch("slow-*").named("mine 2").chance(0.5).delay("50ms").expires("7d");"#,
            ],
            0,
        ),
        plugin(
            chaos("SimulateLatencyPlugin"),
            json!({ "appliedPercentage": 10, "latencyMs": 1000 }),
            vec![r#"on_request("*").named("mine").chance(0.1).delay("1000ms").expires("7d");"#],
            0,
        ),
        plugin(
            chaos("SimulateLeaderElectionsErrorsPlugin"),
            json!({ "rateInPercent": 50 }),
            vec![
                r#"on_produce().named("mine").chance(0.5).fail("NOT_LEADER_OR_FOLLOWER").expires("7d");"#,
                r#"on_fetch().named("mine 2").chance(0.5).fail("NOT_LEADER_OR_FOLLOWER").expires("7d");"#,
            ],
            0,
        ),
        plugin(
            chaos("SimulateInvalidSchemaIdPlugin"),
            json!({ "topic": "topic.*", "invalidSchemaId": 9999, "target": "PRODUCE" }),
            vec![r#"on_produce("topic*").named("mine").poison("schema_id", 9999).expires("7d");"#],
            0,
        ),
        plugin(
            chaos("DuplicateMessagesPlugin"),
            json!({ "topic": "client_topic_.*", "rateInPercent": 100, "target": "PRODUCE" }),
            vec![r#"on_produce("client_topic_*").named("mine").duplicate_records().expires("7d");"#],
            0,
        ),
        plugin(
            chaos("ProduceSimulateMessageCorruptionPlugin"),
            json!({ "topic": "a\\.b", "sizeInBytes": 100 }),
            vec![r#"on_produce("a.b").named("mine").poison("random_bytes", 100).expires("7d");"#],
            0,
        ),
        plugin(
            chaos("FetchSimulateMessageCorruptionPlugin"),
            json!({ "rateInPercent": 1 }),
            vec![r#"on_fetch().named("mine").chance(0.01).poison("random_bytes", 10).expires("7d");"#],
            0,
        ),
        plugin(
            plain("FieldLevelDataMaskingPlugin"),
            json!({ "topic": "^(customers|orders)$", "errorPolicy": "skip_masking", "policies": [
                { "name": "Mask password", "rule": { "type": "MASK_ALL" }, "fields": ["password", "banks[*].account-no"] },
                { "name": "Mask visa", "rule": { "type": "MASK_LAST_N", "maskingChar": "X", "numberOfChars": 4 }, "fields": ["a.visa"] },
            ] }),
            vec![
                r#"on_fetch("customers", "orders").named("mine").mask("$.password", "all").on_unparsable("pass");"#,
                r#"on_fetch("customers", "orders").named("mine 2").mask("$.banks[*]['account-no']", "all").on_unparsable("pass");"#,
                r#"on_fetch("customers", "orders").named("mine 3").mask("$.a.visa", pattern("(?s).{1,4}$", "XXXX")).on_unparsable("pass");"#,
            ],
            0,
        ),
        plugin(
            plain("EncryptPlugin"),
            json!({ "topic": ".*", "recordValue": { "fields": [
                { "fieldName": "password", "keySecretId": "secret-1", "algorithm": "AES256_GCM" },
            ] } }),
            vec![r#"on_produce().named("mine").encrypt("$.password", secret("secret-1"));"#],
            0,
        ),
        plugin(
            plain("DynamicHeaderInjectionPlugin"),
            json!({ "topic": "t", "headers": { "X-IP": "{{userIp}} {x}" } }),
            vec![r#"on_produce("t").named("mine").header("!X-IP").set_header("X-IP", "{ip} {{x}}");"#],
            0,
        ),
        plugin(
            guard("MessageHeaderRemovalPlugin"),
            json!({ "topic": "topic-.*", "headerKeyRegex": "headerKey.*" }),
            vec![r#"on_fetch("topic-*").named("mine").remove_header("headerKey*");"#],
            0,
        ),
        plugin(
            guard("CreateTopicPolicyPlugin"),
            json!({
                "topic": "team-.*",
                "namingConvention": { "value": "team-[a-z]+" },
                "numPartition": { "min": 1, "max": 5, "action": "BLOCK" },
                "replicationFactor": { "min": 2, "max": 4, "action": "INFO" },
                "retentionMs": { "min": 10, "max": 100 },
                "cleanupPolicy": { "values": ["delete"] },
            }),
            vec![
                r#"on_create("team-*").named("mine").limit(#{ partitions: 1..=5 });"#,
                r#"on_create("team-*").named("mine 2").observe().limit(#{ replication: 2..=4 });"#,
                r#"on_create("team-*").named("mine 3").limit(#{ names: "/team-[a-z]+/" });"#,
                r#"on_create("team-*").named("mine 4").limit(#{ configs: #{ "retention.ms": ">= 10" } });"#,
                r#"on_create("team-*").named("mine 5").limit(#{ configs: #{ "retention.ms": "<= 100" } });"#,
                r#"on_create("team-*").named("mine 6").limit(#{ configs: #{ "cleanup.policy": ["delete"] } });"#,
            ],
            0,
        ),
        plugin(
            guard("AlterTopicConfigPolicyPlugin"),
            json!({ "uncleanLeaderElectionEnable": { "value": false } }),
            vec![
                r#"on_create().named("mine").limit(#{ configs: #{ "unclean.leader.election.enable": ["false"] } });"#,
            ],
            0,
        ),
        plugin(
            guard("ProducePolicyPlugin"),
            json!({ "topic": "t", "recordHeaderRequired": { "value": true }, "transactionRequired": { "value": true, "action": "INFO" },
                    "version": { "min": 3, "max": 11 } }),
            vec![
                r#"on_produce("t").named("mine").require_header("*");"#,
                r#"on_produce("t").named("mine 2").observe().when(|cx| cx.transactional_id == () || cx.transactional_id == "").deny("Transactions are required");"#,
                r#"on_produce("t").named("mine 3").when(|cx| cx.version < 3 || cx.version > 11).deny("This version of Produce is not allowed");"#,
            ],
            0,
        ),
        plugin(
            guard("TopicRequiredSchemaIdPolicyPlugin"),
            json!({ "topic": "t", "schemaIdRequired": true }),
            vec![
                r#"on_produce("t").named("mine").each(|cx, record| { if !(record.value() != () && record.value().starts_with("\x00")) { cx.deny("SchemaId is required"); } });"#,
            ],
            0,
        ),
        plugin(
            guard("ClientIdRequiredPolicyPlugin"),
            json!({ "namingConvention": "clientId-.*", "action": "BLOCK" }),
            vec![
                r#"on_request("*").named("mine").when(|cx| !(cx.client_id.starts_with("clientId-"))).deny("The client id is not allowed");"#,
            ],
            0,
        ),
        plugin(
            guard("ConsumerGroupPolicyPlugin"),
            json!({ "groupId": { "value": "group.*|other", "action": "BLOCK" } }),
            vec![
                r#"on_request("JoinGroup", "ConsumerGroupHeartbeat").named("mine").group("!group*", "!other").deny("The group id is not allowed");"#,
            ],
            0,
        ),
        plugin(
            guard("ProducerRateLimitingPolicyPlugin"),
            json!({ "maximumBytesPerSecond": 500, "action": "BLOCK" }),
            vec![r#"on_produce().named("mine").quota("500B/s", "principal");"#],
            0,
        ),
        plugin(
            guard("ReadOnlyTopicPolicyPlugin"),
            json!({ "topic": "t" }),
            vec![
                r#"on_produce("t").named("mine").deny("The topic is read-only");"#,
                r#"on_request("DeleteTopics", "AlterConfigs", "AlterPartitionReassignments", "CreatePartitions", "IncrementalAlterConfigs", "DeleteRecords", "ElectLeaders", "AlterReplicaLogDirs").named("mine 2").topic("t").deny("The topic is read-only");"#,
            ],
            0,
        ),
    ]
}

#[test]
fn every_plugin_becomes_the_equal_rules() {
    for (class, config, wanted, lost) in plugins() {
        let (found, notes) = rules(&class, config.clone());
        assert_eq!(found, wanted, "{class}: {notes:?}");
        let imported = imported(&one(&class, config));
        assert_eq!(imported.lost(), lost, "{class}: {notes:?}");
        passes(&imported.script());
        for script in imported.scripts() {
            assert_eq!(script.file.to_str(), Some("001-mine.rhai"));
            passes(&script.text);
        }
    }
}

#[test]
fn what_comes_out_does_what_the_plugin_does() {
    let tried = |class: &str, config: Value, test: &str| {
        let script = imported(&one(class, config)).script();
        let text = format!("{script}\ntest(\"x\", || {{ {test} }});");
        let script = Script { file: "p.rhai".into(), text: text.into() };
        let report = testing::run(&[script], &Secrets::made_up(), &Default::default())
            .unwrap_or_else(|errors| panic!("{}", errors[0]));
        let failure = report.outcomes[0].failure.as_ref();
        assert!(failure.is_none(), "{class}: {}", failure.unwrap());
    };
    tried(
        "FieldLevelDataMaskingPlugin",
        json!({ "policies": [
            { "rule": { "type": "MASK_LAST_N", "maskingChar": "$", "numberOfChars": 4 }, "fields": ["visa"] },
            { "rule": { "type": "MASK_FIRST_N", "numberOfChars": 2 }, "fields": ["name"] },
            { "rule": { "type": "MASK_ALL", "maskingChar": "~" }, "fields": ["pin"] },
        ] }),
        r##"let seen = fetched("t", `{"visa":"41111111","name":"Adele","pin":"123"}`);
           expect(seen.value("$.visa")).to_equal("4111$$$$");
           expect(seen.value("$.name")).to_equal("**ele");
           expect(seen.value("$.pin")).to_equal("~~~");"##,
    );
    tried(
        "TopicRequiredSchemaIdPolicyPlugin",
        json!({ "schemaIdRequired": true }),
        r#"expect(produced("t", "\x00\x00\x00\x00\x01{}")).to_pass();
           expect(produced("t", "{}")).to_be_denied();
           expect(produced("t", ())).to_be_denied();"#,
    );
    tried(
        "ClientIdRequiredPolicyPlugin",
        json!({ "namingConvention": "app-.*|.*-tool" }),
        r#"expect(requested("Metadata", #{ topic: "t", client_id: "app-1" })).to_pass();
           expect(requested("Metadata", #{ topic: "t", client_id: "a-tool" })).to_pass();
           expect(requested("Metadata", #{ topic: "t", client_id: "x" })).to_be_denied();"#,
    );
    tried(
        "ConsumerGroupPolicyPlugin",
        json!({ "groupId": { "value": "my-.*" } }),
        r#"expect(requested("JoinGroup", #{ group: "my-1" })).to_pass();
           expect(requested("JoinGroup", #{ group: "x" })).to_be_denied();"#,
    );
    tried(
        "ProducePolicyPlugin",
        json!({ "transactionRequired": { "value": true }, "recordHeaderRequired": { "value": true } }),
        r#"expect(produced("t", "1", #{ headers: #{ a: "b" } })).to_be_denied();
           expect(produced("t", "1", #{ transactional_id: "x" })).to_be_denied();
           expect(produced("t", "1", #{ transactional_id: "x", headers: #{ a: "b" } })).to_pass();"#,
    );
    tried(
        "DynamicHeaderInjectionPlugin",
        json!({ "headers": { "X-IP": "from {{userIp}}" } }),
        r#"expect(produced("t", "1", #{ ip: "10.1.2.3" }).header("X-IP")).to_equal("from 10.1.2.3");
           expect(produced("t", "1", #{ headers: #{ "X-IP": "mine" } }).header("X-IP")).to_equal("mine");"#,
    );
}

#[test]
fn what_has_no_equal_is_said_with_its_place() {
    let says = |class: &str, config: Value, what: &str| {
        let (_, notes) = rules(class, config);
        assert!(
            notes.iter().any(|note| note.starts_with("no equal: ") && note.contains(what)),
            "{class}: {notes:?}"
        );
    };
    says(
        "SimulateBrokenBrokersPlugin",
        json!({ "rateInPercent": 10, "speed": 3 }),
        "$.spec.config.speed: this field",
    );
    says(
        "SimulateBrokenBrokersPlugin",
        json!({ "rateInPercent": 101 }),
        "rateInPercent: a number from 0 to 100",
    );
    says("SimulateBrokenBrokersPlugin", json!({ "errorMap": { "PRODUCE": "NO_SUCH" } }), "does not load");
    says("SimulateSlowBrokerPlugin", json!({ "minLatencyMs": 5, "maxLatencyMs": 1 }), "below `minLatencyMs`");
    says("SimulateSlowProducersConsumersPlugin", json!({ "topic": "[ab].*" }), "has no equal among globs");
    says("DuplicateMessagesPlugin", json!({}), "config.target: clients leave out");
    says(
        "FieldLevelDataMaskingPlugin",
        json!({ "schemaRegistryConfig": {}, "policies": [] }),
        "no schema registry",
    );
    says(
        "FieldLevelDataMaskingPlugin",
        json!({ "policies": [{ "rule": { "type": "HIDE" }, "fields": ["a"] }] }),
        "policies[0].rule.type",
    );
    says(
        "EncryptPlugin",
        json!({ "kmsConfig": {}, "recordValue": { "fields": [{ "fieldName": "a", "keySecretId": "k-{{record.key}}" }] } }),
        "fields[0].keySecretId",
    );
    says("DecryptPlugin", json!({ "topic": "t" }), "it names no key");
    says(
        "CreateTopicPolicyPlugin",
        json!({ "numPartition": { "max": 3, "action": "OVERRIDE", "overrideValue": 3 } }),
        "numPartition.action",
    );
    says("ProducePolicyPlugin", json!({ "acks": { "value": [-1] } }), "config.acks");
    says("VirtualSqlTopicPlugin", json!({ "statement": "SELECT" }), "there is no SQL");
    says("NobodyKnowsPlugin", json!({}), "$.spec.pluginClass: NobodyKnowsPlugin: this plugin is not known");
    says("SimulateLatencyPlugin", json!([1]), "a configuration is an object");

    let scoped = |scope: Value| {
        let mut value = one("SimulateLatencyPlugin", json!({ "latencyMs": 5 }));
        value["metadata"]["scope"] = scope;
        let imported = imported(&value);
        (imported.script(), imported.lost())
    };
    let (script, lost) = scoped(json!({ "username": "ada*", "vCluster": "passthrough", "group": null }));
    assert!(script.contains(r#".principal("User:ada\\*")"#) && lost == 0, "{script}");
    let (script, lost) = scoped(json!({ "group": "g" }));
    assert!(!script.contains("\non_request") && lost == 1, "who is not meant must not be met:\n{script}");
}

#[test]
fn several_interceptors_keep_their_order() {
    let mut second = one("SimulateLatencyPlugin", json!({ "latencyMs": 2 }));
    second["spec"]["priority"] = json!(7);
    let first = json!({ "name": "old", "pluginClass": "SimulateLatencyPlugin", "priority": 1, "config": { "latencyMs": 1 } });
    let third = one("SimulateLatencyPlugin", json!({ "latencyMs": 3 }));
    let times = |script: &str| -> Vec<String> {
        script.split("delay(\"").skip(1).map(|rest| rest[..1].to_owned()).collect()
    };
    let list = Value::from(vec![third.clone(), second.clone(), first.clone()]);
    let imported = imported(&list);
    assert_eq!(times(&imported.script()), ["1", "2", "3"]);
    passes(&imported.script());
    let files: Vec<_> = imported.scripts().into_iter().map(|script| script.file).collect();
    assert_eq!(files.len(), 3);
    assert!(files.iter().all(|file| files.iter().filter(|other| *other == file).count() == 1), "{files:?}");
    // one after the other, as a tool prints them
    let documents = format!("{third}\n{second} {first}");
    assert_eq!(times(&import(&documents).unwrap().script()), ["1", "2", "3"]);
    assert!(matches!(import(""), Err(ImportError::Nothing)));
    assert!(matches!(import("{\"kind\":"), Err(ImportError::Json(_))));
    assert!(matches!(import(&Value::from(vec![json!(1); 501]).to_string()), Err(ImportError::TooMany)));
    let named = |name: &str| json!({ "name": name, "pluginClass": "SimulateLatencyPlugin", "config": {} });
    let clashing = Value::from(vec![named("a"), named("a"), named("a-2"), named("a")]);
    let files = import(&clashing.to_string()).unwrap().scripts();
    let files: Vec<_> = files.iter().map(|script| script.file.to_str().unwrap()).collect();
    assert_eq!(files, ["001-a.rhai", "002-a-2.rhai", "003-a-2-2.rhai", "004-a-3.rhai"]);
    let prior = |name: &str, priority: Value| json!({ "name": name, "pluginClass": "SimulateLatencyPlugin", "priority": priority, "config": {} });
    let list =
        [prior("a", json!(1_000)), prior("m", json!("20")), prior("z", json!(3)), prior("b", json!("soon"))];
    let imported = import(&Value::from(list.to_vec()).to_string()).unwrap();
    let mut files: Vec<_> = imported.scripts().into_iter().map(|script| script.file).collect();
    files.sort();
    let files: Vec<_> = files.iter().map(|file| file.to_str().unwrap()).collect();
    assert_eq!(files, ["001-z.rhai", "002-m.rhai", "003-a.rhai", "004-b.rhai"], "as a folder is loaded");
    assert_eq!(imported.lost(), 1, "{:?}", imported.notes);
    assert_eq!(imported.notes[0].path, "$[3].priority");
    let other = import("[1, {\"kind\":\"GatewayGroup\"}, {}]").unwrap();
    assert_eq!(other.lost(), 3);
    passes(&other.script());
}

#[test]
fn regular_expressions_become_globs_that_match_the_same() {
    let globs = |regex| text::globs(regex).map(|globs| globs.join(" "));
    for (regex, wanted) in [
        (".*", Some("*")),
        ("^a-.*$", Some("a-*")),
        ("a\\.b", Some("a.b")),
        ("a.b", Some("a?b")),
        ("a.+", Some("a?*")),
        ("(a|b)-(?:c|d)", Some("a-c a-d b-c b-d")),
        ("a|b.*", Some("a b*")),
        ("!x", Some("\\!x")),
        ("a\\*", Some("a\\*")),
        ("", None),
        ("a?", None),
        ("[ab]", None),
        ("\\d", None),
        ("(ab)+", None),
        ("(a", None),
        ("a)", None),
        ("a$b", None),
        ("a\\$", Some("a$")),
        ("(?i)a", None),
    ] {
        assert_eq!(globs(regex).as_deref(), wanted, "{regex}");
    }
}

/// Texts that would end a literal, a comment or a statement, if they could.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("\"".to_owned()),
        Just("\\".to_owned()),
        Just("\n".to_owned()),
        Just("\r".to_owned()),
        Just("\u{2028}".to_owned()),
        Just("\u{0}".to_owned()),
        Just("`".to_owned()),
        Just("${".to_owned()),
        Just("*/".to_owned()),
        Just("//".to_owned()),
        Just("'".to_owned()),
        Just("); on_produce(\"pwned\").deny(); (".to_owned()),
        Just("\\\"); default_deny(); //".to_owned()),
        any::<char>().prop_map(|c| c.to_string()),
        "[a-z.*|()]{1,8}",
    ];
    proptest::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
}

/// Every text in a value replaced, keys too.
fn poisoned(value: &Value, text: &str, keys: bool) -> Value {
    match value {
        Value::String(old) if old.starts_with("io.") => value.clone(),
        Value::String(_) => text.into(),
        Value::Array(list) => list.iter().map(|one| poisoned(one, text, keys)).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, one)| (if keys { text.to_owned() } else { key.clone() }, poisoned(one, text, keys)))
            .collect(),
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever texts are in it, what comes out loads, and every rule in it is one of the plugin's, with nothing of the text's own.
    #[test]
    fn no_text_becomes_script(text in hostile(), keys in any::<bool>()) {
        for (class, config, wanted, _) in plugins() {
            let mut value = one(&class, poisoned(&config, &text, keys));
            value["metadata"]["name"] = text.as_str().into();
            value["metadata"]["scope"] = json!({ "username": text.as_str() });
            let imported = imported(&value);
            let around = Surroundings { state: StateStore::new(Clock::manual()), secrets: Secrets::made_up(), schemas: Default::default() };
            for script in imported.scripts().into_iter().map(|script| script.text.to_string()).chain([imported.script()]) {
                let policy = script::read("p.rhai".as_ref(), &script.as_str().into(), &around);
                let policy = policy.map_err(|error| TestCaseError::fail(format!("{error}\n{script}")))?;
                let written = script.lines().filter(|line| line.starts_with("on_")).count();
                prop_assert_eq!(policy.rules.len(), written);
                prop_assert!(policy.default_deny.is_none() && policy.rules.len() <= 2 * wanted.len());
                // a line is a comment, a rule, the policy's name, or empty
                prop_assert!(script.lines().all(|line| line.is_empty()
                    || line.starts_with("// ") || line.starts_with("on_") || line.starts_with("policy(")));
            }
        }
    }

    #[test]
    fn a_literal_is_the_text(text in hostile()) {
        let script = format!("on_produce().named(\"n\").deny({});", text::literal(&text));
        let around = Surroundings { state: StateStore::new(Clock::manual()), secrets: Secrets::made_up(), schemas: Default::default() };
        let policy = script::read("p.rhai".as_ref(), &script.as_str().into(), &around).unwrap();
        let action = &policy.rules[0].spec.actions[0];
        prop_assert_eq!(action, &crate::policy::rule::Action::Deny(Some(text)));
    }
}

#[test]
fn what_is_wanted_of_producers_is_true_or_false() {
    let of = |field: &str, value: Value| {
        rules(
            &format!("{GUARD}ProducePolicyPlugin"),
            json!({ "topic": "orders", field: { "value": value, "action": "BLOCK" } }),
        )
    };
    for (field, value, rule) in [
        ("recordHeaderRequired", true, ".require_header(\"*\")"),
        ("recordHeaderRequired", false, ".header(\"*\").deny(\"Headers are not allowed\")"),
        ("transactionRequired", true, ".deny(\"Transactions are required\")"),
        ("transactionRequired", false, ".deny(\"Transactions are not allowed\")"),
    ] {
        let (rules, notes) = of(field, json!(value));
        assert!(rules.len() == 1 && rules[0].contains(rule), "{field} {value}: {rules:?}");
        assert!(notes.is_empty(), "{notes:?}");
    }
    for field in ["recordHeaderRequired", "transactionRequired"] {
        let (rules, notes) = of(field, json!("yes"));
        assert!(rules.is_empty(), "{rules:?}");
        assert!(notes.iter().any(|note| note.contains("it is true or false")), "{notes:?}");
    }
}

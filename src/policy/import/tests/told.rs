//! What cannot be read as it is meant: it is told, and nobody else is met.

use super::*;

/// Bytes that a text may have.
const TEXT: usize = 1_000;

/// Every place in a value.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, one)| places(one, &format!("{at}/{key}"), all))
        }
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(n, one)| places(one, &format!("{at}/{n}"), all));
        }
        _ => {}
    }
}

/// A value as another type of JSON has it.
fn retyped(value: &Value) -> Vec<Value> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let all =
        [json!(text), json!("many"), json!(7), json!(true), json!([value]), json!({ "x": value }), json!({})];
    all.into_iter().filter(|other| std::mem::discriminant(other) != std::mem::discriminant(value)).collect()
}

#[test]
fn no_field_of_another_type_takes_protection_away_in_silence() {
    for (class, config, wanted, _) in plugins() {
        let mut all = Vec::new();
        places(&config, "", &mut all);
        for place in all {
            let old = config.pointer(&place).unwrap();
            for new in retyped(old) {
                let mut changed = config.clone();
                *changed.pointer_mut(&place).unwrap() = new.clone();
                let (found, notes) = rules(&class, changed);
                let lost = notes.iter().any(|note| note.starts_with("no equal: "));
                assert!(lost || found == wanted, "{class}: {place} as {new}: {found:?} {notes:?}");
            }
        }
    }
}

#[test]
fn what_makes_no_rule_is_told_and_numbers_may_be_texts() {
    let lone = |class: &str, config: Value| {
        let (found, notes) = rules(class, config);
        assert_eq!(found.len(), 1, "{class}: {notes:?}");
        (found[0].clone(), notes)
    };
    let (rule, notes) = lone("CreateTopicPolicyPlugin", json!({ "retentionMs": { "max": "86400000" } }));
    assert!(rule.contains(r#""retention.ms": "<= 86400000""#), "{rule}");
    assert!(
        notes.iter().any(|note| note.starts_with("differs: $.spec.config.retentionMs.max: -1")),
        "{notes:?}"
    );
    let (_, notes) = lone("CreateTopicPolicyPlugin", json!({ "retentionMs": { "min": 1 } }));
    assert!(
        notes.iter().any(|note| note.starts_with("differs: $.spec.config.retentionMs.min: -1")),
        "{notes:?}"
    );
    let (rule, _) = lone("CreateTopicPolicyPlugin", json!({ "numPartition": { "max": "5" } }));
    assert!(rule.contains("partitions: 1..=5"), "{rule}");
    let (rule, _) = lone("ProducePolicyPlugin", json!({ "version": { "min": "3" } }));
    assert!(rule.contains("cx.version < 3)"), "{rule}");

    let encrypted = |value: Value| json!({ "recordValue": value });
    let field = json!({ "fieldName": "a", "keySecretId": "k" });
    for (class, config) in [
        ("CreateTopicPolicyPlugin", json!({ "retentionMs": { "max": "1 day" } })),
        ("CreateTopicPolicyPlugin", json!({ "numPartition": { "max": 2.5 } })),
        ("CreateTopicPolicyPlugin", json!({ "numPartition": { "value": 5 } })),
        ("CreateTopicPolicyPlugin", json!({})),
        ("ProducePolicyPlugin", json!({ "version": { "max": 1_001 } })),
        ("EncryptPlugin", encrypted(json!({ "fields": field }))),
        ("EncryptPlugin", encrypted(json!({ "payload": "k" }))),
        ("EncryptPlugin", json!({ "topic": "t" })),
        ("DynamicHeaderInjectionPlugin", json!({ "headers": [{ "a": "b" }] })),
        ("FieldLevelDataMaskingPlugin", json!({ "topic": "t" })),
        ("ReadOnlyTopicPolicyPlugin", json!("t")),
    ] {
        let (found, notes) = rules(class, config.clone());
        assert!(found.is_empty(), "{class} {config}: {found:?}");
        assert!(notes.iter().any(|note| note.starts_with("no equal: ")), "{class} {config}: {notes:?}");
    }
    let policy = json!({ "rule": {}, "fields": ["a"], "schemaRegistryConfig": { "host": "x" } });
    let (_, notes) = lone("FieldLevelDataMaskingPlugin", json!({ "policies": [policy] }));
    assert!(notes[0].starts_with("no equal: $.spec.config.policies[0].schemaRegistryConfig: "), "{notes:?}");
    // what does nothing there has its equal in no rule
    for (class, config) in [
        ("SimulateLatencyPlugin", json!({ "appliedPercentage": 0 })),
        ("ConsumerGroupPolicyPlugin", json!({ "groupId": { "value": ".*" } })),
    ] {
        assert_eq!(rules(class, config), (vec![], vec![]), "{class}");
    }
}

#[test]
fn a_scope_that_cannot_be_read_meets_nobody() {
    let with = |at: &str, scope: Value| {
        let mut value = one("ReadOnlyTopicPolicyPlugin", json!({ "topic": "t" }));
        match at {
            "" => value["scope"] = scope,
            "metadata" => value["metadata"] = scope,
            at => value[at]["scope"] = scope,
        }
        value
    };
    let ada = json!({ "username": "ada" });
    let (mut both, mut old) = (with("spec", json!(null)), with("spec", json!(null)));
    (both["metadata"]["scope"], both["spec"]["scope"]) = (ada.clone(), ada.clone());
    old["spec"]["username"] = json!("ada");
    for value in [
        with("spec", json!("team-a")),
        with("spec", json!([ada])),
        with("", json!(7)),
        with("", json!({ "group": "g" })),
        with("metadata", json!([{ "scope": ada }])),
        with("metadata", json!({ "username": "ada" })),
        with("metadata", json!({ "scope": "ada" })),
        both,
        old,
    ] {
        let imported = imported(&value);
        assert!(
            !imported.script().contains("\non_") && imported.lost() > 0,
            "{value}:\n{}",
            imported.script()
        );
    }
    for at in ["", "spec"] {
        let imported = imported(&with(at, ada.clone()));
        assert_eq!(
            (imported.script().matches(".principal(\"User:ada\")").count(), imported.lost()),
            (2, 0),
            "{at}"
        );
    }
}

#[test]
fn a_name_that_repeats_with_another_scope_is_told() {
    let named = |scope: Value| json!({ "name": "a", "scope": scope, "pluginClass": "SimulateLatencyPlugin", "config": { "latencyMs": 5 } });
    let notes = |list: Vec<Value>| import(&Value::from(list).to_string()).unwrap().notes;
    let found = notes(vec![named(json!(null)), named(json!({ "username": "ada" }))]);
    assert_eq!((found.len(), found[0].path.as_str(), found[0].lost), (1, "$[1]", false), "{found:?}");
    assert!(found[0].what.contains("with another scope"), "{found:?}");
    assert_eq!(notes(vec![named(json!({})), named(json!({ "group": null }))]), []);
}

/// What is told of one plugin, each in a line.
fn told(class: &str, config: Value) -> String {
    rules(class, config).1.join("\n")
}

#[test]
fn what_masks_and_keys_cannot_say_is_told() {
    let masking = format!("{PLAIN}FieldLevelDataMaskingPlugin");
    let mask = |rule: Value| {
        told(&masking, json!({ "topic": "t", "policies": [{ "rule": rule, "fields": ["a"] }] }))
    };
    let two = mask(json!({ "type": "MASK_ALL", "maskingChar": "ab" }));
    assert!(two.contains("policies[0].rule.maskingChar: one character is wanted, not \"ab\""), "{two}");
    assert_eq!(mask(json!({ "type": "MASK_ALL", "maskingChar": "a" })), "");
    let unknown = mask(json!({ "type": "MASK_ALL", "depth": 3 }));
    assert!(unknown.contains("policies[0].rule.depth: this field is not known"), "{unknown}");

    let encrypting = format!("{PLAIN}EncryptPlugin");
    let encrypt = |more: Value, field: Value| {
        let mut config = json!({ "topic": "t", "recordValue": { "fields": [field] } });
        config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        told(&encrypting, config)
    };
    let field =
        |key: &str, algorithm: &str| json!({ "fieldName": "a", "keySecretId": key, "algorithm": algorithm });
    assert_eq!(encrypt(json!({}), field("k", "AES256_GCM")), "");
    assert!(
        encrypt(json!({}), field("k", "AES128_GCM")).contains("it is AES256_GCM here, not \"AES128_GCM\"")
    );
    assert!(
        !encrypt(json!({}), field(&"k".repeat(200), "AES256_GCM")).contains("the name of a key is wanted")
    );
    assert!(
        encrypt(json!({}), field(&"k".repeat(201), "AES256_GCM")).contains("the name of a key is wanted")
    );
    assert_eq!(encrypt(json!({ "externalStorage": false }), field("k", "AES256_GCM")), "");
    for (field_of, why) in [
        (json!({ "externalStorage": true }), "the key's name stands with what is encrypted"),
        (json!({ "kmsConfig": { "vault": {} } }), "keys come from files or the environment"),
        (json!({ "recordKey": { "fields": [] } }), "keys choose partitions"),
    ] {
        let notes = encrypt(field_of, field("k", "AES256_GCM"));
        assert!(notes.contains(why), "{notes}");
    }
}

#[test]
fn what_guards_cannot_say_is_told() {
    let groups = format!("{GUARD}ConsumerGroupPolicyPlugin");
    let of_groups = told(&groups, json!({ "groupId": { "value": "a-.*", "action": "BLOCK", "kind": 1 } }));
    assert!(of_groups.contains("groupId.kind: this field is not known"), "{of_groups}");
    assert!(
        !of_groups.contains("groupId.value: this") && !of_groups.contains("groupId.action: this"),
        "{of_groups}"
    );

    let schema_id = format!("{GUARD}TopicRequiredSchemaIdPolicyPlugin");
    let (found, _) = rules(&schema_id, json!({ "topic": "t", "schemaIdRequired": false }));
    assert!(found.len() == 1 && found[0].contains("SchemaId is not allowed"), "{found:?}");

    let topics = format!("{GUARD}CreateTopicPolicyPlugin");
    let however = "it holds however a topic is made";
    let unlimited = "-1, without limit";
    for (config, differs, says_unlimited) in [
        (json!({}), false, false),
        (json!({ "numPartition": { "min": 1 } }), true, false),
        (json!({ "segmentMs": { "min": 1 } }), true, false),
        (json!({ "retentionMs": { "min": 1 } }), true, true),
        (json!({ "retentionMs": { "min": 1, "max": 5 } }), true, false),
    ] {
        let notes = told(&topics, config.clone());
        assert_eq!(
            (notes.contains(however), notes.contains(unlimited)),
            (differs, says_unlimited),
            "{config}: {notes}"
        );
    }
    let named = |length: usize| told(&topics, json!({ "namingConvention": { "value": "a".repeat(length) } }));
    assert!(!named(900).contains("a regular expression is wanted"));
    assert!(named(901).contains("namingConvention.value: a regular expression is wanted"));
}

#[test]
fn for_whom_it_is_is_told_when_it_cannot_be_said() {
    let scoped = |scope: Value| {
        let mut value = one(
            &format!("{PLAIN}EncryptPlugin"),
            json!({ "recordValue": { "payload": { "keySecretId": "k" } } }),
        );
        value["metadata"]["scope"] = scope;
        let imported = imported(&value);
        let notes: Vec<String> = imported.notes.iter().map(ToString::to_string).collect();
        (imported.script().contains(".encrypt("), notes.join("\n"))
    };
    assert_eq!(scoped(json!({ "vCluster": "passthrough" })), (true, String::new()));
    for scope in [json!({ "vCluster": "tenant" }), json!({ "username": "u".repeat(TEXT + 1) })] {
        let (rule, notes) = scoped(scope);
        assert!(
            !rule && notes.ends_with("there are no such scopes; name principals with .principal(…)"),
            "{notes}"
        );
    }
    assert!(scoped(json!({ "username": "u".repeat(TEXT) })).1.is_empty());
}

#[test]
fn so_many_interceptors_are_read() {
    let list = |count: usize| Value::Array(vec![json!({}); count]).to_string();
    assert_eq!(import(&list(INTERCEPTORS)).unwrap().notes.len(), INTERCEPTORS);
    assert!(matches!(import(&list(INTERCEPTORS + 1)), Err(ImportError::TooMany)));
}

#[test]
fn a_number_in_a_text_is_nothing_but_digits() {
    use super::super::sheet::number;
    for (text, value) in [
        ("7", Some(7.0)),
        ("-7", Some(-7.0)),
        ("123456789012345678", Some(123456789012345678.0)),
        ("1234567890123456789", None),
        ("1.5", None),
        ("1e3", None),
        ("", None),
        ("-", None),
    ] {
        assert_eq!(number(&json!(text)), value, "{text}");
    }
}

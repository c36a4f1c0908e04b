//! What words take at their bounds, and how errors show what they got.

use super::*;

/// How a rule is called that has no name: all that it says.
fn said(text: &str) -> String {
    load(text).unwrap_or_else(|error| panic!("{text}: {error}")).rules.remove(0).name
}

#[test]
fn errors_show_what_they_got() {
    for (value, shown) in [
        ("()", "not ()"),
        ("5", "not 5"),
        ("1.5", "not 1.5"),
        ("true", "not true"),
        ("[1]", "not a list"),
        ("#{ a: 1 }", "not a map"),
        ("|x| x", "not a closure"),
        ("secret(\"a\")", "not a value of type SecretName"),
    ] {
        let error = refused(&format!("secret({value});"));
        assert!(error.ends_with(&format!("`secret` wants a text, {shown}")), "{error}");
    }
    let text = |length: usize| refused(&format!("on_produce().chance(\"{}\").deny();", "x".repeat(length)));
    assert!(text(40).ends_with(&format!("not the text \"{}\"", "x".repeat(40))), "{}", text(40));
    assert!(text(41).ends_with(&format!("not the text \"{}…\"", "x".repeat(40))), "{}", text(41));
}

#[test]
fn names_and_patterns_have_a_length() {
    let x = |length: usize| "x".repeat(length);
    for (text, says) in [
        ("on_fetch().named(\"NAME\").deny();", "a rule's name has at most 100 bytes"),
        ("policy(\"NAME\");", "is not a name for a policy"),
        ("window(\"NAME\", \"1s\");", "a window has a name of at most 100 bytes"),
    ] {
        load(&text.replace("NAME", &x(100))).unwrap();
        for name in [x(101), x(102), String::new()] {
            assert_refused(&text.replace("NAME", &name), &refused_at(text), says);
        }
    }
    load(&format!("on_fetch(\"{}\").deny();", x(1_024))).unwrap();
    assert!(refused(&format!("on_fetch(\"{}\").deny();", x(1_025))).contains("longer than 1024 bytes"));
    assert!(refused("on_produce().remove_header([]);").contains("wants at least one text"));
    let script = |length: usize| format!("//{}", x(length - 2));
    load(&script(SCRIPT_BYTES)).unwrap();
    let error = load(&script(SCRIPT_BYTES + 1)).unwrap_err();
    assert!(error.message.contains("longer than"), "{error}");
}

/// Where the word is that takes the name.
fn refused_at(text: &str) -> String {
    format!("1:{}", text.find(".named").map_or(1, |at| at + 2))
}

#[test]
fn times_and_numbers_have_bounds() {
    for (taken, refused_too, says) in [
        ("on_produce().pause(\"3600s\");", "on_produce().pause(\"3600001ms\");", "at most 3600s"),
        ("on_produce().pause(\"1ms\");", "on_produce().pause(\"0s\");", "more than nothing"),
        ("on_produce().throttle(\"3600s\");", "on_produce().throttle(\"3600001ms\");", "at most 3600s"),
        (
            "on_produce().hold_until(\"Fetch\", \"3600s\");",
            "on_produce().hold_until(\"Fetch\", \"3600001ms\");",
            "at most 3600s",
        ),
        ("on_connect().corrupt_bytes(0.1);", "on_connect().corrupt_bytes(0.0);", "a probability above 0"),
        ("on_connect().corrupt_bytes(1);", "on_connect().corrupt_bytes(1.0 / 0.0);", "wants a number"),
        (
            "on_request(\"Metadata\").wrong_address(\"h\", 65535);",
            "on_request(\"Metadata\").wrong_address(\"h\", 65536);",
            "a port up to 65535",
        ),
        ("let w = window(\"w\", \"1ms\");", "let w = window(\"w\", \"0s\");", "at least a millisecond"),
        (
            "on_produce().value(\"$.a\", \"> 1e3\").deny();",
            "on_produce().value(\"$.a\", \"> inf\").deny();",
            "which is not a number",
        ),
        (
            "on_produce().value(\"$.a\", ()).deny();",
            "on_produce().value(\"$.a\", [1]).deny();",
            "a number, true, false or (), not a list",
        ),
        (
            "on_produce().api_version(9, 11).delay(\"1s\");",
            "on_produce().api_version(\">= 9\", 11).delay(\"1s\");",
            "wants versions",
        ),
        (
            "on_produce().validate(schema(\"demo-visitor.avsc\", #{ framed: true, ids: 7 }));",
            "on_produce().validate(schema(\"demo-visitor.avsc\", #{ ids: 7 }));",
            "`framed: true` belongs to it",
        ),
        (
            "on_produce().validate(schema(\"demo-visitor.avsc\", #{ framed: true }));",
            "on_produce().validate(schema(\"demo-visitor.avsc\", #{ message: 5 }));",
            "wants the name of a message",
        ),
        (
            "on_produce().validate(schema(\"demo-visitor.avsc\", #{ framed: false }));",
            "on_produce().validate(schema(\"demo-visitor.avsc\", #{ message: \"A\" }));",
            "only a .proto file has messages",
        ),
        (
            "on_produce().delay(uniform(\"0s\", \"3600s\"));",
            "on_produce().delay(uniform(\"0s\", \"3601s\"));",
            "in order and at most",
        ),
        (
            "on_produce().delay(uniform(\"1s\", \"1s\"));",
            "on_produce().delay(uniform(\"2s\", \"1s\"));",
            "in order and at most",
        ),
        (
            "on_produce().delay(normal(\"3600s\", \"3600s\"));",
            "on_produce().delay(normal(\"3601s\", \"1s\"));",
            "times of at most",
        ),
        (
            "on_produce().delay(normal(\"1s\", \"0s\"));",
            "on_produce().delay(normal(\"1s\", \"3601s\"));",
            "times of at most",
        ),
        (
            "on_produce().delay(pareto(\"3600s\", 0.1));",
            "on_produce().delay(pareto(\"3601s\", 0.1));",
            "a shape above 0",
        ),
        (
            "on_produce().delay(pareto(\"1s\", 2));",
            "on_produce().delay(pareto(\"1s\", 0.0));",
            "a shape above 0",
        ),
        (
            "on_produce().encrypt(\"$\", secret(\"k\")).mask(\"$.email\", \"email\", schema(\"demo-visitor.avsc\"));",
            "on_produce().encrypt(\"$.a\", secret(\"k\")).mask(\"$.email\", \"email\", schema(\"demo-visitor.avsc\"));",
            "takes the value for something else",
        ),
        (
            "on_produce().encrypt(\"$.a\", secret(\"k\")).mask(\"$.email\", \"email\");",
            "on_produce().mask(\"$.email\", \"email\", schema(\"demo-visitor.avsc\")).encrypt(\"$.a\", secret(\"k\"));",
            "takes the value for something else",
        ),
        (
            "on_create().limit(#{ configs: #{ \"retention.ms\": \"<= 1e3\" } });",
            "on_create().limit(#{ configs: #{ \"retention.ms\": \"<= inf\" } });",
            "which is not a number",
        ),
        (
            "on_produce().poison(\"schema_id\", 2147483647);",
            "on_produce().poison(\"schema_id\", 2147483648);",
            "a schema's id is at most",
        ),
        ("on_produce().poison(\"bad_utf8\");", "on_produce().poison(\"bad_utf8\", 1);", "takes nothing more"),
    ] {
        load(taken).unwrap_or_else(|error| panic!("{taken}: {error}"));
        assert!(refused(refused_too).contains(says), "{refused_too}: {}", refused(refused_too));
    }
}

#[test]
fn what_is_left_out_is_what_it_is_without() {
    for (text, shown) in [
        ("on_produce().hold_until(\"Fetch\", \"5s\");", ".hold_until(Fetch, 5s)"),
        ("on_produce().hold_until(\"Fetch\", \"a*\", \"5s\");", ".hold_until(Fetch, a*, 5s)"),
        ("on_connect().stall(5, \"1s\");", ".stall(5, 1s, both)"),
        ("on_connect().stall(5, \"up\");", ".stall(5, up)"),
        ("on_connect().bandwidth(5, 10);", ".bandwidth(5, 10, both)"),
        ("on_connect().bandwidth(5, \"down\");", ".bandwidth(5, 0, down)"),
        ("on_produce().poison(\"random_bytes\");", ".poison(\"random_bytes\", 64)"),
        ("on_produce().poison(\"random_bytes\", 7);", ".poison(\"random_bytes\", 7)"),
        ("on_produce().skew_timestamps(\"-90s\");", ".skew_timestamps(\"-90000ms\")"),
        ("on_produce().skew_timestamps(\"+2m\");", ".skew_timestamps(\"120000ms\")"),
        ("on_produce().value(\"$.a\", 1.5).deny();", ".value($.a, == 1.5).deny()"),
        ("on_produce().api_version(9, 11).delay(\"1s\");", ".api_version(9, 11).delay(1s)"),
        ("on_produce().encrypt(\"$\", secret(\"k\"));", ".encrypt($, k)"),
        ("on_produce().encrypt(\"value\", secret(\"k\"));", ".encrypt($, k)"),
        ("on_connect().bandwidth(\"2GB\");", ".bandwidth(2147483648, 0, both)"),
        ("on_connect().bandwidth(\"1GiB\");", ".bandwidth(1073741824, 0, both)"),
        ("on_produce().quota(\"7200 records/h\", \"topic\");", ".quota(2 records/s, topic)"),
        ("on_produce().quota(\"120KB/m\", \"topic\");", ".quota(2048B/s, topic)"),
    ] {
        assert!(said(text).ends_with(shown), "{text} is {}", said(text));
    }
}

#[test]
fn names_of_topics_are_globs_or_one_expression() {
    use crate::policy::action::limit::Names;
    let names = |names: &str| {
        let mut rule = one(&format!("on_create().limit(#{{ names: {names} }});"));
        match rule.actions.remove(0) {
            Action::Limit(limit) => limit.names.unwrap(),
            other => panic!("{other}"),
        }
    };
    assert!(matches!(names("\"team-*\""), Names::Globs(_)));
    assert!(matches!(names("[\"team-*\", \"b\"]"), Names::Globs(_)));
    assert!(matches!(names("\"/team-.*/\""), Names::Regex(_)));
}

#[test]
fn words_that_the_engine_keeps_for_itself_are_not_ours() {
    for text in ["let x = eval(\"1\");", "import \"x\";", "export let x = 1;"] {
        assert!(refused(text).contains("a policy is one file and runs no other"), "{}", refused(text));
    }
    for text in ["let spawn = 1;", "let public = 1;", "let x = 1 ~ 2;", "let x = 1 === 2;"] {
        assert!(!refused(text).contains("a policy is one file"), "{}", refused(text));
    }
}

#[test]
fn a_closures_own_variables_are_its_own() {
    for text in [
        "let n = 0; on_produce().each(|cx, record| { for n in 0..3 { n += 1; } });",
        "let n = 0; on_produce().each(|cx, record| { for (x, n) in [1] { n += 1; } });",
        "on_produce().when(|cx| { let cx = #{ foo: 1 }; cx.foo == 1 }).deny();",
        "on_produce().when(|cx| { for cx in [#{ foo: 1 }] { return cx.foo == 1; } false }).deny();",
    ] {
        load(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    for text in [
        "let n = 0; on_produce().each(|cx, record| { for m in 0..3 { n += 1; } });",
        "let n = 0; let m = 1; on_produce().each(|cx, record| { let k = m; n += 1; });",
        // in a call's arguments, as in a statement of its own
        "let n = 0; let x = [on_produce().each(|cx, record| { n += 1; })];",
    ] {
        assert!(refused(text).contains("changes `n`"), "{text}: {}", refused(text));
    }
    // a variable of the same name, beside what was captured
    for own in ["let n = 1; n += 1;", "for n in 0..3 { n += 1; }", "for (x, n) in [1] { n += 1; }"] {
        load(&format!("let n = 0; on_produce().each(|cx, record| {{ let before = n; {own} }});")).unwrap();
    }
    // what it is given is not what it captured
    for own in ["cx = 5;", "record = 5;"] {
        load(&format!("let a = 1; let b = 2; on_produce().each(|cx, record| {{ let x = a + b; {own} }});"))
            .unwrap();
    }
    assert_refused(
        "on_produce().when(|cx| cx.princpal.len() > 3).deny();",
        "1:27",
        "did you mean \"principal\"?",
    );
    assert_refused(
        "on_produce().when(|cx| cx.princpal[0] == \"x\").deny();",
        "1:27",
        "did you mean \"principal\"?",
    );
    assert_refused("on_produce().when(|cx| { let x = 1; cx.princpal == x }).deny();", "1:40", "did you mean");
}

#[test]
fn hosts_and_keys_are_so_many() {
    let address = |host: &str| format!("on_request(\"Metadata\").wrong_address(\"{host}\", 9092);");
    load(&address(&"h".repeat(255))).unwrap();
    for host in ["h".repeat(256), "h".repeat(257), String::new()] {
        assert!(refused(&address(&host)).contains("a host of at most 255 bytes"), "{host}");
    }
    let keys = |count: usize| {
        let keys: Vec<String> = (0..count).map(|n| format!("secret(\"k{n}\")")).collect();
        format!("on_produce().encrypt(\"$.a\", [{}]);", keys.join(", "))
    };
    load(&keys(16)).unwrap();
    for count in [0, 17, 18] {
        assert!(refused(&keys(count)).contains("one to 16 keys"), "{count}");
    }
}

#[test]
fn a_name_of_shared_state_is_of_one_kind_each() {
    let states = |text: &str| load(text).unwrap().state_names;
    assert_eq!(states("let a = window(\"n\", \"1s\"); let b = window(\"n\", \"1s\");").len(), 1);
    let two = states("let a = window(\"n\", \"1s\"); let b = counter(\"n\"); let c = counter(\"n\");");
    assert_eq!(two.len(), 2);
    assert!(refused("let a = window(\"n\", \"1s\"); let b = window(\"n\", \"2s\");").contains("was 1s long"));
}

/// A rule without a name is called by what it says: two that say different things are two.
#[test]
fn faults_are_called_by_what_they_are_told() {
    for (head, fault) in [
        ("on_produce()", ".delay(200ms)"),
        ("on_produce()", ".slow_broker(200ms)"),
        ("on_request(\"EndTxn\")", ".delay_commit(200ms)"),
        ("on_produce()", ".fail(NOT_LEADER_OR_FOLLOWER)"),
        ("on_produce()", ".fail_after(REQUEST_TIMED_OUT)"),
        ("on_produce()", ".throttle(2s)"),
        ("on_produce()", ".pause(2s)"),
        ("on_produce()", ".truncate_log(5)"),
        ("on_produce()", ".lose_request()"),
        ("on_request(\"SaslHandshake\")", ".sasl_fail(\"PLAIN\")"),
        ("on_request(\"SaslAuthenticate\")", ".sasl_expire(2s)"),
        ("on_produce()", ".oversize(9)"),
        ("on_connect()", ".tls_fail(\"untrusted\")"),
        ("on_connect()", ".slow_close(2s)"),
        ("on_fetch()", ".truncate_fetch(7)"),
        ("on_fetch()", ".empty_fetch()"),
        ("on_fetch()", ".stale_high_watermark(3)"),
        ("on_request(\"Metadata\")", ".stale_metadata(2s)"),
        ("on_request(\"Metadata\")", ".stale_metadata()"),
        ("on_request(\"Metadata\")", ".broker_missing(2)"),
        ("on_request(\"Metadata\")", ".broker_missing()"),
        ("on_request(\"Metadata\")", ".wrong_address(\"h\", 9)"),
        ("on_request(\"ApiVersions\")", ".api_versions(\"Fetch\")"),
        ("on_request(\"ApiVersions\")", ".api_versions(\"Fetch\", 4)"),
        ("on_disk()", ".slow_disk(2s)"),
    ] {
        let (word, told) = fault.trim_end_matches(')').split_once('(').unwrap();
        let quoted = |word: &str| match word.trim_matches('"') {
            "" => String::new(),
            number if number.parse::<i64>().is_ok() => number.to_owned(),
            text => format!("\"{text}\""),
        };
        let arguments: Vec<String> = told.split(", ").map(quoted).collect();
        let text = format!("{head}{word}({});", arguments.join(", "));
        let about = match head {
            "on_disk()" => "on_disk()".to_owned(),
            head => head.replace('"', ""),
        };
        assert_eq!(said(&text), format!("{about}{fault}"), "{text}");
    }
    assert_eq!(said("on_disk().operation(\"append\").slow_disk(\"2s\");"), "on_disk(append).slow_disk(2s)");
    assert_ne!(said("on_disk().disk_full();"), "on_disk().disk_full()", "it narrows to what writes");
}

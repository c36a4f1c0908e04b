//! Closures, run as the evaluation runs them.

use super::*;

struct Loaded {
    policy: Policy,
    state: Arc<StateStore>,
    clock: Clock,
}

fn loaded(text: &str) -> Loaded {
    let clock = Clock::manual();
    let state = StateStore::new(clock.clone());
    let around = around_with(Arc::clone(&state));
    let policy = read(Path::new("p.rhai"), &Arc::from(text), &around).unwrap_or_else(|e| panic!("{e}"));
    Loaded { policy, state, clock }
}

impl Loaded {
    fn closure(&self, index: usize) -> Closure<'_> {
        Closure { policy: &self.policy.info, index, state: &self.state }
    }
}

fn cx() -> Rc<CxData> {
    Rc::new(CxData {
        principal: "User:ada".into(),
        topic: Some("t".into()),
        may_deny: true,
        ..CxData::default()
    })
}

fn each_of(
    closure: Closure<'_>,
    cx: &Rc<CxData>,
    value: Option<&str>,
    additions: &mut pending::Pending,
) -> Result<Option<String>, ClosureError> {
    let mut headers = HeadersBuf::new();
    headers.push(b"h", Some(b"1"));
    headers.push(b"h", Some(b"2"));
    let record = Record {
        attributes: 0,
        timestamp_delta: 0,
        offset_delta: 0,
        key: None,
        value: value.map(str::as_bytes),
        headers: headers.as_headers(),
    };
    closure::each(closure, cx, &Seen { record: &record, offset: 7, timestamp: 9 }, additions)
}

fn each(
    closure: Closure<'_>,
    cx: &Rc<CxData>,
    value: &str,
    additions: &mut pending::Pending,
) -> Result<Option<String>, ClosureError> {
    each_of(closure, cx, Some(value), additions)
}

#[test]
fn conditions_answer() {
    let loaded = loaded(
        "on_produce().when(|cx| cx.principal == \"User:ada\" && cx.group == ()).deny();
         on_produce().when(|cx| 5).deny();
         on_produce().when(|cx| cx.topic.nonsense()).deny();",
    );
    assert_eq!(when(loaded.closure(0), &cx()), Ok(true));
    let other = Rc::new(CxData { principal: "User:bob".into(), ..CxData::default() });
    assert_eq!(when(loaded.closure(0), &other), Ok(false));
    assert!(when(loaded.closure(1), &cx()).unwrap_err().message.contains("true or false"));
    let error = when(loaded.closure(2), &cx()).unwrap_err();
    assert_eq!(error.place.line, 3);
    assert!(error.message.contains("nonsense"), "{error}");
}

#[test]
fn records_are_seen_and_denied() {
    let loaded = loaded(
        r#"on_produce().each(|cx, record| {
            if record.value("$.user.name") == "ada" { return cx.deny("no ada"); }
            if record.header("h") != "2" || record.headers("h").len() != 2 { cx.deny("headers") }
            if record.key() != () || record.offset != 7 || record.timestamp != 9 { cx.deny("rest") }
            if record.value("$.missing.deep") != () { cx.deny("missing") }
        });"#,
    );
    let ask = |value: &str| each(loaded.closure(0), &cx(), value, &mut pending::Pending::default());
    assert_eq!(ask(r#"{"user":{"name":"ada"}}"#), Ok(Some("no ada".to_owned())));
    assert_eq!(ask(r#"{"user":{"name":"bob"}}"#), Ok(None));
    assert_eq!(ask("not json"), Ok(None));
}

#[test]
fn windows_take_any_key_and_count_when_final() {
    let loaded = loaded(
        r#"policy("p");
        let seen = window("seen", "60s");
        on_produce().each(|cx, record| {
            let user = record.value("$.user");
            if seen.count(user) >= 2 { return cx.deny("too many"); }
            seen.add(user);
        });"#,
    );
    let mut additions = pending::Pending::default();
    let mut ask = |value: &str| each(loaded.closure(0), &cx(), value, &mut additions).unwrap();
    assert_eq!(ask(r#"{"user":"ada"}"#), None);
    assert_eq!(ask(r#"{"user":"ada"}"#), None);
    assert_eq!(ask(r#"{"user":"ada"}"#).as_deref(), Some("too many"), "a batch sees its own additions");
    assert_eq!(ask(r#"{"user":5}"#), None);
    assert_eq!(ask(r#"{"user":5}"#), None);
    assert_eq!(ask(r#"{"user":"5"}"#), None, "5 and \"5\" are different");
    for _ in 0..4 {
        assert_eq!(ask(r#"{"nobody":1}"#), None, "nothing counts under ()");
    }
    let window = loaded.state.window("p", "seen", Duration::from_secs(60));
    assert_eq!(window.count(b"sada"), 0, "not final yet");
    additions.commit();
    assert_eq!((window.count(b"sada"), window.count(b"v5"), window.count(b"s5")), (2, 2, 1));
    loaded.clock.advance(Duration::from_secs(62));
    assert_eq!(window.count(b"sada"), 0);
}

#[test]
fn counters_and_maps_take_any_value_and_hold_when_final() {
    let loaded = loaded(
        r#"policy("p");
        let logins = counter("logins");
        let last = shared_map("last");
        on_produce().each(|cx, record| {
            let user = record.value("$.user");
            if logins.count(user) >= 3 { return cx.deny("too many"); }
            logins.add(user);
            if record.value("$.out") == true { logins.add(user, -1); last.remove(user); return; }
            if last.get(user) != () && last.get(user).at > record.value("$.at") { return cx.deny("older"); }
            last.set(user, #{ at: record.value("$.at"), tags: [1, "a", ()] });
            last.set((), 5);
        });
        on_produce().when(|cx| logins.count("ada") == 2 && last.get("ada").at == 7).deny();
        on_produce().when(|cx| { logins.add("ada"); true }).deny();
        on_produce().each(|cx, record| last.set("k", "v".to_upper() + record.value()));"#,
    );
    let (counter, map) = (loaded.state.counter("p", "logins"), loaded.state.shared_map("p", "last"));
    let mut additions = pending::Pending::default();
    let mut ask = |value: &str| each(loaded.closure(0), &cx(), value, &mut additions).unwrap();
    assert_eq!(ask(r#"{"user":"ada","at":5}"#), None);
    assert_eq!(ask(r#"{"user":"ada","at":7}"#), None);
    assert_eq!(ask(r#"{"user":"ada","at":6}"#).as_deref(), Some("older"), "a batch sees what it set itself");
    assert_eq!(ask(r#"{"user":"ada","out":true}"#), None, "what was denied did not count");
    assert_eq!(ask(r#"{"user":"ada","at":7}"#), None);
    assert_eq!(ask(r#"{"at":1}"#), None, "nothing is under ()");
    assert_eq!((counter.count(b"sada"), map.get(b"sada")), (0, serde_json::Value::Null), "not final yet");
    let read = || when(loaded.closure(1), &cx()).unwrap();
    assert!(!read());
    additions.commit();
    assert_eq!(counter.count(b"sada"), 3);
    assert_eq!(map.get(b"sada"), serde_json::json!({ "at": 7, "tags": [1, "a", null] }));
    assert!(!read());
    counter.add(b"sada", -1);
    assert!(read());
    loaded.clock.advance(Duration::from_secs(86_400));
    assert!(read(), "no time takes them away");
    assert!(when(loaded.closure(2), &cx()).unwrap_err().message.contains("only read"));
    let long = "x".repeat(1_023);
    let mut additions = pending::Pending::default();
    assert_eq!(each(loaded.closure(3), &cx(), &long, &mut additions), Ok(None));
    let long = "x".repeat(1_025);
    let mut additions = pending::Pending::default();
    let error = each(loaded.closure(3), &cx(), &long, &mut additions).unwrap_err();
    assert!(error.message.contains("at most 1024 bytes, this one 1026"), "{error}");
    assert!(additions.is_empty());
}

#[test]
fn a_reason_may_be_left_out_and_numbers_stay_numbers() {
    let loaded = loaded(
        r#"policy("p"); let m = shared_map("m");
        on_produce().each(|cx, record| cx.deny());
        on_produce().each(|cx, record| cx.deny(()));
        on_produce().each(|cx, record| { m.set("k", #{ x: 1.5, n: 2, t: "1.5", b: true }); });"#,
    );
    let mut additions = pending::Pending::default();
    for closure in [0, 1] {
        let denied = each(loaded.closure(closure), &cx(), "{}", &mut additions);
        assert_eq!(denied, Ok(Some("refused by policy".to_owned())));
    }
    each(loaded.closure(2), &cx(), "{}", &mut additions).unwrap();
    additions.commit();
    let value = loaded.state.shared_map("p", "m").get(b"sk");
    assert_eq!(value, serde_json::json!({ "x": 1.5, "n": 2, "t": "1.5", "b": true }));
}

#[test]
fn a_denied_record_adds_nothing() {
    let loaded = loaded(
        r#"let w = window("w", "60s");
        on_produce().each(|cx, record| { w.add("a"); w.add("b", 3); cx.deny("no"); });
        on_produce().each(|cx, record| { w.add("a"); w.add(); });"#,
    );
    let mut additions = pending::Pending::default();
    assert!(each(loaded.closure(0), &cx(), "{}", &mut additions).unwrap().is_some());
    assert!(additions.is_empty());
    assert!(each(loaded.closure(1), &cx(), "{}", &mut additions).is_err());
    assert!(additions.is_empty(), "nor does one that failed");
}

#[test]
fn what_belongs_elsewhere_fails_in_a_closure() {
    let loaded = loaded(
        r#"let w = window("w", "60s");
        on_produce().when(|cx| { w.add("a"); true }).deny();
        on_produce().when(|cx| { cx.deny("x"); true }).deny();
        on_produce().each(|cx, record| { on_produce().deny(); });
        on_produce().each(|cx, record| { window("v", "1s"); });"#,
    );
    let plain = || Rc::new(CxData::default());
    assert!(when(loaded.closure(0), &plain()).unwrap_err().message.contains("only read"));
    assert!(when(loaded.closure(1), &plain()).unwrap_err().message.contains("`.each`"));
    for index in [2, 3] {
        let error = each(loaded.closure(index), &cx(), "{}", &mut pending::Pending::default()).unwrap_err();
        assert!(error.message.contains("not into a closure"), "{error}");
    }
}

#[test]
fn what_is_captured_is_constant_even_where_the_loader_cannot_see_it() {
    let loaded = loaded(
        "fn change(x) { x.push(1); }
         let list = [1];
         let n = 1;
         on_produce().each(|cx, record| { let l = list; l.push(2); if l.len() != 2 { cx.deny(`${l}`) } });
         on_produce().each(|cx, record| { list.dedup(); });
         on_produce().each(|cx, record| { n.bump(); });
         fn bump() { this += 1; }",
    );
    let ask = |index| each(loaded.closure(index), &cx(), "{}", &mut pending::Pending::default());
    for _ in 0..2 {
        assert_eq!(ask(0), Ok(None), "a copy may change, and starts afresh every time");
    }
    assert!(ask(1).is_err());
    assert!(ask(2).is_err());
}

#[test]
fn calls_are_bounded() {
    let loaded = loaded("on_produce().each(|cx, record| { loop {} });");
    let error = each(loaded.closure(0), &cx(), "{}", &mut pending::Pending::default()).unwrap_err();
    assert!(error.message.contains("too many operations"), "{error}");
}

#[test]
fn a_call_meets_nothing_of_those_before() {
    let loaded = loaded(
        r#"const LEAST = 8;
        fn twice(x) { x + x }
        on_produce().each(|cx, record| { for i in 0..30_000 { } });
        on_produce().each(|cx, record| {
            let n = record.value("$.n");
            if n == 0 { loop {} }
            let seen = twice(n);
            if seen > 2 { cx.deny(`${seen}`) }
        });
        on_produce().each(|cx, record| { if record.offset < LEAST { cx.deny("less") } });"#,
    );
    let ask =
        |index, value: &str| each(loaded.closure(index), &cx(), value, &mut pending::Pending::default());
    for _ in 0..5 {
        assert_eq!(ask(0, "{}"), Ok(None), "each call has all of its operations");
        assert_eq!(ask(1, r#"{"n":1}"#), Ok(None));
        assert_eq!(ask(1, r#"{"n":2}"#), Ok(Some("4".to_owned())));
        assert_eq!(ask(1, r#"{"n":1.5}"#), Ok(Some("3.0".to_owned())), "of another type than before");
        assert_eq!(ask(1, r#"{"n":"a"}"#), Ok(None), "and another: texts are never more than numbers");
        assert!(ask(1, r#"{"n":0}"#).is_err());
        assert_eq!(ask(2, "{}"), Ok(Some("less".to_owned())));
    }
}

#[test]
fn a_call_finds_its_parameters_as_they_were_given() {
    let loaded = loaded(
        r#"let list = [1];
        on_produce().each(|cx, record| {
            if record.value("$.n") == 0 { cx = 5; record = 6; return; }
            if record.value("$.n") == 1 { let cx = 5; let record = 6; let list = 7; return; }
            if record.value("$.n") == 2 {
                let same = record;
                let found = [2].filter(|n| n == record.value("$.n") && cx.topic == "t" && list.len() == 1);
                if found.len() != 1 || same.value("$.n") != 2 { cx.deny("inner") }
                return;
            }
            if list != [1] || record.value("$.n") != 3 { cx.deny(`${list} ${record.value("$.n")}`) }
            cx.deny(cx.principal)
        });
        on_produce().when(|cx| { let ada = cx.principal == "User:ada"; cx = (); ada }).deny();
        on_produce().when(|cx| cx.principal == "User:ada").deny();"#,
    );
    let bob = Rc::new(CxData { principal: "User:bob".into(), may_deny: true, ..CxData::default() });
    for n in [0, 1, 2] {
        for cx in [&cx(), &bob, &bob] {
            let ask = |n: i32| {
                let value = format!("{{\"n\":{n}}}");
                each(loaded.closure(0), cx, &value, &mut pending::Pending::default())
            };
            let principal = Some(cx.principal.to_string());
            assert_eq!(
                ask(n),
                if n == 2 && cx.topic.is_none() { Ok(Some("inner".into())) } else { Ok(None) }
            );
            assert_eq!(ask(3), Ok(principal.clone()), "after {n}");
            assert_eq!(ask(3), Ok(principal));
            for closure in [1, 2] {
                assert_eq!(when(loaded.closure(closure), cx), Ok(cx.topic.is_some()));
            }
        }
    }
}

#[test]
fn paths_look_at_the_record_that_is_shown() {
    let loaded = loaded(
        r#"fn of(record) { record.value("$.b") }
        on_produce().each(|cx, record| {
            let computed = record.value("$." + "a");
            if record.value("$.a") != computed { cx.deny("computed") }
            let all = [record.value("$.a"), record.value("$.b"), of(record), record.value("$..c"), record.value("$.b")];
            cx.deny(`${all}`)
        });
        on_produce().each(|cx, record| { record.value("a") });"#,
    );
    let ask =
        |value: Option<&str>| each_of(loaded.closure(0), &cx(), value, &mut pending::Pending::default());
    for (value, said) in [
        (Some(r#"{"a":1,"b":"two","d":{"c":3},"c":4}"#), "[1, \"two\", \"two\", 3, \"two\"]"),
        (Some(r#"{"a":1,"b":2,"a":[5,null]}"#), "[[5, ()], 2, 2, (), 2]"),
        (Some(r#"{"a":1,"b":2"#), "[(), (), (), (), ()]"),
        (Some("{\"a\":\"\\u00e9\u{e9}\",\"b\":false}"), "[\"\u{e9}\u{e9}\", false, false, (), false]"),
        (None, "[(), (), (), (), ()]"),
        (Some(r#"{"c":1.5}"#), "[(), (), (), 1.5, ()]"),
    ] {
        assert_eq!(ask(value), Ok(Some(said.to_owned())), "{value:?}");
    }
    let error = each(loaded.closure(1), &cx(), "{}", &mut pending::Pending::default()).unwrap_err();
    assert!(error.message.contains("path"), "{error}");
}

#[test]
fn functions_of_the_script_go_before_words() {
    let loaded = loaded(
        r#"fn key() { "own key of " + this.value() }
        fn to_upper(text) { "own " + text }
        fn deep(n) { if n > 0 { deep(n - 1) } }
        on_produce().each(|cx, record| { cx.deny(`${record.key()}, ${to_upper("a")}, ${"b".to_lower()}`) });
        on_produce().each(|cx, record| { deep(record.value("$.n")) });"#,
    );
    let ask =
        |index, value: &str| each(loaded.closure(index), &cx(), value, &mut pending::Pending::default());
    assert_eq!(ask(0, "{}"), Ok(Some("own key of {}, own a, b".to_owned())));
    assert_eq!(ask(1, r#"{"n":14}"#), Ok(None));
    assert!(ask(1, r#"{"n":15}"#).unwrap_err().message.contains("too deeply"));
}

#[test]
fn threads_share_windows_and_nothing_else() {
    let loaded = loaded(
        r#"policy("p"); let w = window("w", "60s"); let list = [1, 2];
        on_produce().each(|cx, record| { if list.len() == 2 { w.add(record.value("$.k")); } });"#,
    );
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let mut additions = pending::Pending::default();
                    each(loaded.closure(0), &cx(), r#"{"k":"x"}"#, &mut additions).unwrap();
                    additions.commit();
                }
            });
        }
    });
    assert_eq!(loaded.state.window("p", "w", Duration::from_secs(60)).count(b"sx"), 2_000);
}

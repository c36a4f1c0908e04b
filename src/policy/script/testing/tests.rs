//! What the words of tests do with what was seen.

use super::*;
use crate::policy::script::engine::engine;
use std::cell::RefCell;

/// Shows always the same, and keeps what it was asked.
struct Shows(Seen, RefCell<Vec<Doing>>);

impl Bench for Shows {
    fn act(&self, doing: Doing) -> Result<Seen, String> {
        self.1.borrow_mut().push(doing);
        Ok(self.0.clone())
    }
}

/// What a script says of it.
fn run(seen: Seen, script: &str) -> (Result<(), String>, Vec<Doing>) {
    let host = Host::new();
    let bench = Rc::new(Shows(seen, RefCell::default()));
    *host.bench.borrow_mut() = Some(Rc::clone(&bench) as Rc<dyn Bench>);
    let said = engine(&host).run(script).map_err(|error| error.to_string());
    (said, bench.1.take())
}

#[track_caller]
fn fails(seen: Seen, script: &str, says: &str) {
    let error = run(seen, script).0.unwrap_err();
    assert!(error.contains(says), "{script}: {error}");
}

#[test]
fn what_was_seen_is_told() {
    let second = Duration::from_secs(1);
    let code = Some(ErrorCode::INVALID_RECORD);
    for (seen, told) in [
        (
            Seen { denied: true, code, message: Some("why".into()), ..Seen::default() },
            "was denied with INVALID_RECORD (why)",
        ),
        (Seen { denied: true, ..Seen::default() }, "was denied"),
        (Seen { lost: true, ..Seen::default() }, "was lost"),
        (Seen { closed: true, ..Seen::default() }, "was closed"),
        (Seen { code, ..Seen::default() }, "was failed with INVALID_RECORD"),
        (Seen { routed: Some("dlq".into()), ..Seen::default() }, "was routed to dlq"),
        (Seen { delay: second, ..Seen::default() }, "was delayed by 1s"),
        (Seen { held: Some("Fetch"), ..Seen::default() }, "was held until Fetch"),
        (Seen { lifetime: Some(second), ..Seen::default() }, "was let in for a time"),
        (Seen { throttled: second, ..Seen::default() }, "was throttled by 1s"),
        (Seen { struck: vec!["drop", "reorder"], ..Seen::default() }, "was struck by drop, reorder"),
    ] {
        fails(seen.clone(), "expect(connected()).to_pass()", &format!("but it {told}"));
        assert!(!seen.passed(), "{told}");
    }
    fails(Seen::default(), "expect(connected()).to_be_lost()", "expected no answer, but it passed");
    assert_eq!(run(Seen::default(), "expect(connected()).to_pass()").0, Ok(()));
}

#[test]
fn times_are_expected_within_their_bounds() {
    let seconds = Duration::from_secs;
    let throttled = |time| Seen { throttled: seconds(time), ..Seen::default() };
    let lives = |time| Seen { lifetime: Some(seconds(time)), ..Seen::default() };
    let wait = "expect(connected()).to_be_throttled_by(\"0s\", \"2s\")";
    assert_eq!(run(throttled(2), wait).0, Ok(()));
    fails(throttled(3), wait, "expected to wait 0ns to 2s, but it was throttled by 3s");
    fails(throttled(0), wait, "but it passed");
    let expire = "expect(connected()).to_expire_after(\"1s\", \"2s\")";
    assert_eq!(run(lives(1), expire).0, Ok(()));
    fails(lives(3), expire, "and it is for 3s");
    fails(Seen::default(), expire, "but it passed");
}

#[test]
fn values_are_what_they_are_in_a_record() {
    let value = |script: &str| match run(Seen::default(), script) {
        (Ok(()), doings) => match &doings[0].act {
            Act::Produced { value, .. } => value.clone(),
            other => panic!("{other:?}"),
        },
        (Err(error), _) => panic!("{error}"),
    };
    assert_eq!(value("produced(\"t\", ())"), None);
    assert_eq!(value("produced(\"t\", #{ a: 1 })").unwrap(), br#"{"a":1}"#);
    assert_eq!(value("produced(\"t\", [1, \"a\"])").unwrap(), br#"[1,"a"]"#);
    assert_eq!(value("produced(\"t\", blob(2, 255))").unwrap(), [255, 255]);
    assert_eq!(value("produced(\"t\", 7)").unwrap(), b"7");
}

#[test]
fn options_have_their_defaults_and_bounds() {
    let asked = |options: &str| match run(Seen::default(), &format!("connected({options})")) {
        (Ok(()), mut doings) => Ok(doings.remove(0).options),
        (Err(error), _) => Err(error),
    };
    let plain = asked("").unwrap();
    assert_eq!((plain.partitions, plain.replication, plain.partition, plain.times), (-1, -1, 0, 1));
    let least = asked("#{ partitions: -1, replication: -1, partition: 0, times: 1 }").unwrap();
    assert_eq!((least.partitions, least.replication), (-1, -1));
    for (options, says) in [
        ("#{ partitions: -2 }", "a whole number from -1 to 2147483647, not -2"),
        ("#{ replication: -2 }", "from -1 to 32767"),
        ("#{ replication: 32768 }", "from -1 to 32767"),
        ("#{ partition: -1 }", "from 0 to"),
        ("#{ times: 100001 }", "from 1 to 100000"),
        ("#{ times: 0 }", "from 1 to 100000"),
    ] {
        let error = asked(options).unwrap_err();
        assert!(error.contains(says), "{options}: {error}");
    }
}

#[test]
fn values_are_equal_by_what_they_hold() {
    for (a, b, same) in [
        ("1", "1.0", true),
        ("1", "2", false),
        ("#{ a: 1, b: [2] }", "#{ b: [2], a: 1 }", true),
        ("[1]", "[1]", true),
        ("[1]", "[2]", false),
        ("[1]", "[1, 1]", false),
        ("[1, #{ a: [2] }]", "[1.0, #{ a: [2.0] }]", true),
        ("#{ a: 1 }", "#{ a: 1, b: 1 }", false),
        ("#{ a: 1 }", "#{ b: 1 }", false),
        ("#{ a: 1 }", "#{ a: 2 }", false),
        ("#{}", "[]", false),
        ("[1]", "\"[1]\"", false),
        ("\"[1]\"", "[1]", false),
        ("\"1\"", "1", false),
        ("true", "true", true),
        ("()", "()", true),
        ("\"a\"", "\"b\"", false),
    ] {
        let said = run(Seen::default(), &format!("expect({a}).to_equal({b})")).0;
        assert_eq!(said.is_ok(), same, "{a} and {b}: {said:?}");
    }
}

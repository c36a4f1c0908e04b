//! What selectors choose, and how they are shown.

use super::*;
use crate::wire::record::HeadersBuf;

fn list(blocks: &[&str]) -> CidrList {
    CidrList::parse(blocks).unwrap()
}

#[test]
fn blocks_hold_their_addresses() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    for (blocks, address, inside) in [
        (&["10.0.0.0/8"][..], "10.255.1.2", true),
        (&["10.0.0.0/8"], "11.0.0.1", false),
        (&["10.0.0.0/8"], "::ffff:10.1.1.1", true),
        (&["192.168.1.7"], "192.168.1.7", true),
        (&["192.168.1.7"], "192.168.1.8", false),
        (&["0.0.0.0/0"], "8.8.8.8", true),
        (&["0.0.0.0/0"], "::1", false),
        (&["2001:db8::/32"], "2001:db8:1::1", true),
        (&["2001:db8::/32"], "2001:db9::1", false),
        (&["::/0"], "::1", true),
        (&["!10.0.0.0/8"], "10.0.0.1", false),
        (&["!10.0.0.0/8"], "11.0.0.1", true),
        (&["10.0.0.0/8", "!10.1.0.0/16"], "10.1.2.3", false),
    ] {
        assert_eq!(list(blocks).contains(ip(address)), inside, "{blocks:?} {address}");
    }
    for bad in ["10.0.0.0/33", "ten", "10.0.0/8", "::/129", "1.2.3.4/x", ""] {
        assert!(CidrList::parse([bad]).is_err(), "{bad}");
    }
}

#[test]
fn comparisons_are_read_and_hold() {
    for (text, found, holds) in [
        ("> 5", 6.0, true),
        ("> 5", 5.0, false),
        (">=5", 5.0, true),
        ("< 5", 4.9, true),
        ("< 5", 5.0, false),
        ("<= 5", 5.1, false),
        ("== 5", 5.0, true),
        ("!= 5", 5.0, false),
    ] {
        let (op, rest) = Comparison::parse(text).unwrap();
        assert_eq!(op.holds(found, rest.parse().unwrap()), holds, "{found} {text}");
    }
    assert!(Comparison::parse("abc*").is_none());
}

#[test]
fn who_needs_all_to_hold() {
    let who = WhoSelectors {
        sessions: None,
        broker: None,
        principal: Some(Patterns::new(["User:a*"])),
        client_id: Some(Patterns::new(["!admin"])),
        listener: Some(Patterns::new(["public"])),
        from_ip: vec![list(&["10.0.0.0/8"])],
    };
    let ip = |last| IpAddr::from([10, 0, 0, last]);
    assert!(who.matches("User:ada", "app", "public", ip(1)));
    assert!(!who.matches("User:bob", "app", "public", ip(1)));
    assert!(!who.matches("User:ada", "admin", "public", ip(1)));
    assert!(!who.matches("User:ada", "app", "private", ip(1)));
    assert!(!who.matches("User:ada", "app", "public", IpAddr::from([11, 0, 0, 1])));
}

#[test]
fn records_are_selected() {
    let mut headers = HeadersBuf::new();
    headers.push(b"class", Some(b"a"));
    headers.push(b"class", Some(b"secret"));
    let ask = |selector: &RecordSelector, value: Option<&str>| {
        selector.matches(None, value.map(str::as_bytes), headers.as_headers())
    };
    let value = |path, test| RecordSelector::Value { path: ValuePath::parse(path).unwrap(), test };
    let over = value("$.n", Test::Number(Comparison::More, 5.0));
    assert_eq!(ask(&over, Some(r#"{"n":6}"#)), Selected::Yes);
    assert_eq!(ask(&over, Some(r#"{"n":5}"#)), Selected::No);
    assert_eq!(ask(&over, Some(r#"{"n":"6"}"#)), Selected::No, "a text is no number");
    assert_eq!(ask(&over, Some(r#"{"n":1,"n":9}"#)), Selected::Yes, "any of those that stand twice");
    assert_eq!(ask(&over, Some("{n:6}")), Selected::Unreadable);
    assert_eq!(ask(&over, None), Selected::No);
    let text = value("$.s", Test::Text(Patterns::new(["a*", "!ab"])));
    assert_eq!(ask(&text, Some(r#"{"s":"ac"}"#)), Selected::Yes);
    assert_eq!(ask(&text, Some(r#"{"s":"ab"}"#)), Selected::No);
    let truth = value("$.t", Test::Exactly(true));
    assert_eq!(ask(&truth, Some(r#"{"t":true}"#)), Selected::Yes);
    assert_eq!(ask(&truth, Some(r#"{"t":"true"}"#)), Selected::No);
    let missing = value("$.m", Test::Missing);
    assert_eq!(ask(&missing, Some(r#"{"m":null}"#)), Selected::Yes);
    assert_eq!(ask(&missing, Some(r#"{"m":0}"#)), Selected::No);
    assert_eq!(ask(&missing, None), Selected::Yes);

    let header = |name, value: &[&str]| RecordSelector::Header {
        name: Glob::new(name),
        value: (!value.is_empty()).then(|| Patterns::new(value)),
    };
    assert_eq!(ask(&header("class", &["secret"]), None), Selected::Yes, "any header so named");
    assert_eq!(ask(&header("class", &["public"]), None), Selected::No);
    assert_eq!(ask(&header("c*", &[]), None), Selected::Yes);
    assert_eq!(ask(&header("other", &[]), None), Selected::No);

    assert_eq!(ask(&RecordSelector::Key(Patterns::new(["a"])), None), Selected::No);
    assert_eq!(ask(&RecordSelector::Key(Patterns::new(["!a"])), None), Selected::Yes);
    let key = RecordSelector::Key(Patterns::new(["a*"]));
    assert_eq!(key.matches(Some(b"ab"), None, Headers::default()), Selected::Yes);
}

#[test]
fn exclusions_alone_select_all_but_what_they_name() {
    let value = |test| RecordSelector::Value { path: ValuePath::parse("$.v").unwrap(), test };
    let text = value(Test::Text(Patterns::new(["!public"])));
    let number = value(Test::Number(Comparison::NotEqual, 0.0));
    for (json, by_text, by_number) in [
        (Some(r#"{"v":"public"}"#), Selected::No, Selected::Yes),
        (Some(r#"{"v":0}"#), Selected::Yes, Selected::No),
        (Some(r#"{"v":-0.0}"#), Selected::Yes, Selected::No),
        (Some(r#"{"v":"public","v":"public"}"#), Selected::No, Selected::Yes),
        (Some(r#"{"v":"public","v":"secret"}"#), Selected::Yes, Selected::Yes),
        (Some(r#"{"v":"secret"}"#), Selected::Yes, Selected::Yes),
        (Some(r#"{"v":true}"#), Selected::Yes, Selected::Yes),
        (Some(r#"{"v":null}"#), Selected::Yes, Selected::Yes),
        (Some(r#"{"v":["public"]}"#), Selected::Yes, Selected::Yes),
        (Some(r#"{"v":{"v":0}}"#), Selected::Yes, Selected::Yes),
        (Some("{}"), Selected::Yes, Selected::Yes),
        (Some("[0]"), Selected::Yes, Selected::Yes),
        (Some("no json"), Selected::Unreadable, Selected::Unreadable),
        (None, Selected::Yes, Selected::Yes),
    ] {
        let ask = |s: &RecordSelector| s.matches(None, json.map(str::as_bytes), Headers::default());
        assert_eq!((ask(&text), ask(&number)), (by_text, by_number), "{json:?}");
    }
    let with_include = value(Test::Text(Patterns::new(["p*", "!public"])));
    assert_eq!(with_include.matches(None, Some(b"{}"), Headers::default()), Selected::No);

    let header = RecordSelector::Header { name: Glob::new("class"), value: Some(Patterns::new(["!public"])) };
    for (values, selected) in [
        (&[][..], Selected::Yes),
        (&[Some("public")], Selected::No),
        (&[Some("public"), Some("secret")], Selected::Yes),
        (&[Some("secret")], Selected::Yes),
        (&[None], Selected::Yes),
    ] {
        let mut headers = HeadersBuf::new();
        headers.push(b"other", Some(b"public"));
        values.iter().for_each(|v: &Option<&str>| headers.push(b"class", v.map(str::as_bytes)));
        assert_eq!(header.matches(None, None, headers.as_headers()), selected, "{values:?}");
        let none = RecordSelector::NoHeader(Glob::new("class"));
        let absent = if values.is_empty() { Selected::Yes } else { Selected::No };
        assert_eq!(none.matches(None, None, headers.as_headers()), absent);
    }
}

#[test]
fn partitions_are_numbers_and_ranges() {
    let partitions = Partitions(vec![(0, 0), (4, 6)]);
    let inside: Vec<i32> = (0..8).filter(|p| partitions.contains(*p)).collect();
    assert_eq!(inside, [0, 4, 5, 6]);
    assert_eq!(partitions.to_string(), "0, 4..=6");
}

/// What policies show, and what a rule is named by where its author gives it no name.
#[test]
fn selectors_are_shown_as_they_are_written() {
    let value = |path, test| RecordSelector::Value { path: ValuePath::parse(path).unwrap(), test };
    let named = |name: &str| Some(Patterns::new([name]));
    let header = |value| RecordSelector::Header { name: Glob::new("class"), value };
    let mut selectors = Selectors {
        who: WhoSelectors {
            principal: named("User:a"),
            client_id: named("!app"),
            listener: named("public"),
            from_ip: vec![list(&["10.0.0.0/8", "!10.1.0.0/16"])],
            broker: Some(Partitions(vec![(2, 2)])),
            sessions: Some(0.5),
        },
        topics: vec![Patterns::new(["a*", "!ab"])],
        partitions: Some(Partitions(vec![(0, 3)])),
        api_version: Some(Versions::Compared(Comparison::MoreOrEqual, 4)),
        groups: named("g"),
        transactional_ids: named("tx"),
        cluster: true,
        records: vec![
            header(named("secret")),
            header(None),
            RecordSelector::NoHeader(Glob::new("x")),
            RecordSelector::Key(Patterns::new(["k*"])),
            value("$.n", Test::Number(Comparison::Less, 5.0)),
            value("$.s", Test::Text(Patterns::new(["s"]))),
            value("$.t", Test::Exactly(true)),
            value("$.m", Test::Missing),
        ],
        when: Some(When { closure: 3, text: "|cx| true".to_owned() }),
    };
    let shown = selectors.to_string();
    assert_eq!(
        shown,
        ".topic(a*, !ab).partition(0..=3).group(g).transactional_id(tx).principal(User:a).client_id(!app)\
         .listener(public).api_version(>= 4).broker(2).cluster().from_ip(10.0.0.0/8, !10.1.0.0/16)\
         .sessions(0.5).header(class, secret).header(class).header(!x).key(k*).value($.n, < 5).value($.s, s)\
         .value($.t, true).value($.m, ()).when(|cx| true)"
    );
    selectors.api_version = Some(Versions::These(Partitions(vec![(1, 3), (7, 7)])));
    assert!(selectors.to_string().contains(".api_version(1..=3, 7)"));
    assert_eq!(Selectors::default().to_string(), "");
}

/// A rule goes on in a reload only where it selects the same.
#[test]
fn values_at_other_paths_are_other_selectors() {
    let value = |path| RecordSelector::Value { path: ValuePath::parse(path).unwrap(), test: Test::Missing };
    assert_eq!(value("$.a"), value("$.a"));
    assert_ne!(value("$.a"), value("$.b"));
}

//! From the same start, one client instance per subject, the same batch boundaries: the same injections,
//! whatever else runs and however threads interleave.

use super::*;
use std::collections::BTreeSet;

const CHAOS: &str = r#"policy("chaos"); seed(42);
    on_produce("t*").chance(0.2).fail("NOT_LEADER_OR_FOLLOWER").named("fail");
    on_produce("t*").every(7).lose_response().named("lose");
    on_produce("t*").chance(0.5).delay(normal("200ms", "50ms")).named("slow");
    on_fetch("t*").chance(0.3).fail("UNKNOWN_SERVER_ERROR").named("fetch");
    on_request("Heartbeat").chance(0.3).fail("REBALANCE_IN_PROGRESS").named("rebalance");"#;

/// What was injected, without time and ids.
fn injections(world: &World) -> BTreeSet<String> {
    told(&world.journal())
}

fn told(lines: &[serde_json::Value]) -> BTreeSet<String> {
    let fields = ["rule", "subject", "n", "attempt", "fault", "parameter"];
    let shown = |line: &serde_json::Value| fields.map(|f| line[f].to_string()).join(" ");
    let all: Vec<String> = lines.iter().map(shown).collect();
    let set: BTreeSet<String> = all.iter().cloned().collect();
    assert_eq!(set.len(), all.len(), "an injection is told once");
    set
}

/// What one client does: produces (again, when it fails), fetches, heartbeats.
struct Client {
    who: Who,
    topic: String,
    sent: i64,
    offset: i64,
    retries: usize,
}

impl Client {
    fn new(n: usize) -> Self {
        Self {
            who: client(&format!("User:{n}"), "c"),
            topic: format!("t{n}"),
            sent: 0,
            offset: 0,
            retries: 0,
        }
    }

    fn step(&mut self, world: &World) {
        let verdict = world.ask(&self.who, &mut producing(&[(&self.topic, "v")], self.sent));
        let failed = !verdict.parts.is_empty() || verdict.lose.is_some();
        if failed && self.retries < 10 {
            self.retries += 1;
        } else {
            (self.sent, self.retries) = (self.sent + 1, 0);
        }
        let fetched = world.fetch_from(&self.who, &[(&self.topic, "v")], self.offset);
        self.offset += i64::from(fetched.code(0) == ErrorCode::NONE);
        let heartbeat = crate::wire::api::heartbeat::Request { group_id: "g".into(), ..Default::default() };
        world.ask(&self.who, &mut request(4, heartbeat));
    }
}

const STEPS: usize = 60;
const CLIENTS: usize = 4;

/// One after the other, in one thread.
fn plain() -> BTreeSet<String> {
    let world = world(&[("chaos", CHAOS)]);
    for n in 0..CLIENTS {
        let mut client = Client::new(n);
        (0..STEPS).for_each(|_| client.step(&world));
    }
    injections(&world)
}

#[test]
fn there_is_something_to_compare() {
    let first = plain();
    assert_eq!(first, plain());
    for rule in ["fail", "lose", "slow", "fetch", "rebalance"] {
        let n = first.iter().filter(|line| line.starts_with(&format!("\"{rule}\" "))).count();
        assert!(n > 5, "{rule} fired {n} times");
    }
}

#[test]
fn interleavings_move_nothing() {
    let world = world(&[("chaos", CHAOS)]);
    let mut clients: Vec<Client> = (0..CLIENTS).map(Client::new).collect();
    for step in 0..STEPS {
        // each round in another order
        clients.rotate_left(step % CLIENTS);
        clients.iter_mut().for_each(|client| client.step(&world));
    }
    assert_eq!(injections(&world), plain());
}

#[test]
fn threads_move_nothing() {
    let world = world(&[("chaos", CHAOS)]);
    std::thread::scope(|scope| {
        for n in 0..CLIENTS {
            let world = &world;
            scope.spawn(move || {
                let mut client = Client::new(n);
                (0..STEPS).for_each(|_| client.step(world));
            });
        }
    });
    assert_eq!(injections(&world), plain());
}

#[test]
fn unrelated_load_moves_nothing() {
    let world = world(&[("chaos", CHAOS)]);
    let mut clients: Vec<Client> = (0..CLIENTS).map(Client::new).collect();
    let strangers: Vec<Client> = (100..103).map(Client::new).collect();
    for step in 0..STEPS {
        for client in &mut clients {
            client.step(&world);
            let stranger = &strangers[step % strangers.len()];
            world.ask(&stranger.who, &mut producing(&[("t-stranger", "v"), ("other", "v")], step as i64));
            world.produce(&client.who, &[("unrelated", "v")]);
        }
    }
    let mut seen = injections(&world);
    seen.retain(|line| !line.contains("stranger"));
    assert_eq!(seen, plain());
}

#[test]
fn reloads_of_unrelated_files_move_nothing() {
    let world = world(&[("chaos", CHAOS)]);
    let mut clients: Vec<Client> = (0..CLIENTS).map(Client::new).collect();
    for step in 0..STEPS {
        let other = format!("// {step}\non_produce(\"elsewhere-{step}\").deny();");
        let more = format!("seed({step}); on_produce(\"u\").chance(0.5).delay(\"1s\");");
        match step % 3 {
            0 => world.load(&[("a", &other), ("chaos", CHAOS)]),
            1 => world.load(&[("chaos", CHAOS), ("z", &more)]),
            _ => world.load(&[("chaos", &format!("{CHAOS}\n// {step}"))]),
        }
        clients.iter_mut().for_each(|client| client.step(&world));
    }
    assert_eq!(injections(&world), plain());
}

#[test]
fn security_rules_beside_move_nothing() {
    let world = world(&[
        ("chaos", CHAOS),
        (
            "guard",
            r#"on_produce("t*").chance(0.5).audit(); on_fetch("t*").mask("$.a", "all").on_unparsable("pass");"#,
        ),
    ]);
    for n in 0..CLIENTS {
        let mut client = Client::new(n);
        (0..STEPS).for_each(|_| client.step(&world));
    }
    assert_eq!(injections(&world), plain());
}

#[test]
fn a_reconnect_goes_on_counting() {
    // a session leaves nothing behind that counts: the same subject goes on where it was
    let world = world(&[("chaos", CHAOS)]);
    for n in 0..CLIENTS {
        let mut client = Client::new(n);
        for step in 0..STEPS {
            if step % 10 == 0 {
                let who = client.who.clone();
                client.who =
                    Who { principal: (&*who.principal).into(), client_id: (&*who.client_id).into(), ..who };
            }
            client.step(&world);
        }
    }
    assert_eq!(injections(&world), plain());
}

#[test]
fn another_seed_is_another_run() {
    let world = world(&[("chaos", &CHAOS.replace("seed(42)", "seed(43)"))]);
    for n in 0..CLIENTS {
        let mut client = Client::new(n);
        (0..STEPS).for_each(|_| client.step(&world));
    }
    assert_ne!(injections(&world), plain());
}

#[test]
fn a_rule_that_comes_back_starts_again_and_its_neighbours_do_not() {
    let both = r#"on_produce("t").nth(3).fail("UNKNOWN_SERVER_ERROR").named("a");
                  on_produce("t").nth(5).fail("UNKNOWN_SERVER_ERROR").named("b");"#;
    let only_b = r#"on_produce("t").nth(5).fail("UNKNOWN_SERVER_ERROR").named("b");"#;
    let world = one(both);
    let mut count = 0;
    let mut failed = || {
        count += 1;
        !world.ask(&who("User:x"), &mut producing(&[("t", "v")], count)).parts.is_empty()
    };
    assert_eq!([failed(), failed()], [false, false]);
    world.load(&[("p", only_b)]);
    assert_eq!([failed(), failed()], [false, false]);
    world.load(&[("p", both)]);
    assert!(failed(), "b has counted on: this is its fifth");
    assert_eq!([failed(), failed()], [false, true], "a began anew: this is its third");
}

/// Rules with selectors that only some events pass: what passes must draw by what its client did.
const SELECTIVE: &str = r#"policy("selective"); seed(7);
    on_produce("t*").header("class", "b").chance(0.4).fail("NOT_LEADER_OR_FOLLOWER").named("header");
    on_produce("t*").value("$.n", "> 30").chance(0.4).delay("1s").named("value");
    on_produce("t*").when(|cx| cx.version == 12).header("class", "b").every(3).lose_response().named("when");
    on_request("Heartbeat").when(|cx| cx.group == "even").chance(0.5).fail("REBALANCE_IN_PROGRESS").named("group");"#;

/// All that other files may say about the same doings, none of it terminal.
const BESIDE: &str = r#"policy("beside"); seed(8);
    on_produce("t*").delay("1ms"); on_produce("*").chance(0.5).delay("1ms"); on_request("*").nth(3).delay("1ms");
    on_fetch("*").chance(0.5).delay("1ms");"#;

fn selective_step(world: &World, who: &Who, topic: &str, step: i64) {
    let class = if step % 3 == 0 { "b" } else { "a" };
    let value = format!("{{\"n\":{step}}}");
    let payload = batch_with_headers(&[&value, &value], step, &[("class", class)]);
    let lost = |_: u32| {
        let verdict = world.ask(who, &mut producing_payloads(&[(topic, payload.clone())], -1));
        !verdict.parts.is_empty() || verdict.lose.is_some()
    };
    // sent again while it fails
    let _ = (0..5).map(lost).find(|lost| !lost);
    let group = if step % 2 == 0 { "even" } else { "odd" };
    let heartbeat = crate::wire::api::heartbeat::Request { group_id: group.into(), ..Default::default() };
    world.ask(who, &mut request(4, heartbeat));
}

fn selective(world: &World, steps: std::ops::Range<i64>) {
    for n in 0..CLIENTS {
        steps.clone().for_each(|step| selective_step(world, &client("User:x", &n.to_string()), "t", step));
    }
}

/// Of the selective rules only.
fn selected(world: &World) -> BTreeSet<String> {
    let mut lines = world.journal();
    lines.retain(|line| line["policy"] == "selective");
    told(&lines)
}

#[test]
fn an_unrelated_file_does_not_move_what_selective_rules_draw() {
    let alone = world(&[("selective", SELECTIVE)]);
    selective(&alone, 0..60);
    let alone = selected(&alone);
    for rule in ["header", "value", "when", "group"] {
        let n = alone.iter().filter(|line| line.starts_with(&format!("\"{rule}\""))).count();
        assert!(n > 5, "{rule} fired {n} times");
    }
    for files in
        [[("selective", SELECTIVE), ("z-beside", BESIDE)], [("a-beside", BESIDE), ("selective", SELECTIVE)]]
    {
        let world = world(&files);
        selective(&world, 0..60);
        assert_eq!(selected(&world), alone);
    }
}

#[test]
fn what_ran_before_a_rule_was_loaded_does_not_move_what_it_draws() {
    let alone = world(&[]);
    selective(&alone, 0..40);
    alone.load(&[("selective", SELECTIVE)]);
    selective(&alone, 40..100);
    let beside = world(&[("beside", BESIDE)]);
    selective(&beside, 0..40);
    beside.load(&[("beside", BESIDE), ("selective", SELECTIVE)]);
    selective(&beside, 40..60);
    beside.load(&[("selective", SELECTIVE)]);
    selective(&beside, 60..80);
    beside.load(&[("beside", BESIDE), ("selective", SELECTIVE)]);
    selective(&beside, 80..100);
    let alone = selected(&alone);
    assert!(alone.len() > 20);
    assert_eq!(selected(&beside), alone);
}

#[test]
fn one_topic_from_several_clients_and_threads_draws_by_client() {
    let alone = world(&[("selective", SELECTIVE)]);
    selective(&alone, 0..60);
    let threads = world(&[("selective", SELECTIVE), ("beside", BESIDE)]);
    std::thread::scope(|scope| {
        for n in 0..CLIENTS {
            let world = &threads;
            scope.spawn(move || {
                let who = client("User:x", &n.to_string());
                (0..60).for_each(|step| selective_step(world, &who, "t", step));
            });
        }
    });
    assert_eq!(selected(&threads), selected(&alone));
}

#[test]
fn a_session_is_one_event_however_many_rules_look_at_its_beginning() {
    let rule = r#"policy("p"); seed(3); on_connect().chance(0.3).delay("1s").named("slow");"#;
    let beside = r#"on_connect().delay("1ms"); on_connect().chance(0.5).delay("1ms"); on_connect().from_ip("11.0.0.0/8").reset();"#;
    let run = |files: &[(&str, &str)]| -> Vec<String> {
        let world = world(files);
        (0..100).for_each(|session| {
            on_connect(&world.generation(), super::plain("public"), [10, 0, 0, 1].into(), session);
        });
        let lines = world.journal();
        lines.iter().filter(|l| l["rule"] == "slow").map(|l| l["n"].to_string()).collect()
    };
    let alone = run(&[("p", rule)]);
    assert!((15..45).contains(&alone.len()), "{alone:?}");
    assert_eq!(run(&[("a", beside), ("p", rule), ("z", &beside.replace("0.5", "0.6"))]), alone);
}

/// What a journal says happened, without what differs from run to run.
fn happened(journal: &[serde_json::Value]) -> Vec<String> {
    let mut lines: Vec<String> = journal
        .iter()
        .map(|line| {
            let mut line = line.clone();
            line["time"] = 0.into();
            line.to_string()
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn a_replay_forces_the_injections_of_a_journal() {
    const RULES: &str = r#"on_produce("t").chance(0.3).named("late").delay(uniform("1s", "9s"));
        on_produce("t").chance(0.2).named("bad").poison("truncated_json");
        on_fetch("t").every(3).at_most(2).named("cut").fail("NOT_LEADER_OR_FOLLOWER");
        on_request("Heartbeat").nth(2).named("again").rebalance();
        on_produce("t").chance(0.5).named("watched").observe().lose_response();"#;
    let run = |world: &World| {
        let mut delays = Vec::new();
        for n in 0..40 {
            delays.push(world.ask(&who("User:x"), &mut producing(&[("t", "{\"a\":1}")], n)).delay);
            world.fetch_from(&who("User:x"), &[("t", "v")], n);
            let beat = crate::wire::api::heartbeat::Request { group_id: "g".into(), ..Default::default() };
            world.ask(&who("User:x"), &mut request(4, beat));
        }
        (delays, world.journal())
    };
    let first = world_with(&[("p", RULES)], Settings { forced_seed: Some(11), ..Settings::default() });
    let (delays, journal) = run(&first);
    let text: String = journal.iter().map(|line| format!("{line}\n")).collect();
    let replay = || Some(crate::policy::replay::Replay::read(text.as_bytes()).unwrap());
    // other draws, other counts: the journal says what happens
    let changed = RULES.replace("chance(0.3)", "chance(1.0)").replace("chance(0.2)", "chance(0.0)");
    let changed = changed.replace("every(3).at_most(2)", "first(40)").replace("nth(2)", "every(7)");
    for rules in [RULES, &changed] {
        let again = world_with(
            &[("p", rules)],
            Settings { forced_seed: Some(99), replay: replay(), ..Settings::default() },
        );
        let (delayed, told) = run(&again);
        assert_eq!(delayed, delays);
        let real = |journal: &[serde_json::Value]| {
            happened(&journal.iter().filter(|line| line["observed"] != true).cloned().collect::<Vec<_>>())
        };
        assert_eq!(real(&told), real(&journal));
        assert!(real(&told).len() > 15);
    }
    let other = world_with(&[("p", RULES)], Settings { forced_seed: Some(99), ..Settings::default() });
    assert_ne!(run(&other).0, delays, "without the journal another seed does something else");
}

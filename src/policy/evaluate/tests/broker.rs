//! What faults ask of the embedded broker as a whole: to stand still, to lose records.

use super::*;
use crate::policy::generation::EmbeddedBroker;
use crate::wire::api::produce;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

/// Writes down what was asked of it.
#[derive(Debug, Default)]
struct Asked(Mutex<Vec<(String, i32, u64)>>);

impl EmbeddedBroker for Asked {
    fn truncate(&self, topic: &str, partition: i32, records: u64) -> bool {
        self.0.lock().unwrap().push((topic.to_owned(), partition, records));
        topic != "internal"
    }
}

fn with_broker(text: &str) -> (World, Arc<Asked>) {
    let asked = Arc::new(Asked::default());
    let broker: Arc<dyn EmbeddedBroker> = asked.clone();
    (world_with(&[("p", text)], Settings { broker: Some(broker), ..Settings::default() }), asked)
}

impl World {
    /// A produce request to a topic, up to the answer; gives what the broker was asked for before it and after it.
    fn wrote(&self, asked: &Asked, topic: &str, n: i64) -> (usize, Vec<(String, i32, u64)>) {
        let who = who("User:x");
        let mut request = producing(&[(topic, "1")], n);
        let verdict = self.ask(&who, &mut request);
        let before = asked.0.lock().unwrap().len();
        let mut response = Response::new(&request, produce::Response::default().into());
        let plan = self.generation().plan(&who);
        let cx = ExchangeContext { who: &who, session: 1 };
        plan.on_response(&cx, &request, &verdict, &mut response);
        (before, std::mem::take(&mut asked.0.lock().unwrap()))
    }

    fn all_counts(&self) -> Vec<(u64, u64, u64)> {
        let rules = self.generation();
        let rules = rules.policies.iter().flat_map(|policy| &policy.rules);
        rules.map(|rule| rule.life.counters.read()).collect()
    }
}

#[test]
fn a_log_is_cut_after_the_exchange_that_says_so() {
    let (world, asked) = with_broker(r#"on_produce("t", "internal").nth(2).truncate_log(7);"#);
    assert_eq!(world.wrote(&asked, "t", 1), (0, vec![]));
    assert_eq!(world.wrote(&asked, "u", 2), (0, vec![]));
    assert_eq!(world.wrote(&asked, "t", 3), (0, vec![("t".to_owned(), 0, 7)]));
    assert_eq!(world.wrote(&asked, "t", 4), (0, vec![]));
    // The broker would not: it is counted, and no line says that it was done.
    world.wrote(&asked, "internal", 1);
    assert_eq!(world.wrote(&asked, "internal", 2).1.len(), 1);
    assert_eq!(world.all_counts(), [(5, 1, 1)]);
    let journal = world.policies.shared().journal.taken();
    let [line] = journal.as_slice() else { panic!("{journal:?}") };
    assert_eq!(
        (&line["fault"], &line["parameter"], &line["when"], &line["n"]),
        (&"truncate_log".into(), &"7".into(), &"after".into(), &1.into())
    );
    assert_eq!(line["subject"], "User:x c Produce t-0");
}

#[test]
fn a_cut_is_of_the_partition_that_was_written() {
    let (world, asked) = with_broker(r#"on_produce("t").truncate_log(7);"#);
    let mut request = producing(&[("t", "v")], 1);
    let RequestBody::Produce(body) = request.body_mut().unwrap() else { panic!("not a produce") };
    body.topic_data[0].partition_data[0].index = 3;
    let verdict = world.ask(&who("User:x"), &mut request);
    let mut response = Response::new(&request, produce::Response::default().into());
    let cx = ExchangeContext { who: &who("User:x"), session: 1 };
    world.generation().plan(cx.who).on_response(&cx, &request, &verdict, &mut response);
    assert_eq!(*asked.0.lock().unwrap(), [("t".to_owned(), 3, 7)]);
    assert_eq!(world.journal()[0]["subject"], "User:x c Produce t-3");
}

#[test]
fn a_cut_is_audited_when_it_was_made() {
    let (world, asked) = with_broker(r#"on_produce("t", "internal").truncate_log(7).audit();"#);
    world.wrote(&asked, "internal", 1);
    assert!(world.audit().is_empty(), "the broker would not");
    world.wrote(&asked, "t", 2);
    let [line] = &*world.audit() else { panic!("one line") };
    assert_eq!((&line["decision"], &line["name"]), (&"inject".into(), &"t".into()));
}

#[test]
fn a_cut_that_is_only_observed_is_not_asked_for() {
    let (world, asked) = with_broker(r#"on_produce("t").truncate_log(7).observe();"#);
    assert_eq!(world.wrote(&asked, "t", 1), (0, vec![]));
    assert_eq!(world.all_counts(), [(1, 1, 0)]);
    assert_eq!(world.policies.shared().journal.taken()[0]["observed"], true);
}

#[test]
fn an_exchange_has_the_broker_stand_still_for_a_time() {
    let world = one(r#"on_produce("t").nth(2).pause("5s"); on_fetch().audit();"#);
    assert!(world.policies.may_pause());
    let ask = |n| world.ask(&who("User:x"), &mut producing(&[("t", "1")], n));
    assert!(ask(1).is_pass());
    assert_eq!(world.policies.paused(), None);
    assert!(ask(2).is_pass(), "the exchange itself meets nothing");
    assert_eq!(world.policies.paused(), Some(5 * SECOND));
    world.clock.advance(2 * SECOND);
    assert_eq!(world.policies.paused(), Some(3 * SECOND));
    world.clock.advance(3 * SECOND);
    assert_eq!(world.policies.paused(), None);
    let journal = world.policies.shared().journal.taken();
    assert_eq!((&journal[0]["fault"], &journal[0]["parameter"]), (&"pause".into(), &"5s".into()));
    assert_eq!(journal.len(), 1);
    world.load(&[("p", "")]);
    assert!(!world.policies.may_pause());
}

#[test]
fn a_pause_ends_with_its_rule() {
    let pause = |time: &str| format!("on_produce(\"t\").pause(\"{time}\").named(\"p\").expires(\"20s\");");
    let world = one(&pause("1m"));
    world.ask(&who("User:x"), &mut producing(&[("t", "1")], 1));
    assert_eq!(world.policies.paused(), Some(20 * SECOND), "no longer than the rule is there");
    world.load(&[("p", &format!("{} on_fetch().audit();", pause("1m")))]);
    assert!(world.policies.paused().is_some(), "it says what it said");
    world.load(&[("p", &pause("2m"))]);
    assert_eq!(world.policies.paused(), None);
    world.ask(&who("User:x"), &mut producing(&[("t", "1")], 2));
    assert!(world.policies.paused().is_some());
    world.load(&[("p", "")]);
    assert_eq!(world.policies.paused(), None);
}

#[test]
fn the_broker_stands_still_by_the_clock() {
    let world = one(r#"on_broker().during("10s", "15s").pause();"#);
    assert!(world.policies.may_pause());
    let seen = [9, 1, 2, 2, 1].map(|seconds| {
        world.clock.advance(seconds * SECOND);
        world.policies.paused()
    });
    assert_eq!(seen, [None, Some(5 * SECOND), Some(3 * SECOND), Some(SECOND), None]);
    assert_eq!(world.all_counts(), [(1, 1, 0)], "told once, however often one looks");
    let journal = world.policies.shared().journal.taken();
    let [line] = journal.as_slice() else { panic!("{journal:?}") };
    assert_eq!((&line["parameter"], &line["subject"]), (&"5s".into(), &"broker itself time".into()));
}

#[test]
fn a_pause_that_is_only_observed_stops_nothing() {
    let world =
        one(r#"mode("observe"); on_broker().during("0s", "15s").pause(); on_produce("t").pause("5s");"#);
    world.ask(&who("User:x"), &mut producing(&[("t", "1")], 1));
    assert_eq!(world.policies.paused(), None);
    assert_eq!(world.all_counts(), [(1, 1, 0), (1, 1, 0)]);
}

#[test]
fn a_cut_of_what_is_not_answered_cannot_be_made() {
    let (world, asked) = with_broker(r#"on_produce("t").truncate_log(7);"#);
    let mut unanswered = producing_payloads(&[("t", batch(&["v"], 0))], 0);
    assert!(world.ask(&who("User:x"), &mut unanswered).is_pass());
    assert_eq!(world.all_counts(), [(1, 0, 1)]);
    assert!(asked.0.lock().unwrap().is_empty() && world.journal().is_empty());
}

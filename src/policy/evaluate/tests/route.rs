//! What is routed: which records become letters, what goes on, and that a batch which comes again is parted as it was.

use super::*;
use crate::policy::action::route::PRODUCER_HEADER;
use crate::policy::verdict::{Passing, Routed};

/// A producer's view of one partition of "t": what of its batches goes on and what becomes letters.
struct Producer<'w> {
    world: &'w World,
    id: i64,
}

struct Sent {
    verdict: Verdict,
    /// Number and values of what goes on.
    rest: (i32, Vec<Option<String>>),
}

impl Producer<'_> {
    fn send(&self, values: &[&str], base_sequence: i32) -> Sent {
        self.send_payload(sequenced(values, self.id, base_sequence))
    }

    fn send_payload(&self, payload: Bytes) -> Sent {
        let mut request = producing_payloads(&[("t", payload)], -1);
        let who = who("User:ada");
        let plan = self.world.generation().plan(&who);
        let cx = ExchangeContext { who: &who, session: 1 };
        let verdict = plan.on_request(&cx, &mut request);
        // as when all of it arrives
        verdict.routed.iter().for_each(|routed| plan.routed(&cx, &request, routed, None));
        let RequestBody::Produce(body) = request.body().unwrap() else { panic!("not a produce") };
        let payload = body.topic_data[0].partition_data[0].records.to_bytes().unwrap();
        let number = BatchHeader::parse(&payload).map_or(-1, |header| header.base_sequence);
        Sent { verdict, rest: (number, values(&payload)) }
    }
}

impl Sent {
    fn routed(&self) -> &Routed {
        let [routed] = self.verdict.routed.as_slice() else { panic!("{:?}", self.verdict) };
        routed
    }

    /// By topic: the values of its letters.
    fn letters(&self) -> Vec<(String, Vec<Option<String>>)> {
        let letters = |letters: &crate::policy::verdict::Letters| {
            let values = letters.batches.iter().flat_map(|batch| values(&batch.payload)).collect();
            (letters.topic.to_string(), values)
        };
        self.verdict.routed.iter().flat_map(|routed| &routed.letters).map(letters).collect()
    }

    fn arrive(&self) {
        let Passing::Own(carrier) = &self.routed().passage else { panic!("{:?}", self.routed()) };
        carrier.all_arrived();
    }

    fn is_earlier(&self) -> bool {
        matches!(self.routed().passage, Passing::Earlier(_))
    }
}

fn to(topic: &str, values: &[&str]) -> (String, Vec<Option<String>>) {
    (topic.to_owned(), some(values))
}

const RULE: &str = r#"on_produce("t").value("$.bad", true).route("dlq", "it is bad").named("bad");"#;
const BAD: &str = r#"{"bad":true}"#;

#[test]
fn selected_records_become_letters_and_the_rest_goes_on() {
    let world = one(RULE);
    let producer = Producer { world: &world, id: -1 };
    let sent = producer.send_payload(batch(&["{}", BAD, r#"{"n":1}"#], 0));
    assert!(sent.verdict.parts.is_empty() && !sent.verdict.refused);
    assert_eq!(sent.letters(), [to("dlq", &[BAD])]);
    assert_eq!(sent.rest.1, some(&["{}", r#"{"n":1}"#]));
    assert!(!sent.routed().all && sent.routed().passage_is_unknown());
    assert_eq!(world.counts(0), (1, 1, 0));
    let line = &world.audit()[0];
    assert_eq!(
        (line["decision"].as_str(), line["reason"].as_str(), line["records"].as_u64()),
        (Some("route"), Some("it is bad"), Some(1))
    );
    let who = who("User:ada");
    let cx = ExchangeContext { who: &who, session: 1 };
    world.generation().plan(&who).routed(&cx, &producing(&[], 0), sent.routed(), Some("nobody is there"));
    assert_eq!(world.counts(0), (1, 1, 1));
    assert_eq!(world.audit()[0]["decision"].as_str(), Some("undelivered"));
    let all = producer.send_payload(batch(&[BAD, BAD], 1));
    assert!(all.routed().all && all.rest.1.is_empty());
    let none = producer.send_payload(batch(&["{}"], 2));
    assert!(none.verdict.is_pass());
}

impl Routed {
    fn passage_is_unknown(&self) -> bool {
        matches!(self.passage, Passing::Unknown)
    }
}

#[test]
fn what_checks_refuse_is_routed_and_nothing_else() {
    let world = one(r#"on_produce("t").require_header("id").route("no-id");
           on_produce("t").each(|cx, record| { if record.value("$.bad") == true { cx.deny("bad one"); } }).route("bad");"#);
    let producer = Producer { world: &world, id: -1 };
    let sent = producer.send_payload(batch_with_headers(&["{}", BAD], 0, &[("id", "1")]));
    assert_eq!(sent.letters(), [to("bad", &[BAD])]);
    let sent = producer.send_payload(batch(&["{}", BAD], 1));
    assert_eq!(sent.letters(), [to("no-id", &["{}", BAD])], "the first rule that takes a record has it");
    let (matched, applied, _) = world.counts(1);
    assert_eq!((matched, applied), (2, 1), "a closure whose word was followed, and one that said none");
}

#[test]
fn a_policy_that_observes_counts_and_routes_nothing() {
    let world = one(&format!("mode(\"observe\"); {RULE}"));
    let sent = Producer { world: &world, id: -1 }.send_payload(batch(&["{}", BAD, BAD], 0));
    assert!(sent.verdict.is_pass());
    assert_eq!(world.counts(0), (2, 2, 0));
    let line = &world.audit()[0];
    assert_eq!(
        (line["decision"].as_str(), line["records"].as_u64(), line["observed"].as_bool()),
        (Some("route"), Some(2), Some(true))
    );
}

#[test]
fn letters_carry_what_masks_and_encryption_left() {
    let world = one(&format!(r#"on_produce("t").mask("$.card", "all"); {RULE}"#));
    let sent = Producer { world: &world, id: -1 }.send_payload(batch(&[r#"{"bad":true,"card":"41"}"#], 0));
    assert_eq!(sent.letters(), [to("dlq", &[r#"{"bad":true,"card":"****"}"#])]);
}

#[test]
fn a_denied_batch_sends_no_letters() {
    let world = one(&format!(r#"on_produce("t").value("$.n", 1).deny(); {RULE}"#));
    let producer = Producer { world: &world, id: 7 };
    let sent = producer.send(&[BAD, r#"{"n":1}"#], 0);
    assert!(sent.verdict.routed.is_empty() && codes(&sent.verdict) == [Some(ErrorCode::INVALID_RECORD)]);
    assert_eq!(producer.send(&["{}"], 2).rest.0, 2, "nothing of it counts");
}

#[test]
fn records_of_a_transaction_are_refused() {
    let world = one(RULE);
    let payload = with_codecs(|_, compressor| {
        let header = BatchHeader {
            producer_id: 3,
            producer_epoch: 0,
            base_sequence: 0,
            attributes: 1 << 4,
            ..Default::default()
        };
        let mut builder = BatchBuilder::new(header, compressor);
        builder.append(1, None, Some(BAD.as_bytes()), HeadersBuf::new().as_headers()).unwrap();
        builder.finish().unwrap()
    });
    let sent = Producer { world: &world, id: 3 }.send_payload(payload);
    assert_eq!(codes(&sent.verdict), [Some(ErrorCode::INVALID_RECORD)]);
    assert!(sent.verdict.routed.is_empty());
}

#[test]
fn batches_behind_are_renumbered_and_a_batch_that_comes_again_is_parted_as_it_was() {
    let world = one(RULE);
    let producer = Producer { world: &world, id: 7 };
    let first = producer.send(&["{}", BAD, BAD], 0);
    assert_eq!((first.rest.clone(), first.letters()), ((0, some(&["{}"])), vec![to("dlq", &[BAD, BAD])]));
    let second = producer.send(&["{}", BAD], 3);
    assert_eq!(second.rest, (1, some(&["{}"])));
    assert_eq!(producer.send(&["{}"], 5).rest, (2, some(&["{}"])));
    first.arrive();
    // both again, the second while its letters are under way
    for (values, number, before) in [(&["{}", BAD, BAD][..], 0, &first), (&["{}", BAD], 3, &second)] {
        let again = producer.send(values, number);
        assert!(again.is_earlier() && again.letters().is_empty());
        assert_eq!(again.rest, before.rest);
    }
    // whatever the rules are by now
    second.arrive();
    world.load(&[("p", r#"on_produce("t").value("$.bad", false).route("dlq");"#)]);
    let again = producer.send(&["{}", BAD, BAD], 0);
    assert!(again.is_earlier() && again.rest == first.rest);
    world.load(&[("p", "")]);
    let again = producer.send(&["{}", BAD], 3);
    assert!(again.is_earlier() && again.rest == second.rest);
    assert_eq!(producer.send(&["{}"], 6).rest.0, 3);
    assert_eq!(world.counts_or_none(), None);
}

impl World {
    fn counts_or_none(&self) -> Option<(u64, u64, u64)> {
        let generation = self.generation();
        generation
            .policies
            .iter()
            .flat_map(|policy| &policy.rules)
            .next()
            .map(|rule| rule.life.counters.read())
    }
}

#[test]
fn letters_that_were_lost_are_sent_again() {
    let world = one(RULE);
    let producer = Producer { world: &world, id: 7 };
    drop(producer.send(&["{}", BAD], 0));
    assert_eq!(producer.send(&["{}"], 2).rest.0, 2, "a batch that was refused counts for nothing");
    let again = producer.send(&["{}", BAD], 0);
    assert_eq!(again.letters(), [to("dlq", &[BAD])]);
    again.arrive();
    assert_eq!(producer.send(&["{}"], 2).rest.0, 1);
    // the same numbers over another content are another batch
    let other = producer.send(&[BAD, "{}"], 0);
    assert_eq!(other.letters(), [to("dlq", &[BAD])]);
}

#[test]
fn what_its_broker_refused_comes_again_under_other_numbers() {
    let world = one(RULE);
    let producer = Producer { world: &world, id: 7 };
    let sent = producer.send(&["{}", BAD], 10);
    sent.arrive();
    let Passing::Own(carrier) = &sent.routed().passage else { panic!() };
    carrier.passage().rest(Some(false));
    let again = producer.send(&["{}", BAD], 0);
    assert!(again.is_earlier());
    assert_eq!(again.rest, (0, some(&["{}"])));
    assert_eq!(producer.send(&["{}"], 2).rest.0, 1);
    // where nothing was stored, rules that take more by now take more
    world.load(&[("p", r#"on_produce("t").route("dlq");"#)]);
    assert!(!producer.send(&["{}", BAD], 0).is_earlier());
}

#[test]
fn a_draw_about_a_record_is_the_same_when_its_batch_comes_again() {
    let world = one(r#"seed(5); on_produce("t").chance(0.5).route("dlq");"#);
    for n in 0..20 {
        let producer = Producer { world: &world, id: -1 };
        let payload = batch(&["a", "b", "c", "d"], n);
        let (first, again) = (producer.send_payload(payload.clone()), producer.send_payload(payload));
        assert_eq!(first.letters(), again.letters());
        assert_eq!(first.rest, again.rest);
    }
}

#[test]
fn a_batch_that_a_fault_keeps_from_being_executed_sends_no_letters() {
    for fault in ["fail(\"NOT_LEADER_OR_FOLLOWER\")", "lose_request()", "disconnect()"] {
        let world = one(&format!("{RULE} on_produce(\"t\").first(1).{fault};"));
        let producer = Producer { world: &world, id: 7 };
        let sent = producer.send(&["{}", BAD], 0);
        assert!(sent.verdict.routed.is_empty(), "{fault}");
        drop(sent);
        let again = producer.send(&["{}", BAD], 0);
        assert_eq!(
            (again.rest.clone(), again.letters()),
            ((0, some(&["{}"])), vec![to("dlq", &[BAD])]),
            "{fault}"
        );
        assert_eq!(producer.send(&["{}"], 2).rest.0, 1, "{fault}");
    }
    for fault in ["lose_response()", "fail_after(\"REQUEST_TIMED_OUT\")"] {
        let world = one(&format!("{RULE} on_produce(\"t\").{fault};"));
        assert_eq!(
            Producer { world: &world, id: 7 }.send(&[BAD], 0).letters(),
            [to("dlq", &[BAD])],
            "{fault}"
        );
    }
}

#[test]
fn a_fault_may_take_what_is_left() {
    let world = one(&format!("{RULE} on_produce(\"t\").drop_records();"));
    let producer = Producer { world: &world, id: 7 };
    let sent = producer.send(&["{}", BAD], 0);
    assert!(sent.routed().all && sent.verdict.parts.is_empty());
    assert_eq!(sent.letters(), [to("dlq", &[BAD])]);
    sent.arrive();
    let again = producer.send(&["{}", BAD], 0);
    assert!(again.routed().all && again.is_earlier());
    world.load(&[("p", RULE)]);
    assert_eq!(producer.send(&["{}"], 2).rest.0, 0);
}

#[test]
fn a_batch_that_was_too_large_comes_again_in_two_under_its_numbers() {
    for told in [true, false] {
        let world = one(RULE);
        let producer = Producer { world: &world, id: 7 };
        let whole = producer.send(&["{}", "{}", BAD, "{}"], 10);
        whole.arrive();
        if told {
            let plan = world.generation().plan(&who("User:ada"));
            plan.rest_of(whole.routed(), Some(false));
            assert_eq!(producer.send(&["{}"], 14).rest.0, 14, "nothing of it is stored");
        }
        let halves = [producer.send(&["{}", "{}"], 10), producer.send(&[BAD, "{}"], 12)];
        assert_eq!(halves[0].rest, (10, some(&["{}", "{}"])), "told: {told}");
        assert_eq!(halves[1].rest, (12, some(&["{}"])), "told: {told}");
        assert_eq!(halves[1].letters(), [to("dlq", &[BAD])]);
        assert_eq!(producer.send(&["{}"], 14).rest.0, 13, "told: {told}");
    }
}

#[test]
fn letters_that_did_not_arrive_count_for_nothing_whoever_waited() {
    let world = one(RULE);
    let producer = Producer { world: &world, id: 7 };
    let sent = producer.send(&["{}", BAD], 0);
    let waits = producer.send(&["{}", BAD], 0);
    assert!(waits.is_earlier());
    let plan = world.generation().plan(&who("User:ada"));
    plan.letters_lost(sent.routed());
    assert_eq!(
        producer.send(&["{}", BAD], 0).letters(),
        [to("dlq", &[BAD])],
        "though the first is still held"
    );
    plan.letters_lost(waits.routed());
    assert_eq!(producer.send(&["{}"], 2).rest.0, 2);
}

#[test]
fn what_is_taken_is_refused_by_a_later_rule_all_the_same() {
    for refuses in [
        "on_produce(\"t\").value(\"$.n\", 1).deny();",
        "on_produce(\"t\").require_header(\"id\");",
        "on_produce(\"t\").each(|cx, record| { cx.deny(\"no\"); });",
    ] {
        let world = one(&format!("{RULE} {refuses}"));
        let producer = Producer { world: &world, id: 7 };
        let sent = producer.send(&[r#"{"bad":true,"n":1}"#, r#"{"n":0}"#], 0);
        assert!(sent.verdict.routed.is_empty(), "{refuses}");
        assert_eq!(codes(&sent.verdict), [Some(ErrorCode::INVALID_RECORD)], "{refuses}");
        assert_eq!(world.counts(0), (1, 0, 0), "{refuses}");
        assert!(world.counts(1).1 > 0, "{refuses}");
    }
    // of two that route the first has it
    let world = one(&format!("{RULE} on_produce(\"t\").route(\"all\");"));
    let sent = Producer { world: &world, id: -1 }.send_payload(batch(&[BAD, "{}"], 0));
    assert_eq!(sent.letters(), [to("dlq", &[BAD]), to("all", &["{}"])]);
}

#[test]
fn what_is_written_down_of_letters_names_their_topic_and_counts_them_by_rule() {
    let world = one(&format!("{RULE} on_produce(\"t\").value(\"$.worse\", true).route(\"dlq-2\");"));
    let worse = r#"{"worse":true}"#;
    let sent = Producer { world: &world, id: -1 }.send_payload(batch(&[BAD, worse, BAD, BAD], 0));
    let by_rule: Vec<u64> = sent.routed().rules.iter().map(|by| by.records).collect();
    assert_eq!(by_rule, [3, 1]);
    assert_eq!((world.counts(0), world.counts(1)), ((3, 3, 0), (1, 1, 0)));
    let told: Vec<_> = world
        .audit()
        .iter()
        .map(|line| ["resource", "name", "partition", "records"].map(|field| line[field].to_string()))
        .collect();
    assert_eq!(told, [["\"topic\"", "\"t\"", "0", "3"], ["\"topic\"", "\"t\"", "0", "1"]]);
}

#[test]
fn letters_belong_to_their_part() {
    let world = one(RULE);
    let mut request = producing_payloads(&[("u", batch(&[BAD], 0)), ("t", batch(&[BAD, "{}"], 0))], -1);
    let verdict = world.ask(&who("User:ada"), &mut request);
    let [routed] = &*verdict.routed else { panic!("{verdict:?}") };
    assert_eq!((routed.at, &*routed.topic), (1, "t"));
    let elsewhere = Routed { partition: 3, ..routed.clone() };
    let who = who("User:ada");
    let cx = ExchangeContext { who: &who, session: 1 };
    world.generation().plan(&who).routed(&cx, &request, &elsewhere, None);
    assert_eq!(world.audit()[0]["partition"], 3);
}

#[test]
fn letters_of_numbered_records_say_their_number() {
    let world = one(RULE);
    let sent = Producer { world: &world, id: 7 }.send(&["{}", BAD], 10);
    let payload = sent.routed().letters[0].batches[0].payload.clone();
    with_codecs(|decompressor, _| {
        let batch = batches(&payload).next().unwrap().unwrap();
        let record = Records::open(batch.bytes, &batch.header, decompressor, 1 << 20).unwrap().next();
        let headers = record.unwrap().unwrap().headers;
        let header = crate::wire::record::Headers::last(&headers, PRODUCER_HEADER.as_bytes());
        assert_eq!(header, Some(Some(b"7/0/11".as_slice())));
    });
}

#[test]
fn what_arrived_of_a_lost_batch_is_remembered_as_long_as_the_same_is_routed() {
    use crate::policy::letters::Bundle;
    let bundle = Bundle::of("dlq", &[1]);
    let has_arrived = |sent: &Sent| {
        let Passing::Own(carrier) = &sent.routed().passage else { panic!("{:?}", sent.routed()) };
        carrier.has_arrived(bundle)
    };
    for changed in [false, true] {
        let world = one(RULE);
        let producer = Producer { world: &world, id: 7 };
        let sent = producer.send(&["{}", BAD], 0);
        let Passing::Own(carrier) = &sent.routed().passage else { panic!("{:?}", sent.routed()) };
        carrier.one_arrived(bundle);
        drop(sent);
        if changed {
            world.load(&[("p", r#"on_produce("t").route("dlq");"#)]);
        }
        let again = producer.send(&["{}", BAD], 0);
        assert_eq!(has_arrived(&again), !changed);
        let rest = if changed { some(&[]) } else { some(&["{}"]) };
        assert_eq!(again.rest.1, rest);
        again.arrive();
        let third = producer.send(&["{}", BAD], 0);
        assert!(third.is_earlier());
        assert_eq!(third.rest.1, rest, "parted as it was when its letters arrived");
    }
}

#[test]
fn more_than_can_be_held_is_not_routed() {
    let world = one("on_produce(\"t\").route(\"dlq\");");
    // what letters say of themselves counts: with reasons the same records are more
    let records = crate::policy::action::route::MOST_BYTES / crate::policy::action::route::LETTER_BYTES;
    let values = vec![""; records];
    let sent = Producer { world: &world, id: -1 }.send_payload(batch(&values, 0));
    let [Outcome::Answer { code, message, .. }] = &*sent.verdict.parts else { panic!("{:?}", sent.verdict) };
    let said = message.as_deref().unwrap_or_default();
    assert_eq!(
        (*code, said),
        (ErrorCode::MESSAGE_TOO_LARGE, "more would be routed than can be held at once")
    );
    assert!(sent.verdict.routed.is_empty());
}

//! What the rules decided for one exchange: a closed set of outcomes, per part and for the whole.
//! Written by the policies, carried out by the gateway.

use super::action::route::LetterBatch;
use super::fault::hold::Awaited;
use super::fault::link::LinkFault;
use super::fault::tls::TlsFault;
use super::letters::{Carrier, Numbered, Passage};
use super::random::{Draws, Event};
use super::rule::Rule;
use crate::wire::{ErrorCode, Str};
use std::sync::Arc;
use std::time::Duration;

/// What becomes of one part of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Outcome {
    /// It goes upstream.
    #[default]
    Forward,
    /// It is answered here and does not go upstream.
    Answer {
        code: ErrorCode,
        /// Shown to the client where the api has a place for it.
        message: Option<String>,
        /// Index in the batch and reason, for Produce 8 and later (KIP-467).
        records: Vec<(i32, String)>,
    },
}

impl Outcome {
    pub fn answer(code: ErrorCode) -> Self {
        Self::Answer { code, message: None, records: Vec::new() }
    }

    pub fn is_forward(&self) -> bool {
        *self == Self::Forward
    }
}

/// Which half of an exchange is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lose {
    /// Never forwarded, never answered.
    Request,
    /// Executed; the answer is withheld.
    Response,
}

/// How a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Closed after the responses it is owed.
    Disconnect,
    /// At once, with a RST.
    Reset,
}

/// How deep the policies must look into a message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interest {
    /// Not at all: the frame may stay opaque and stream through.
    #[default]
    Nothing,
    /// Its header is enough; the body is decoded only if a rule then fires.
    Head,
    /// The body: topics, partitions, groups.
    Parts,
    /// The records in it.
    Records,
}

/// What the policies want to see of the response to one exchange.
pub type ResponseInterest = Interest;

/// A delay and the rule it is there for: it ends when the rule does.
#[derive(Debug, Clone)]
pub struct Hold {
    pub rule: Arc<Rule>,
    pub delay: Duration,
}

impl PartialEq for Hold {
    fn eq(&self, other: &Self) -> bool {
        self.rule.key == other.rule.key && self.delay == other.delay
    }
}

/// A fault of a session's bytes and the rule it is there for: it ends when the rule does.
#[derive(Debug, Clone)]
pub struct Link {
    pub rule: Arc<Rule>,
    pub fault: LinkFault,
    /// Of this session, for this fault.
    pub draws: Draws,
}

impl PartialEq for Link {
    fn eq(&self, other: &Self) -> bool {
        self.rule.key == other.rule.key && self.fault == other.fault
    }
}

/// A session that a rule with a `storm` matched is in that storm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storm {
    /// The rule's identity.
    pub rule: u64,
    /// All sessions in it are dropped now.
    pub breaks: bool,
}

impl Storm {
    /// Says it once for each rule.
    pub fn add(storms: &mut Vec<Storm>, rule: u64, breaks: bool) {
        match storms.iter_mut().find(|storm| storm.rule == rule) {
            Some(storm) => storm.breaks |= breaks,
            None => storms.push(Storm { rule, breaks }),
        }
    }
}

/// A log that loses its newest records once an exchange about it is executed.
#[derive(Debug, Clone)]
pub struct Truncation {
    pub topic: Str,
    pub partition: i32,
    pub records: u64,
    pub rule: Arc<Rule>,
    pub event: Event,
}

impl PartialEq for Truncation {
    fn eq(&self, other: &Self) -> bool {
        let of = |it: &Self| (it.topic.clone(), it.partition, it.records, it.rule.key, it.event);
        of(self) == of(other)
    }
}

/// A request that waits for another exchange, and the injection that makes it.
#[derive(Debug, Clone)]
pub struct Held {
    pub rule: Arc<Rule>,
    pub event: Event,
    pub awaited: Awaited,
    pub session: u64,
    pub correlation_id: i32,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.rule.key == other.rule.key && self.event == other.event && self.awaited == other.awaited
    }
}

/// Records of a produced part that go to dead-letter topics, and must have arrived there before the rest of the part goes on.
#[derive(Debug, Clone)]
pub struct Routed {
    /// The part.
    pub at: usize,
    pub topic: Str,
    pub partition: i32,
    /// Nothing is left of the part: it is answered here, as stored.
    pub all: bool,
    /// By topic; none for what is sent already.
    pub letters: Vec<Letters>,
    pub passage: Passing,
    /// As its sender numbers it, if it does.
    pub numbered: Option<Numbered>,
    /// Which records, by their places in the batch.
    pub records: Arc<[u32]>,
    /// By which rules; none for what is sent already.
    pub rules: Vec<RoutedBy>,
}

/// What one rule routes of a part.
#[derive(Debug, Clone)]
pub struct RoutedBy {
    pub rule: Arc<Rule>,
    pub records: u64,
    /// Of the first of them.
    pub reason: Box<str>,
}

/// Letters to one topic.
#[derive(Debug, Clone, PartialEq)]
pub struct Letters {
    pub topic: Str,
    /// To be produced one after the other.
    pub batches: Vec<LetterBatch>,
}

/// Who sees to it that letters arrive once.
#[derive(Debug, Clone)]
pub enum Passing {
    /// Nobody: the producer does not number its records, so nobody can tell a batch that comes again.
    Unknown,
    /// This exchange.
    Own(Arc<Carrier>),
    /// An earlier attempt of the same batch.
    Earlier(Arc<Passage>),
}

impl PartialEq for Routed {
    fn eq(&self, other: &Self) -> bool {
        let of = |it: &Self| (it.at, it.all, it.records.clone());
        of(self) == of(other) && self.letters == other.letters
    }
}

/// What was decided about a request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// One a part, in request order; empty when all are forwarded.
    pub parts: Vec<Outcome>,
    /// The whole exchange is answered with this code and not forwarded.
    pub whole: Option<ErrorCode>,
    /// A security rule refused the exchange or a part of it: for those who show verdicts.
    pub refused: bool,
    /// The request's body was edited in place.
    pub edited: bool,
    /// The response leaves that much later.
    pub delay: Duration,
    /// What the delay is made of.
    pub holds: Vec<Hold>,
    pub lose: Option<Lose>,
    /// The session ends; the request is not executed.
    pub end: Option<End>,
    /// Parts (by index) that are executed and then answered with an error.
    pub after: Vec<(usize, ErrorCode)>,
    /// The whole exchange is executed and then answered with an error.
    pub after_whole: Option<ErrorCode>,
    /// What must be shown of the response.
    pub response: ResponseInterest,
    /// What the answer says that the client must wait for.
    pub throttle: Duration,
    /// As `throttle`, and nothing more is taken from the session for so long.
    pub mute: Duration,
    /// Of a login: how long it is good.
    pub lifetime: Option<Hold>,
    /// What the session is in from here on.
    pub storms: Vec<Storm>,
    /// What it waits for before the upstream gets it.
    pub held: Option<Held>,
    /// The upstream gets it twice; the first answer counts.
    pub duplicate: bool,
    /// What logs lose once the exchange is executed.
    pub truncations: Vec<Truncation>,
    /// What goes to dead-letter topics first.
    pub routed: Vec<Routed>,
    /// For Fetch: the request must be made sessionless (epoch -1, and the response's session id zero), so
    /// that every partition it is about is named in it.
    pub sessionless: bool,
}

impl Verdict {
    /// True when nothing was decided: the request goes on as it came.
    pub fn is_pass(&self) -> bool {
        *self == Self { response: self.response, sessionless: self.sessionless, ..Self::default() }
    }

    pub fn outcome(&self, part: usize) -> &Outcome {
        self.parts.get(part).unwrap_or(&Outcome::Forward)
    }

    /// Whether nothing of the request goes upstream.
    pub fn forwards_nothing(&self) -> bool {
        self.whole.is_some()
            || self.end.is_some()
            || self.lose == Some(Lose::Request)
            || (!self.parts.is_empty() && self.parts.iter().all(|p| !p.is_forward()))
    }
}

/// What was decided about a response. Errors of single parts are in the response already.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ResponseVerdict {
    /// The response was changed.
    pub edited: bool,
    /// On top of what the request's verdict says.
    pub delay: Duration,
    pub holds: Vec<Hold>,
    pub lose: Option<Lose>,
    pub end: Option<End>,
    pub storms: Vec<Storm>,
    /// Nothing more is taken from the session for so long; the response says it already.
    pub mute: Duration,
}

/// What was decided about a new session, before its first byte.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConnectVerdict {
    /// Refused by a security rule: closed without a word.
    pub deny: bool,
    /// The first byte is read that much later.
    pub delay: Duration,
    pub holds: Vec<Hold>,
    pub end: Option<End>,
    /// What is done to its bytes.
    pub links: Vec<Link>,
    /// How its TLS handshake fails.
    pub tls: Option<TlsFault>,
    pub storms: Vec<Storm>,
}

impl ConnectVerdict {
    pub fn is_pass(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::generation::{Policies, Settings, Shared};
    use crate::policy::load::Script;
    use bytes::Bytes;

    const EVENT: Event = Event { subject: 1, ordinal: 2, attempt: 3 };

    /// Two rules.
    fn rules() -> [Arc<Rule>; 2] {
        let text = r#"on_request("Heartbeat").delay("1s"); on_request("Heartbeat").delay("2s");"#;
        let policies = Policies::new(Shared::new(Settings::default()));
        let loaded = policies.load(&[Script { file: "p.rhai".into(), text: text.into() }]).unwrap();
        let [a, b] = loaded.policies[0].rules.as_slice() else { panic!("two rules") };
        [Arc::clone(a), Arc::clone(b)]
    }

    /// The first equals itself, and each of the others is something else.
    fn differ<T: PartialEq + Clone + std::fmt::Debug>(all: &[T]) {
        for (a, one) in all.iter().enumerate() {
            for (b, other) in all.iter().enumerate() {
                assert_eq!(*one == other.clone(), a == b, "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn what_waits_is_the_same_by_its_rule_and_how_long() {
        let [a, b] = rules();
        let second = Duration::from_secs(1);
        differ(&[
            Hold { rule: a.clone(), delay: second },
            Hold { rule: a, delay: 2 * second },
            Hold { rule: b, delay: second },
        ]);
    }

    #[test]
    fn faults_of_bytes_are_the_same_by_their_rule_and_what_they_do() {
        let [a, b] = rules();
        let link = |rule: &Arc<Rule>, fault, seed| Link {
            rule: rule.clone(),
            fault,
            draws: Draws::new(seed, 1, EVENT),
        };
        differ(&[
            link(&a, LinkFault::HalfOpen, 1),
            link(&a, LinkFault::CloseAfterBytes(5), 1),
            link(&b, LinkFault::HalfOpen, 1),
        ]);
        assert_eq!(link(&a, LinkFault::HalfOpen, 1), link(&a, LinkFault::HalfOpen, 2), "whatever it draws");
    }

    #[test]
    fn truncations_are_the_same_by_their_log_their_rule_and_their_event() {
        let [a, b] = rules();
        let one = Truncation { topic: "t".into(), partition: 0, records: 5, rule: a, event: EVENT };
        differ(&[
            one.clone(),
            Truncation { topic: "u".into(), ..one.clone() },
            Truncation { partition: 1, ..one.clone() },
            Truncation { records: 6, ..one.clone() },
            Truncation { rule: b, ..one.clone() },
            Truncation { event: Event { attempt: 4, ..EVENT }, ..one },
        ]);
    }

    #[test]
    fn held_requests_are_the_same_by_their_rule_their_event_and_what_they_await() {
        let [a, b] = rules();
        let awaited =
            Awaited { api: crate::wire::ApiKey::Produce, name: None, at_most: Duration::from_secs(1) };
        let one = Held { rule: a, event: EVENT, awaited: awaited.clone(), session: 1, correlation_id: 1 };
        differ(&[
            one.clone(),
            Held { rule: b, ..one.clone() },
            Held { event: Event { ordinal: 9, ..EVENT }, ..one.clone() },
            Held { awaited: Awaited { at_most: Duration::from_secs(2), ..awaited }, ..one.clone() },
        ]);
        assert_eq!(one, Held { session: 2, correlation_id: 7, ..one.clone() }, "whoever asks");
    }

    #[test]
    fn routed_records_are_the_same_by_their_places_and_their_letters() {
        let letters = |topic: &str, payload: &'static [u8]| Letters {
            topic: topic.into(),
            batches: vec![LetterBatch { payload: Bytes::from_static(payload), records: vec![1] }],
        };
        let one = Routed {
            at: 0,
            topic: "t".into(),
            partition: 0,
            all: false,
            letters: vec![letters("dead", b"x")],
            passage: Passing::Unknown,
            numbered: None,
            records: [1].into(),
            rules: Vec::new(),
        };
        differ(&[
            one.clone(),
            Routed { at: 1, ..one.clone() },
            Routed { all: true, ..one.clone() },
            Routed { records: [1, 2].into(), ..one.clone() },
            Routed { letters: vec![letters("dead", b"y")], ..one.clone() },
            Routed { letters: vec![letters("other", b"x")], ..one.clone() },
            Routed { letters: Vec::new(), ..one },
        ]);
    }

    #[test]
    fn a_session_is_in_a_storm_once_and_a_break_of_it_stays() {
        let mut storms = Vec::new();
        for (rule, breaks) in [(1, false), (2, false), (1, false), (2, true), (2, false)] {
            Storm::add(&mut storms, rule, breaks);
        }
        assert_eq!(storms, [Storm { rule: 1, breaks: false }, Storm { rule: 2, breaks: true }]);
    }

    #[test]
    fn what_is_wanted_of_the_response_decides_nothing() {
        let passes = Verdict { response: Interest::Records, sessionless: true, ..Verdict::default() };
        assert!(passes.is_pass());
        assert!(!Verdict { edited: true, ..passes }.is_pass());
    }

    #[test]
    fn nothing_is_forwarded_when_all_is_answered_here_or_nothing_gets_through() {
        let refused = || Outcome::answer(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
        let parts = |parts| Verdict { parts, ..Verdict::default() };
        for nothing in [
            Verdict { whole: Some(ErrorCode::INVALID_REQUEST), ..Verdict::default() },
            Verdict { end: Some(End::Reset), ..Verdict::default() },
            Verdict { lose: Some(Lose::Request), ..Verdict::default() },
            parts(vec![refused()]),
            parts(vec![refused(), refused()]),
        ] {
            assert!(nothing.forwards_nothing(), "{nothing:?}");
        }
        for something in [
            Verdict::default(),
            Verdict { lose: Some(Lose::Response), ..Verdict::default() },
            parts(vec![Outcome::Forward]),
            parts(vec![refused(), Outcome::Forward]),
        ] {
            assert!(!something.forwards_nothing(), "{something:?}");
        }
    }
}

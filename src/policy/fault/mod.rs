//! Faults: harm on purpose. One small file each: what it is told, and what it does to a verdict.
//!
//! Each fault says whether the upstream executes the request it touches. What it drew goes to the journal.

pub mod commit;
pub mod delay;
pub mod disk;
pub mod duplicate;
pub mod end;
pub mod fail;
pub mod hold;
pub mod link;
pub mod lose;
pub mod named;
pub mod pause;
pub mod record;
pub mod reply;
pub mod sasl;
pub mod slow_broker;
pub mod stale;
pub mod throttle;
pub mod tls;

use super::random::{Distribution, Draws};
use crate::wire::{ApiKey, ErrorCode};
use disk::DiskFault;
use hold::Awaited;
use link::LinkFault;
use named::Named;
use record::RecordFault;
use reply::ReplyFault;
use sasl::SaslFault;
use slow_broker::Queue;
use std::fmt;
use std::time::Duration;
use tls::TlsFault;

/// Whether the upstream executes the request that a fault touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Executed {
    /// The request is not executed.
    No,
    /// The request is executed, whatever the client is told.
    Yes,
    /// The fault does not touch the request's fate.
    Untouched,
}

impl Executed {
    /// As the journal says it: the fault happens before or after the upstream did its work.
    pub fn place(self) -> &'static str {
        match self {
            Self::No => "before",
            Self::Yes => "after",
            Self::Untouched => "around",
        }
    }
}

/// A fault of a rule.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    Delay(Distribution),
    Fail(ErrorCode),
    FailAfter(ErrorCode),
    LoseRequest,
    LoseResponse,
    Disconnect,
    Reset,
    /// Closed with a RST as soon as it is there.
    Refuse,
    /// Every session that the rule matched is dropped.
    Storm,
    SlowBroker(Distribution),
    Throttle(Duration),
    DuplicateRequest,
    /// The request waits for another exchange.
    HoldUntil(Awaited),
    LoseCommit,
    DelayCommit(Distribution),
    /// An error with a name of its own.
    Named(&'static Named),
    /// Of logins.
    Sasl(SaslFault),
    /// Changes what a reply says: see `reply`.
    Reply(ReplyFault),
    /// Strikes single records of a part: see `record`.
    Record(RecordFault),
    /// Strikes the bytes of a session: see `link`.
    Link(LinkFault),
    /// Strikes the TLS handshake: see `tls`.
    Tls(TlsFault),
    /// Strikes operations of the embedded broker's disk: see `disk`.
    Disk(DiskFault),
    /// The embedded broker stands still; without a time as long as the rule's `during`.
    Pause(Option<Duration>),
    /// The partition loses so many records after the exchange: see `evaluate::truncate`.
    TruncateLog(u64),
}

/// The exchange that a fault is injected into.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    pub api: ApiKey,
    pub version: i16,
    /// On the policies' clock.
    pub now: Duration,
    /// Of the rule.
    pub queue: &'a Queue,
}

/// What faults do to one part, or to the exchange it belongs to. Adds up over the rules that fire.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Harm {
    pub delay: Duration,
    pub fail: Option<ErrorCode>,
    pub fail_after: Option<ErrorCode>,
    pub lose: Option<super::verdict::Lose>,
    pub end: Option<super::verdict::End>,
    /// What the answer says that the client must wait.
    pub throttle: Duration,
    /// The upstream gets the request twice.
    pub duplicate: bool,
    /// What the request waits for.
    pub hold: Option<Awaited>,
    /// A login is good for so long.
    pub lifetime: Option<Duration>,
}

/// What a fault did, for the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Injected {
    pub executed: Executed,
    /// What was drawn or chosen, if anything.
    pub parameter: Option<String>,
    /// Later chaos rules leave the part alone.
    pub terminal: bool,
}

impl Fault {
    pub fn inject(&self, target: Target<'_>, draws: &mut Draws, harm: &mut Harm) -> Injected {
        match self {
            Self::Delay(distribution) => delay::inject(distribution, draws, harm),
            Self::Fail(code) => fail::before(*code, harm),
            Self::FailAfter(code) => fail::after(*code, harm),
            Self::LoseRequest => lose::request(harm),
            Self::LoseResponse => lose::response(harm),
            Self::Disconnect => end::disconnect(harm),
            // the others are dropped by who knows them
            Self::Reset | Self::Refuse | Self::Storm => end::reset(harm),
            Self::SlowBroker(time) => slow_broker::inject(time, target.queue, target.now, draws, harm),
            Self::Throttle(time) => throttle::inject(*time, harm),
            Self::DuplicateRequest => duplicate::inject(harm),
            Self::HoldUntil(awaited) => hold::inject(awaited, harm),
            Self::LoseCommit => commit::lose(harm),
            Self::DelayCommit(time) => commit::delay(time, draws, harm),
            Self::Pause(time) => pause::inject(*time),
            Self::Named(named) => named.inject(target.api, target.version, harm),
            Self::Sasl(fault) => fault.inject(harm),
            Self::Link(fault) => {
                let parameter = Some(fault.parameter()).filter(|text| !text.is_empty());
                Injected { executed: Executed::Untouched, parameter, terminal: false }
            }
            Self::Tls(fault) => fault.inject(),
            // they need the reply, the records or the disk, which only who has them can give
            Self::Reply(_) | Self::Record(_) | Self::Disk(_) | Self::TruncateLog(_) => {
                Injected { executed: Executed::Untouched, parameter: None, terminal: false }
            }
        }
    }

    /// The word that writes it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Delay(_) => "delay",
            Self::Fail(_) => "fail",
            Self::FailAfter(_) => "fail_after",
            Self::LoseRequest => "lose_request",
            Self::LoseResponse => "lose_response",
            Self::Disconnect => "disconnect",
            Self::Reset => "reset",
            Self::Refuse => "refuse",
            Self::Storm => "storm",
            Self::SlowBroker(_) => "slow_broker",
            Self::Throttle(_) => "throttle",
            Self::DuplicateRequest => "duplicate_request",
            Self::HoldUntil(_) => "hold_until",
            Self::LoseCommit => "lose_commit",
            Self::DelayCommit(_) => "delay_commit",
            Self::Named(named) => named.word,
            Self::Sasl(fault) => fault.word(),
            Self::Reply(fault) => fault.word(),
            Self::Record(fault) => fault.word(),
            Self::Link(fault) => fault.word(),
            Self::Tls(_) => "tls_fail",
            Self::Disk(fault) => fault.word(),
            Self::Pause(_) => "pause",
            Self::TruncateLog(_) => "truncate_log",
        }
    }

    /// Whether something about it is drawn.
    pub fn draws(&self) -> bool {
        match self {
            Self::Delay(time) | Self::SlowBroker(time) | Self::DelayCommit(time) => !time.is_fixed(),
            Self::Link(fault) => fault.draws(),
            _ => false,
        }
    }

    /// Whether it makes an answer for the part, which an api must have a place for.
    pub fn answers(&self) -> bool {
        match self {
            Self::Fail(_) | Self::FailAfter(_) | Self::Named(_) => true,
            Self::Sasl(fault) => fault.answers(),
            _ => false,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delay(time) | Self::SlowBroker(time) | Self::DelayCommit(time) => {
                write!(f, "{}({time})", self.word())
            }
            Self::HoldUntil(awaited) => write!(f, "hold_until({awaited})"),
            Self::Throttle(time) => write!(f, "throttle({time:?})"),
            Self::Pause(Some(time)) => write!(f, "pause({time:?})"),
            Self::TruncateLog(records) => write!(f, "truncate_log({records})"),
            Self::Reply(fault) => write!(f, "{fault}"),
            Self::Sasl(fault) => write!(f, "{fault}"),
            Self::Fail(code) | Self::FailAfter(code) => write!(f, "{}({code})", self.word()),
            Self::Record(fault) => write!(f, "{fault}"),
            Self::Link(fault) => write!(f, "{fault}"),
            Self::Tls(fault) => write!(f, "tls_fail({fault})"),
            Self::Disk(fault) => write!(f, "{fault}"),
            _ => write!(f, "{}()", self.word()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::random::Event;
    use crate::policy::verdict::{End, Lose};

    fn inject(faults: &[Fault]) -> (Harm, Vec<Injected>) {
        let mut draws = Draws::new(1, 2, Event { subject: 3, ordinal: 4, attempt: 0 });
        let mut harm = Harm::default();
        let queue = Queue::default();
        let target = Target { api: ApiKey::Produce, version: 12, now: Duration::ZERO, queue: &queue };
        let injected = faults.iter().map(|f| f.inject(target, &mut draws, &mut harm)).collect();
        (harm, injected)
    }

    #[test]
    fn delays_add_up() {
        let ms = |n| Distribution::Fixed(Duration::from_millis(n));
        let (harm, injected) = inject(&[Fault::Delay(ms(200)), Fault::Delay(ms(50))]);
        assert_eq!(harm, Harm { delay: Duration::from_millis(250), ..Harm::default() });
        assert!(injected.iter().all(|i| !i.terminal && i.executed == Executed::Untouched));
        assert_eq!(injected[0].parameter.as_deref(), Some("200ms"));
    }

    #[test]
    fn what_varies_is_drawn() {
        let fixed = Distribution::Fixed(Duration::from_secs(1));
        let varies = Distribution::Uniform { from: Duration::ZERO, to: Duration::from_secs(1) };
        for fault in [Fault::Delay, Fault::SlowBroker, Fault::DelayCommit] {
            assert!(fault(varies.clone()).draws() && !fault(fixed.clone()).draws());
        }
        assert!(Fault::Link(LinkFault::CorruptBytes(0.5, link::Way::Both)).draws());
        assert!(!Fault::Disconnect.draws());
    }

    #[test]
    fn errors_are_before_or_after() {
        let (harm, injected) = inject(&[Fault::Fail(ErrorCode::NOT_LEADER_OR_FOLLOWER)]);
        assert_eq!(harm.fail, Some(ErrorCode::NOT_LEADER_OR_FOLLOWER));
        assert_eq!((injected[0].executed, injected[0].terminal), (Executed::No, true));
        let (harm, injected) = inject(&[Fault::FailAfter(ErrorCode::REQUEST_TIMED_OUT)]);
        assert_eq!((harm.fail, harm.fail_after), (None, Some(ErrorCode::REQUEST_TIMED_OUT)));
        assert_eq!((injected[0].executed, injected[0].terminal), (Executed::Yes, true));
    }

    #[test]
    fn a_lost_request_stays_lost() {
        let (harm, injected) = inject(&[Fault::LoseResponse]);
        assert_eq!(harm.lose, Some(Lose::Response));
        assert_eq!(injected[0].executed, Executed::Yes);
        let (harm, _) = inject(&[Fault::LoseRequest, Fault::LoseResponse]);
        assert_eq!(harm.lose, Some(Lose::Request), "what is not executed has no response to lose");
        let (harm, injected) = inject(&[Fault::LoseResponse, Fault::LoseRequest]);
        assert_eq!(harm.lose, Some(Lose::Request));
        assert_eq!(injected[1].executed, Executed::No);
    }

    #[test]
    fn ends_are_gentle_or_not() {
        assert_eq!(inject(&[Fault::Disconnect]).0.end, Some(End::Disconnect));
        assert_eq!(inject(&[Fault::Reset]).0.end, Some(End::Reset));
        assert_eq!(inject(&[Fault::Reset, Fault::Disconnect]).0.end, Some(End::Reset));
    }
}

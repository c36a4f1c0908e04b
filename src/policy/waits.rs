//! Requests that wait for another exchange (`hold_until`): who waits for what, and what has come.
//!
//! Found by api, so that an exchange nobody waits for costs one look at a number. A few sessions wait at a time: each holds one
//! request, and together they are at most [`WAITING`].

use super::fault::hold::Awaited;
use super::journal::line::line;
use super::journal::now;
use super::names::Names;
use super::random::Event;
use super::rule::Rule;
use super::verdict::Held;
use crate::wire::Request;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Requests that wait at a time; a rule that fires beyond it lets pass.
pub const WAITING: usize = 1_024;

/// Who waits.
#[derive(Debug, Default)]
pub struct Waits {
    count: AtomicUsize,
    list: Mutex<Vec<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    awaited: Awaited,
    come: oneshot::Sender<Come>,
}

/// The exchange that lets one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Come {
    pub session: u64,
    pub correlation_id: i32,
}

/// Those whom a request lets go, once it is with the upstream.
#[derive(Debug, Default)]
pub struct Met(Vec<oneshot::Sender<Come>>);

impl Waits {
    pub fn is_full(&self) -> bool {
        self.count.load(Ordering::Relaxed) >= WAITING
    }

    /// Forgets who waits no more: its receiver is gone.
    pub fn forget(&self) {
        let mut list = self.list();
        list.retain(|waiting| !waiting.come.is_closed());
        self.count.store(list.len(), Ordering::Release);
    }

    /// Whether anybody waits for anything.
    pub fn is_on(&self) -> bool {
        self.count.load(Ordering::Acquire) > 0
    }

    /// Waits from here on. None: too many do.
    pub fn wait(&self, awaited: Awaited) -> Option<oneshot::Receiver<Come>> {
        let mut list = self.list();
        // those who went away meanwhile have no say
        list.retain(|waiting| !waiting.come.is_closed());
        let (come, receiver) = oneshot::channel();
        let room = list.len() < WAITING;
        if room {
            list.push(Waiting { awaited, come });
        }
        self.count.store(list.len(), Ordering::Release);
        room.then_some(receiver)
    }

    /// Those who wait for this request: they do not wait for another one any more.
    pub fn meet(&self, request: &mut Request, names: &Names) -> Met {
        let api = request.api();
        if !self.list().iter().any(|waiting| waiting.awaited.api == api) {
            return Met::default();
        }
        // others need not wait until a large request is read
        let about = about(request, names);
        let mut list = self.list();
        let mut met = Met::default();
        let is_it = |waiting: &mut Waiting| {
            let Awaited { api: wanted, name, .. } = &waiting.awaited;
            let named = |name: &super::glob::Glob| about.iter().any(|about| name.matches(about.as_bytes()));
            waiting.come.is_closed() || *wanted == api && name.as_ref().is_none_or(named)
        };
        met.0.extend(list.extract_if(.., is_it).map(|waiting| waiting.come));
        self.count.store(list.len(), Ordering::Release);
        met
    }

    fn list(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Met {
    pub fn let_go(self, come: Come) {
        for waiting in self.0 {
            // who went away meanwhile does not hear of it
            let _ = waiting.send(come);
        }
    }
}

/// The names of what a request is about.
fn about(request: &mut Request, names: &Names) -> Vec<String> {
    let version = request.version();
    let Ok(body) = request.body() else { return Vec::new() };
    let all = body.parts(version).into_iter().chain(body.whole(version)).chain(body.also(version));
    let name = |part: crate::wire::api::Part| match part.name.is_empty() && !part.topic_id.is_zero() {
        true => names.name(part.topic_id).map(|name| name.to_string()),
        false => Some(part.name.to_string()),
    };
    all.filter_map(name).collect()
}

line! {
/// A request that waited is let go: which injection held it, and what ended that.
pub struct Released<'a> {
    /// Milliseconds since 1970.
    time: u64,
    policy: &'a str,
    rule: &'a str,
    subject_id: String,
    n: u64,
    attempt: u32,
    /// `event`, `time`, `rule` (it ended, or the process does), or `client` (it went away).
    released_by: &'a str,
    held_ms: u64,
    session: u64,
    correlation_id: i32,
    /// The exchange that was waited for.
    by_session: Option<u64>,
    by_correlation_id: Option<i32>,
}
}

/// What lets a request go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Event(Come),
    Time,
    Rule,
    Client,
}

impl Held {
    /// Writes down what let it go.
    pub fn tell(&self, by: By, held: Duration, shared: &super::generation::Shared) {
        if !shared.journal.is_on() {
            return;
        }
        let (released_by, come) = match by {
            By::Event(come) => ("event", Some(come)),
            By::Time => ("time", None),
            By::Rule => ("rule", None),
            By::Client => ("client", None),
        };
        let (rule, event): (&Rule, Event) = (&self.rule, self.event);
        shared.journal.put(&Released {
            time: now(),
            policy: &rule.policy.name,
            rule: &rule.name,
            subject_id: format!("{:032x}", event.subject),
            n: event.ordinal,
            attempt: event.attempt,
            released_by,
            held_ms: u64::try_from(held.as_millis()).unwrap_or(u64::MAX),
            session: self.session,
            correlation_id: self.correlation_id,
            by_session: come.map(|come| come.session),
            by_correlation_id: come.map(|come| come.correlation_id),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::glob::Glob;
    use crate::policy::names::NoTopics;
    use crate::wire::api::{heartbeat, sync_group};
    use crate::wire::{ApiKey, RequestBody};
    use std::sync::Arc;

    fn awaited(api: ApiKey, name: Option<&str>) -> Awaited {
        Awaited { api, name: name.map(Glob::new), at_most: Duration::from_secs(1) }
    }

    fn come(waits: &Waits, body: impl Into<RequestBody>, session: u64) {
        let mut request = Request::new(3, 9, None, body.into()).unwrap();
        let names = Names::new(Arc::new(NoTopics));
        waits.meet(&mut request, &names).let_go(Come { session, correlation_id: 9 });
    }

    fn sync(group: &str) -> sync_group::Request {
        sync_group::Request { group_id: group.into(), ..Default::default() }
    }

    #[test]
    fn who_waits_is_let_go_by_the_exchange_it_waits_for_and_by_no_other() {
        let waits = Waits::default();
        assert!(!waits.is_on());
        let mut any = waits.wait(awaited(ApiKey::SyncGroup, None)).unwrap();
        let mut named = waits.wait(awaited(ApiKey::SyncGroup, Some("bill*"))).unwrap();
        let mut other = waits.wait(awaited(ApiKey::Heartbeat, Some("bill*"))).unwrap();
        come(&waits, heartbeat::Request { group_id: "shop".into(), ..Default::default() }, 1);
        assert!(any.try_recv().is_err() && named.try_recv().is_err() && other.try_recv().is_err());
        come(&waits, sync("shop"), 2);
        assert_eq!(any.try_recv(), Ok(Come { session: 2, correlation_id: 9 }));
        assert!(named.try_recv().is_err());
        come(&waits, sync("billing"), 3);
        assert_eq!(named.try_recv().unwrap().session, 3);
        assert!(waits.is_on() && other.try_recv().is_err());
        drop(other);
        come(&waits, heartbeat::Request::default(), 4);
        assert!(!waits.is_on(), "who went away waits no more");
    }

    #[test]
    fn those_who_wait_are_bounded() {
        let waits = Waits::default();
        let all: Vec<_> = (0..WAITING).map(|_| waits.wait(awaited(ApiKey::EndTxn, None)).unwrap()).collect();
        assert!(waits.is_full() && waits.wait(awaited(ApiKey::EndTxn, None)).is_none());
        drop(all);
        waits.forget();
        assert!(!waits.is_full() && !waits.is_on());
        assert!(waits.wait(awaited(ApiKey::EndTxn, None)).is_some() && !waits.is_full());
    }

    #[test]
    fn a_request_is_about_topics_by_name_or_id() {
        use crate::policy::names::NoTopics;
        use crate::wire::api::metadata;
        let names = Names::new(std::sync::Arc::new(NoTopics));
        names.learn(&"known".into(), crate::wire::Uuid([1; 16]));
        let of = |name: Option<&str>, id: u8| {
            let topic = metadata::MetadataRequestTopic {
                name: name.map(Into::into),
                topic_id: crate::wire::Uuid([id; 16]),
                ..Default::default()
            };
            let body = metadata::Request { topics: Some(vec![topic]), ..Default::default() };
            about(&mut Request::new(12, 1, None, body.into()).unwrap(), &names)
        };
        assert_eq!(of(None, 1), ["known"]);
        assert!(of(None, 2).is_empty(), "nobody knows it");
        assert_eq!(of(Some("named"), 0), ["named"]);
        assert_eq!(of(Some("named"), 2), ["named"]);
    }
}

//! Topic id and name, both ways: policies speak of names, and since KIP-516 many requests carry ids.
//!
//! Learned from what passes and from the upstream, forgotten when a topic is deleted. An id means one topic for
//! ever, so a pair is never wrong, only missing. Bounded; what had to go is asked for again.

use super::lru::Lru;
use crate::wire::{Str, Uuid};
use std::sync::{Arc, Mutex, PoisonError};

/// Topics remembered.
const TOPICS: usize = 100_000;

/// What the upstream knows of its topics. Answers from memory, at once; `app` joins it.
pub trait TopicIds: Send + Sync {
    fn name(&self, id: Uuid) -> Option<Str>;
    /// Whether there is a topic so named; None when that is not known.
    fn exists(&self, name: &str) -> Option<bool>;
    /// What a topic gets that is made without numbers; None when that is not known.
    fn defaults(&self) -> Option<TopicDefaults> {
        None
    }
    /// Whether it knows every topic there is, so that nothing needs to be learned from what passes.
    fn knows_all(&self) -> bool {
        false
    }
}

/// What a topic has for which nobody said how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicDefaults {
    /// Kafka's `num.partitions`.
    pub partitions: i32,
    /// Kafka's `default.replication.factor`.
    pub replication: i16,
}

/// An upstream that knows no topic: what policies are tested on.
#[derive(Debug, Default)]
pub struct NoTopics;

impl TopicIds for NoTopics {
    fn name(&self, _: Uuid) -> Option<Str> {
        None
    }

    fn exists(&self, _: &str) -> Option<bool> {
        None
    }

    /// Kafka's own.
    fn defaults(&self) -> Option<TopicDefaults> {
        Some(TopicDefaults { partitions: 1, replication: 1 })
    }
}

/// The pairs known.
pub struct Names {
    upstream: Arc<dyn TopicIds>,
    known: Mutex<Known>,
}

struct Known {
    by_id: Lru<Uuid, Str>,
    by_name: Lru<Str, Uuid>,
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Names({})", self.known().by_id.len())
    }
}

impl Names {
    pub fn new(upstream: Arc<dyn TopicIds>) -> Self {
        Self::with_capacity(upstream, TOPICS)
    }

    fn with_capacity(upstream: Arc<dyn TopicIds>, topics: usize) -> Self {
        let known = Known { by_id: Lru::new(topics), by_name: Lru::new(topics) };
        Self { upstream, known: Mutex::new(known) }
    }

    /// The name of the topic with this id, asked upstream when unknown.
    pub fn name(&self, id: Uuid) -> Option<Str> {
        if id.is_zero() {
            return None;
        }
        if let Some(name) = self.known().by_id.get_mut(&id) {
            return Some(name.clone());
        }
        let name = self.upstream.name(id)?;
        self.learn(&name, id);
        Some(name)
    }

    /// The id last seen for a name.
    pub fn id(&self, name: &Str) -> Option<Uuid> {
        self.known().by_name.get_mut(name).map(|id| *id)
    }

    pub fn exists(&self, name: &str) -> Option<bool> {
        self.upstream.exists(name)
    }

    pub fn defaults(&self) -> Option<TopicDefaults> {
        self.upstream.defaults()
    }

    /// Whether the upstream can be asked for every topic.
    pub fn upstream_answers(&self) -> bool {
        self.upstream.knows_all()
    }

    /// Keeps a pair that passed by.
    pub fn learn(&self, name: &Str, id: Uuid) {
        if id.is_zero() || name.is_empty() {
            return;
        }
        let mut known = self.known();
        if known.by_id.get_mut(&id).is_some_and(|n| n == name)
            && known.by_name.get_mut(name).is_some_and(|i| *i == id)
        {
            return;
        }
        // a copy: the text that passed by shares a whole frame
        let name = name.detached();
        *known.by_id.get_or_insert_with(id, || name.clone()).0 = name.clone();
        *known.by_name.get_or_insert_with(name, || id).0 = id;
    }

    /// A topic was deleted: its name may come back with another id.
    pub fn forget(&self, name: &Str) {
        let mut known = self.known();
        if let Some(id) = known.by_name.remove(name) {
            known.by_id.remove(&id);
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    struct Upstream(Mutex<HashMap<Uuid, Str>>);

    impl TopicIds for Upstream {
        fn name(&self, id: Uuid) -> Option<Str> {
            self.0.lock().unwrap().get(&id).cloned()
        }

        fn exists(&self, name: &str) -> Option<bool> {
            Some(self.0.lock().unwrap().values().any(|n| n == name))
        }
    }

    fn id(n: u8) -> Uuid {
        Uuid([n; 16])
    }

    #[test]
    fn pairs_are_learned_asked_and_forgotten() {
        let upstream = Arc::new(Upstream(Mutex::default()));
        let names = Names::new(upstream.clone());
        assert_eq!(names.name(id(1)), None);
        upstream.0.lock().unwrap().insert(id(1), "orders".into());
        assert_eq!(names.name(id(1)), Some("orders".into()), "what was unknown is asked for again");
        names.learn(&"audit".into(), id(2));
        assert_eq!((names.name(id(2)), names.id(&"audit".into())), (Some("audit".into()), Some(id(2))));

        // deleted and created again
        names.forget(&"audit".into());
        assert_eq!((names.name(id(2)), names.id(&"audit".into())), (None, None));
        names.learn(&"audit".into(), id(3));
        assert_eq!((names.name(id(3)), names.id(&"audit".into())), (Some("audit".into()), Some(id(3))));
        assert_eq!(names.name(Uuid::ZERO), None);
    }

    #[test]
    fn a_new_id_replaces_the_old_one_of_a_name() {
        let names = Names::new(Arc::new(NoTopics));
        names.learn(&"t".into(), id(1));
        names.learn(&"t".into(), id(2));
        assert_eq!(names.id(&"t".into()), Some(id(2)));
        assert_eq!(names.name(id(1)), Some("t".into()), "an id means one topic for ever");
    }

    #[test]
    fn memory_is_bounded() {
        let names = Names::with_capacity(Arc::new(NoTopics), 10);
        for n in 1..=200 {
            names.learn(&format!("t{n}").into(), id(n));
        }
        let known = names.known();
        assert_eq!((known.by_id.len(), known.by_name.len()), (10, 10));
    }

    #[test]
    fn what_passed_last_counts_for_a_name() {
        let names = Names::new(Arc::new(NoTopics));
        let (a, b) = (Uuid([1; 16]), Uuid([2; 16]));
        let name = Str::from("a");
        for id in [a, b, a] {
            names.learn(&name, id);
            assert_eq!(names.id(&name), Some(id));
        }
        names.learn(&Str::from(""), Uuid([3; 16]));
        names.learn(&Str::from("c"), Uuid::ZERO);
        assert_eq!((names.name(Uuid([3; 16])), names.id(&Str::from("c"))), (None, None));
        assert_eq!(format!("{names:?}"), "Names(2)");
    }

    #[test]
    fn an_upstream_without_topics_knows_nothing() {
        struct All;
        impl TopicIds for All {
            fn name(&self, _: Uuid) -> Option<Str> {
                None
            }

            fn exists(&self, _: &str) -> Option<bool> {
                Some(false)
            }

            fn knows_all(&self) -> bool {
                true
            }
        }
        let none = Names::new(Arc::new(NoTopics));
        assert_eq!(
            (none.name(Uuid([1; 16])), none.exists("a"), none.upstream_answers()),
            (None, None, false)
        );
        assert!(Names::new(Arc::new(All)).upstream_answers());
    }
}

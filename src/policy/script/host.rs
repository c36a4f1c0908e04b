//! What the words of a thread's engine work on: the policy being loaded, or the closure being run.

use super::draft::Draft;
use super::engine::Budget;
use super::testing::Bench;
use crate::policy::state::Window;
use std::cell::RefCell;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;
use std::sync::Arc;

/// One a thread, shared by its engine's words.
pub struct Host {
    pub budget: Budget,
    draft: RefCell<Option<Draft>>,
    /// What a closure added to windows and what is not final yet.
    additions: RefCell<Additions>,
    /// Where the words of tests act, while a test runs.
    pub bench: RefCell<Option<Rc<dyn Bench>>>,
}

impl Host {
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            budget: Budget::default(),
            draft: RefCell::new(None),
            additions: RefCell::new(Additions::default()),
            bench: RefCell::new(None),
        })
    }

    /// The policy being loaded. Fails where none is: in a closure.
    pub fn draft<T>(&self, word: &str, act: impl FnOnce(&mut Draft) -> T) -> Result<T, String> {
        match &mut *self.draft.borrow_mut() {
            Some(draft) => Ok(act(draft)),
            None => Err(format!("`{word}` belongs to the loading of a policy, not into a closure")),
        }
    }

    pub fn begin(&self, draft: Draft) {
        *self.draft.borrow_mut() = Some(draft);
    }

    pub fn end(&self) -> Option<Draft> {
        self.draft.borrow_mut().take()
    }

    pub fn additions<T>(&self, act: impl FnOnce(&mut Additions) -> T) -> T {
        act(&mut self.additions.borrow_mut())
    }
}

/// Additions to windows that count only when what was looked at is let through: a refused batch leaves the
/// windows it touched unchanged. What reads a window meanwhile sees its own additions.
#[derive(Default)]
pub struct Additions {
    /// None where windows may only be read.
    pending: Option<Pending>,
}

/// What the closures of one batch added so far, summed up by window and key: a batch of very many records costs each
/// of them one look-up.
#[derive(Debug, Default)]
pub struct Pending {
    /// Few: those that one policy names.
    windows: Vec<(Arc<Window>, ByKey)>,
    /// What the record being looked at added: window, key, number.
    latest: Vec<(usize, Box<[u8]>, u32)>,
}

type ByKey = HashMap<Box<[u8]>, u64>;

impl Additions {
    /// From here on additions are gathered, after those of the same batch.
    pub fn gather(&mut self, earlier: Pending) {
        self.pending = Some(earlier);
    }

    /// What was gathered; nothing may be added any more.
    pub fn finish(&mut self) -> Pending {
        self.pending.take().unwrap_or_default()
    }

    pub fn add(&mut self, window: &Arc<Window>, key: &[u8], n: u32) -> Result<(), String> {
        match &mut self.pending {
            Some(pending) => {
                pending.add(window, key, n);
                Ok(())
            }
            None => Err("windows are filled in `.each`; elsewhere they are only read".to_owned()),
        }
    }

    pub fn count(&self, window: &Arc<Window>, key: &[u8]) -> u64 {
        window.count(key) + self.pending.as_ref().map_or(0, |pending| pending.count(window, key))
    }
}

impl Pending {
    fn add(&mut self, window: &Arc<Window>, key: &[u8], n: u32) {
        let at = self.windows.iter().position(|(known, _)| Arc::ptr_eq(known, window)).unwrap_or_else(|| {
            self.windows.push((Arc::clone(window), HashMap::new()));
            self.windows.len() - 1
        });
        let key: Box<[u8]> = Window::bounded(key).into_owned().into();
        self.latest.push((at, key.clone(), n));
        *self.windows[at].1.entry(key).or_default() += u64::from(n);
    }

    fn count(&self, window: &Arc<Window>, key: &[u8]) -> u64 {
        let own = self.windows.iter().find(|(known, _)| Arc::ptr_eq(known, window));
        own.and_then(|(_, keys)| keys.get(&*Window::bounded(key))).copied().unwrap_or_default()
    }

    /// What was added so far stays, whatever becomes of the next record.
    pub fn keep(&mut self) {
        self.latest.clear();
    }

    /// Takes back what was added since the last [`Pending::keep`].
    pub fn take_back(&mut self) {
        for (at, key, n) in self.latest.drain(..) {
            if let Some((_, keys)) = self.windows.get_mut(at)
                && let Entry::Occupied(mut count) = keys.entry(key)
            {
                *count.get_mut() -= u64::from(n);
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.windows.iter().all(|(_, keys)| keys.is_empty())
    }

    /// Makes the additions final.
    pub fn commit(self) {
        for (window, keys) in &self.windows {
            for (key, n) in keys {
                window.add(key, u32::try_from(*n).unwrap_or(u32::MAX));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::clock::Clock;
    use crate::policy::state::StateStore;
    use std::time::Duration;

    #[test]
    fn pending_additions_are_summed_up_by_key() {
        let store = StateStore::new(Clock::manual());
        let window = |name| store.window("p", name, Duration::from_secs(60));
        let (w, v) = (window("w"), window("v"));
        let mut pending = Pending::default();
        for n in 0..100_000_u32 {
            pending.keep();
            pending.add(&w, &[(n % 10) as u8], 1);
        }
        let held: usize = pending.windows.iter().map(|(_, keys)| keys.len()).sum();
        assert_eq!((held, pending.latest.len()), (10, 1), "what a record costs does not grow with its batch");
        pending.add(&v, b"k", 3);
        assert_eq!(
            (pending.count(&w, &[0]), pending.count(&v, b"k"), pending.count(&v, &[0])),
            (10_000, 3, 0)
        );
        pending.take_back();
        assert_eq!((pending.count(&w, &[9]), pending.count(&v, b"k")), (9_999, 0));
        assert_eq!(w.count(&[0]), 0);
        pending.commit();
        assert_eq!((w.count(&[0]), w.count(&[9]), v.count(b"k")), (10_000, 9_999, 0));
    }

    #[test]
    fn what_is_taken_back_leaves_nothing() {
        let window = StateStore::new(Clock::manual()).window("p", "w", Duration::from_secs(60));
        let mut pending = Pending::default();
        let long = vec![b'k'; 5_000];
        pending.add(&window, &long, 2);
        assert_eq!(pending.count(&window, &long), 2);
        pending.take_back();
        assert!(pending.is_empty());
    }
}

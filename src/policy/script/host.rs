//! What the words of a thread's engine work on: the policy being loaded, or the closure being run.

use super::draft::Draft;
use super::engine::Budget;
use super::testing::Bench;
use crate::policy::state::Window;
use std::cell::RefCell;
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
    pending: Option<Vec<Addition>>,
}

/// One addition.
#[derive(Clone)]
pub struct Addition {
    pub window: Arc<Window>,
    pub key: Vec<u8>,
    pub n: u32,
}

impl Additions {
    /// From here on additions are gathered, after those of the same batch.
    pub fn gather(&mut self, earlier: Vec<Addition>) {
        self.pending = Some(earlier);
    }

    /// What was gathered; nothing may be added any more.
    pub fn finish(&mut self) -> Vec<Addition> {
        self.pending.take().unwrap_or_default()
    }

    pub fn add(&mut self, window: &Arc<Window>, key: Vec<u8>, n: u32) -> Result<(), String> {
        match &mut self.pending {
            Some(pending) => {
                pending.push(Addition { window: Arc::clone(window), key, n });
                Ok(())
            }
            None => Err("windows are filled in `.each`; elsewhere they are only read".to_owned()),
        }
    }

    pub fn count(&self, window: &Arc<Window>, key: &[u8]) -> u64 {
        let own = self.pending.iter().flatten().filter(|a| Arc::ptr_eq(&a.window, window) && a.key == key);
        window.count(key) + own.map(|a| u64::from(a.n)).sum::<u64>()
    }
}

/// Makes additions final.
pub fn commit(additions: &[Addition]) {
    for addition in additions {
        addition.window.add(&addition.key, addition.n);
    }
}

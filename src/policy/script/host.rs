//! What the words of a thread's engine work on: the policy being loaded, or the closure being run.

use super::draft::Draft;
use super::engine::Budget;
use super::pending::Additions;
use super::testing::Bench;
use std::cell::RefCell;
use std::rc::Rc;

/// One a thread, shared by its engine's words.
pub struct Host {
    pub budget: Budget,
    draft: RefCell<Option<Draft>>,
    /// What a closure changed of what scripts share and what is not final yet.
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

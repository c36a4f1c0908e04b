//! For what a client can make happen as often as it likes: the log tells of it when it begins, when it changes, and
//! once in a while.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long the same thing is passed over.
const QUIET: Duration = Duration::from_secs(60);
/// However things change.
const LEAST: Duration = Duration::from_secs(1);

/// What was said last about one kind of event.
#[derive(Debug, Default)]
pub(super) struct LogLimit {
    last: Mutex<Option<Said>>,
}

#[derive(Debug)]
struct Said {
    what: String,
    at: Duration,
    passed_over: u64,
}

impl LogLimit {
    /// Whether to say `what` now (time since the start), and how much was passed over since something was said.
    pub fn says(&self, what: &str, now: Duration) -> Option<u64> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(said) = &mut *last {
            let quiet = if said.what == what { QUIET } else { LEAST };
            if now.saturating_sub(said.at) < quiet {
                said.passed_over = said.passed_over.saturating_add(1);
                return None;
            }
        }
        let before = last.replace(Said { what: what.to_owned(), at: now, passed_over: 0 });
        Some(before.map_or(0, |said| said.passed_over))
    }

    /// It is over. True if it had been said that it began.
    pub fn ends(&self) -> bool {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_a_minute_and_a_change_at_once() {
        let at = Duration::from_secs;
        let limit = LogLimit::default();
        assert!(!limit.ends());
        assert_eq!(limit.says("full", at(10)), Some(0));
        assert_eq!([11, 30, 69].map(|t| limit.says("full", at(t))), [None; 3]);
        assert_eq!(limit.says("full", at(70)), Some(3));
        assert_eq!(limit.says("torn", at(70)), None);
        assert_eq!(limit.says("torn", at(71)), Some(1));
        assert!(limit.ends() && !limit.ends());
        assert_eq!(limit.says("torn", at(72)), Some(0));
    }
}

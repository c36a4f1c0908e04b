//! Memory shared by all sessions: what is being gathered, and what is held back, counts against one number each.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::Notify;

/// A number of bytes that many take from and give back to.
#[derive(Debug)]
pub struct Budget {
    left: AtomicUsize,
    total: usize,
    freed: Notify,
}

impl Budget {
    pub fn new(total: usize) -> Arc<Budget> {
        Arc::new(Budget { left: AtomicUsize::new(total), total, freed: Notify::new() })
    }

    /// Bytes taken at this moment.
    pub fn taken(&self) -> usize {
        self.total - self.left.load(Ordering::Relaxed).min(self.total)
    }

    fn try_take(&self, bytes: usize) -> bool {
        self.left.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::AcqRel);
        self.freed.notify_waiters();
    }
}

/// A share of a budget; what it holds is given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Share {
    pub fn new(budget: &Arc<Budget>) -> Share {
        Share { budget: budget.clone(), bytes: 0 }
    }

    /// Takes more, waiting until it is there. Whoever waits must itself be bounded in time.
    pub async fn grow(&mut self, bytes: usize) {
        let budget = self.budget.clone();
        while !self.try_grow(bytes) {
            let freed = budget.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if self.try_grow(bytes) {
                return;
            }
            freed.await;
        }
    }

    /// Takes more if it is there.
    pub fn try_grow(&mut self, bytes: usize) -> bool {
        let granted = self.budget.try_take(bytes);
        if granted {
            self.bytes += bytes;
        }
        granted
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.budget.give_back(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_finds_too_little_waits_until_another_gives_back() {
        let budget = Budget::new(100);
        let mut first = Share::new(&budget);
        assert!(first.try_grow(80));
        let mut second = Share::new(&budget);
        assert!(!second.try_grow(30));
        {
            let waiting = second.grow(30);
            tokio::pin!(waiting);
            tokio::select! {
                biased;
                () = &mut waiting => panic!("nothing was there to take"),
                () = std::future::ready(()) => {}
            }
            drop(first);
            waiting.await;
        }
        assert_eq!(budget.taken(), 30);
        drop(second);
        assert_eq!(budget.taken(), 0);
    }
}

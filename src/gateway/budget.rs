//! Memory shared by all sessions: what is being gathered, and what is held back, counts against one number each.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};

/// A number of bytes that many take from and give back to.
#[derive(Debug)]
pub struct Budget {
    taken: AtomicUsize,
    /// Of `taken`, what large things have that are still coming in.
    coming: Mutex<usize>,
    total: usize,
    freed: Notify,
    waits: AtomicU64,
    refusals: AtomicU64,
}

impl Budget {
    pub fn new(total: usize) -> Arc<Budget> {
        Arc::new(Budget {
            taken: AtomicUsize::new(0),
            coming: Mutex::new(0),
            total,
            freed: Notify::new(),
            waits: AtomicU64::new(0),
            refusals: AtomicU64::new(0),
        })
    }

    /// Bytes taken at this moment. Above `total` only by what [`Share::settle`] found in memory already.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    pub fn total(&self) -> usize {
        self.total
    }

    /// How often somebody had to wait for another to give back.
    pub fn waits(&self) -> u64 {
        self.waits.load(Ordering::Relaxed)
    }

    /// How often somebody waited in vain.
    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::Relaxed)
    }

    fn try_take(&self, bytes: usize) -> bool {
        let fits = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= self.total);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Relaxed, fits).is_ok()
    }

    /// As `try_take`, for a share that has `own` already of what large things coming in may have: half, so that those who
    /// send slowly leave room for others. One that is larger than that must be alone.
    fn try_take_coming(&self, own: usize, bytes: usize) -> bool {
        let mut coming = self.coming();
        let grown = coming.saturating_add(bytes);
        let granted = (grown <= self.total / 2 || *coming == own) && self.try_take(bytes);
        if granted {
            *coming = grown;
        }
        granted
    }

    fn coming(&self) -> MutexGuard<'_, usize> {
        self.coming.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::AcqRel);
        self.freed.notify_waiters();
    }
}

/// A share of a budget; what it holds is given back when it is dropped.
///
/// Whoever waits for more while holding some can wait for others who do the same. So an exchange takes all it needs of a
/// budget at once, and every wait ends.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: usize,
    /// It counts among what is coming in.
    coming: bool,
}

impl Share {
    pub fn new(budget: &Arc<Budget>) -> Share {
        Share { budget: budget.clone(), bytes: 0, coming: false }
    }

    /// Takes more, waiting until it is there, at most until `deadline`: false when it did not come. Who wants more than there is
    /// in all gets all of it.
    pub async fn grow(&mut self, bytes: usize, deadline: Instant) -> bool {
        if self.try_grow(bytes) {
            return true;
        }
        let budget = self.budget.clone();
        budget.waits.fetch_add(1, Ordering::Relaxed);
        let granted = tokio::time::timeout_at(deadline, async {
            loop {
                let freed = budget.freed.notified();
                tokio::pin!(freed);
                freed.as_mut().enable();
                if self.try_grow(bytes) {
                    return;
                }
                freed.await;
            }
        });
        let granted = granted.await.is_ok();
        if !granted {
            budget.refusals.fetch_add(1, Ordering::Relaxed);
        }
        granted
    }

    /// As `grow`, with the time it may take.
    pub async fn grow_within(&mut self, bytes: usize, time: Duration) -> bool {
        self.try_grow(bytes) || self.grow(bytes, Instant::now() + time).await
    }

    /// Takes more if it is there.
    pub fn try_grow(&mut self, bytes: usize) -> bool {
        let bytes = bytes.min(self.budget.total.saturating_sub(self.bytes));
        // Nothing is always there, also when more is taken than there is.
        let granted = bytes == 0
            || match self.coming {
                true => self.budget.try_take_coming(self.bytes, bytes),
                false => self.budget.try_take(bytes),
            };
        if granted {
            self.bytes += bytes;
        }
        granted
    }

    /// From here on it is for something large that is coming in, as slowly as its sender likes: such have half of the budget
    /// at the most, all together, until they are complete.
    pub fn is_coming(&mut self) {
        if !std::mem::replace(&mut self.coming, true) {
            *self.budget.coming() += self.bytes;
        }
    }

    /// What was coming in is complete.
    pub fn has_come(&mut self) {
        if std::mem::take(&mut self.coming) {
            *self.budget.coming() -= self.bytes;
            self.budget.freed.notify_waiters();
        }
    }

    /// Makes it what something came to that is in memory already: nothing is gained by waiting for the rest.
    pub fn settle(&mut self, bytes: usize) {
        self.has_come();
        if bytes > self.bytes {
            self.budget.taken.fetch_add(bytes - self.bytes, Ordering::AcqRel);
        } else if bytes < self.bytes {
            self.budget.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.has_come();
        if self.bytes > 0 {
            self.budget.give_back(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_finds_too_little_waits_until_another_gives_back() {
        let budget = Budget::new(100);
        let mut first = Share::new(&budget);
        assert!(first.try_grow(80));
        let mut second = Share::new(&budget);
        assert!(!second.try_grow(30));
        {
            let waiting = second.grow(30, long());
            tokio::pin!(waiting);
            tokio::select! {
                biased;
                _ = &mut waiting => panic!("nothing was there to take"),
                () = std::future::ready(()) => {}
            }
            drop(first);
            assert!(waiting.await);
        }
        assert_eq!((budget.taken(), budget.waits(), budget.refusals()), (30, 1, 0));
        drop(second);
        assert_eq!(budget.taken(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends() {
        let budget = Budget::new(100);
        let mut first = Share::new(&budget);
        assert!(first.try_grow(80));
        let mut second = Share::new(&budget);
        assert!(!second.grow_within(30, Duration::from_secs(5)).await);
        assert_eq!((second.bytes(), budget.taken(), budget.waits(), budget.refusals()), (0, 80, 1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_wants_more_than_there_is_gets_all_of_it() {
        let budget = Budget::new(100);
        let mut first = Share::new(&budget);
        assert!(first.grow(1_000, long()).await);
        assert_eq!((first.bytes(), budget.taken()), (100, 100));
        assert!(first.grow(1, long()).await, "there is no more to wait for");
    }

    #[test]
    fn what_comes_in_slowly_leaves_half_to_others() {
        let budget = Budget::new(100);
        let (mut first, mut second) = (Share::new(&budget), Share::new(&budget));
        assert!(first.try_grow(10));
        first.is_coming();
        second.is_coming();
        assert!(second.try_grow(30));
        assert!(!first.try_grow(20), "both are coming in");
        assert!(Share::new(&budget).try_grow(60));
        drop(second);
        assert!(first.try_grow(20));
        // Larger than half, and alone.
        assert!(first.try_grow(50));
        let mut second = Share::new(&budget);
        second.is_coming();
        assert!(!second.try_grow(1));
        first.settle(60);
        assert!(second.try_grow(40), "what is complete does not count");
        drop((first, second));
        assert_eq!((budget.taken(), *budget.coming()), (0, 0));
    }

    #[test]
    fn what_is_in_memory_is_counted_though_there_is_no_room() {
        let budget = Budget::new(100);
        let mut first = Share::new(&budget);
        first.settle(150);
        assert_eq!(budget.taken(), 150);
        assert!(!Share::new(&budget).try_grow(1));
        assert!(Share::new(&budget).try_grow(0), "who needs nothing waits for nobody");
        first.settle(40);
        assert_eq!(budget.taken(), 40);
        drop(first);
        assert_eq!(budget.taken(), 0);
    }
}

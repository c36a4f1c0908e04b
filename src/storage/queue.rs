//! What the threads of storage share: the logs that have work, and how many bytes wait.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::StorageError;

/// Things with work to do, each at most once, first come first served.
#[derive(Debug)]
pub(crate) struct WorkQueue<T> {
    inner: Mutex<Inner<T>>,
    work: Condvar,
}

#[derive(Debug)]
struct Inner<T> {
    waiting: VecDeque<T>,
    idle: usize,
    closed: bool,
}

impl<T> WorkQueue<T> {
    pub fn new() -> Self {
        let inner = Inner { waiting: VecDeque::new(), idle: 0, closed: false };
        WorkQueue { inner: Mutex::new(inner), work: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, item: T) {
        let mut inner = self.lock();
        inner.waiting.push_back(item);
        let wake = inner.idle > 0;
        drop(inner);
        if wake {
            self.work.notify_one();
        }
    }

    pub fn try_pop(&self) -> Option<T> {
        self.lock().waiting.pop_front()
    }

    /// Waits for work; `None` when the queue is closed and empty.
    pub fn pop(&self) -> Option<T> {
        let mut inner = self.lock();
        loop {
            if let Some(item) = inner.waiting.pop_front() {
                return Some(item);
            }
            if inner.closed {
                return None;
            }
            inner.idle += 1;
            inner = self.work.wait(inner).unwrap_or_else(PoisonError::into_inner);
            inner.idle -= 1;
        }
    }

    pub fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
    }
}

/// Bytes that were appended and are not written yet: bounded, or a slow disk would fill the memory.
#[derive(Debug)]
pub(crate) struct PendingBytes {
    bytes: AtomicUsize,
    limit: usize,
    room: Notify,
}

impl PendingBytes {
    pub fn new(limit: usize) -> Self {
        PendingBytes { bytes: AtomicUsize::new(0), limit, room: Notify::new() }
    }

    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// One append may be larger than the limit if nothing else waits.
    pub fn reserve(&self, len: usize) -> Result<(), StorageError> {
        let before = self.bytes.fetch_add(len, Ordering::Relaxed);
        if before > 0 && before.saturating_add(len) > self.limit {
            self.release(len);
            return Err(StorageError::Overloaded { pending: before, limit: self.limit });
        }
        Ok(())
    }

    pub fn release(&self, len: usize) {
        let before = self.bytes.fetch_sub(len, Ordering::Relaxed);
        if before > self.comfortable() && before - len <= self.comfortable() {
            self.room.notify_waiters();
        }
    }

    /// Resolves when at most half of the limit is taken.
    pub async fn room(&self) {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // Registered before looking, so that no release between the two is missed.
            room.as_mut().enable();
            if self.bytes() <= self.comfortable() {
                return;
            }
            room.await;
        }
    }

    fn comfortable(&self) -> usize {
        self.limit / 2
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn work_is_handed_out_once_and_what_is_left_after_closing_too() {
        let queue = Arc::new(WorkQueue::new());
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let queue = Arc::clone(&queue);
                std::thread::spawn(move || std::iter::from_fn(|| queue.pop()).collect::<Vec<u32>>())
            })
            .collect();
        (0..1000).for_each(|n| queue.push(n));
        queue.close();
        let mut done: Vec<u32> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
        done.sort_unstable();
        assert!(done.into_iter().eq(0..1000));
    }

    #[tokio::test]
    async fn bytes_past_the_limit_are_refused_until_there_is_room() {
        let pending = Arc::new(PendingBytes::new(100));
        pending.reserve(500).unwrap();
        assert!(matches!(pending.reserve(1), Err(StorageError::Overloaded { pending: 500, limit: 100 })));
        let waiting = tokio::spawn({
            let pending = Arc::clone(&pending);
            async move { pending.room().await }
        });
        tokio::task::yield_now().await;
        pending.release(449);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        pending.release(1);
        waiting.await.unwrap();
        pending.reserve(50).unwrap();
        assert!(pending.reserve(1).is_err());
        assert_eq!(pending.bytes(), 100);
    }
}

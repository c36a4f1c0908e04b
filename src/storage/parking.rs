//! Where work waits that a slow disk on purpose would hold up: until its time has come, or nobody wants it to wait any
//! more. One thread watches over all of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::chaos::{DiskWait, total};

/// A time further off than anything waits.
const FAR: Duration = Duration::from_secs(365 * 24 * 3600);

pub(crate) struct Parking<T> {
    inner: Mutex<Inner<T>>,
    changed: Condvar,
    /// Those that wait in a future or on a thread of their own look again.
    news: Notify,
}

struct Inner<T> {
    /// By when they are due, with a number that keeps equals apart.
    parked: BTreeMap<(Instant, u64), Parked<T>>,
    next: u64,
    closed: bool,
    /// Counts the times that all had to look again.
    looks: u64,
}

struct Parked<T> {
    item: T,
    since: Instant,
    waits: Vec<DiskWait>,
}

impl<T> Default for Parking<T> {
    fn default() -> Self {
        let inner = Inner { parked: BTreeMap::new(), next: 0, closed: false, looks: 0 };
        Parking { inner: Mutex::new(inner), changed: Condvar::new(), news: Notify::new() }
    }
}

impl<T> fmt::Debug for Parking<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Parking({})", self.lock().parked.len())
    }
}

impl<T> Parking<T> {
    fn lock(&self) -> MutexGuard<'_, Inner<T>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets something wait from now on. Given back when nothing waits any more: the storage is being closed.
    pub fn park(&self, item: T, waits: &[DiskWait]) -> Option<T> {
        let mut inner = self.lock();
        if inner.closed {
            return Some(item);
        }
        let since = Instant::now();
        let number = inner.next;
        inner.next += 1;
        let parked = Parked { item, since, waits: waits.to_vec() };
        inner.parked.insert((since + total(waits).min(FAR), number), parked);
        self.changed.notify_all();
        None
    }

    /// Somebody may not want his waits any more: all that waits is looked at again, by `release` or the thread.
    pub fn look_again(&self, wanted: impl Fn(&DiskWait) -> bool) -> Vec<T> {
        let mut inner = self.lock();
        inner.looks += 1;
        let all = std::mem::take(&mut inner.parked);
        let now = Instant::now();
        let mut free = Vec::new();
        for ((_, number), mut parked) in all {
            parked.waits.retain(&wanted);
            let due = parked.since + total(&parked.waits).min(FAR);
            if due <= now {
                free.push(parked.item);
            } else {
                inner.parked.insert((due, number), parked);
            }
        }
        drop(inner);
        self.changed.notify_all();
        self.news.notify_waiters();
        free
    }

    /// Everything that waits, and nothing waits from here on.
    pub fn close(&self) -> Vec<T> {
        let mut inner = self.lock();
        inner.closed = true;
        let all = std::mem::take(&mut inner.parked);
        drop(inner);
        self.changed.notify_all();
        self.news.notify_waiters();
        all.into_values().map(|parked| parked.item).collect()
    }

    /// Gives what is due to `release`, until it is closed: the life of the thread.
    pub fn run(&self, release: impl Fn(T)) {
        let mut inner = self.lock();
        while !inner.closed {
            let now = Instant::now();
            let first = inner.parked.first_key_value().map(|(key, _)| *key);
            match first {
                None => inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner),
                Some((due, _)) if due > now => {
                    let waited = self.changed.wait_timeout(inner, due - now);
                    inner = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                Some(key) => {
                    let parked = inner.parked.remove(&key);
                    drop(inner);
                    if let Some(parked) = parked {
                        release(parked.item);
                    }
                    inner = self.lock();
                }
            }
        }
    }

    /// Blocks this thread for as long as these are wanted; not for async workers.
    pub fn wait_here(&self, waits: &[DiskWait], wanted: impl Fn(&DiskWait) -> bool) {
        let since = Instant::now();
        let mut waits = waits.to_vec();
        let mut inner = self.lock();
        let mut looks = inner.looks;
        while !inner.closed {
            let left = total(&waits).min(FAR).saturating_sub(since.elapsed());
            if left.is_zero() {
                return;
            }
            inner = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
            if inner.looks != looks {
                looks = inner.looks;
                // Asked without the lock: the answer is somebody else's to find.
                drop(inner);
                waits.retain(&wanted);
                inner = self.lock();
            }
        }
    }

    /// The same in a future.
    pub async fn wait(&self, waits: &[DiskWait], wanted: impl Fn(&DiskWait) -> bool) {
        let since = Instant::now();
        let mut waits = waits.to_vec();
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            // Registered before looking, so that no news between the two is missed.
            news.as_mut().enable();
            waits.retain(&wanted);
            let left = total(&waits).min(FAR).saturating_sub(since.elapsed());
            if left.is_zero() || self.lock().closed {
                return;
            }
            tokio::select! {
                () = news => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc;

    fn wait(asked_by: u64, ms: u64) -> DiskWait {
        DiskWait { asked_by, time: Duration::from_millis(ms) }
    }

    #[test]
    fn what_is_due_first_goes_first_and_not_before_its_time() {
        let parking = Arc::new(Parking::default());
        let begun = Instant::now();
        parking.park("later", &[wait(1, 30), wait(2, 30)]);
        parking.park("sooner", &[wait(1, 20)]);
        let (told, gone) = mpsc::sync_channel(4);
        let thread = {
            let parking = Arc::clone(&parking);
            std::thread::spawn(move || parking.run(|item| told.send((item, Instant::now())).unwrap()))
        };
        let first = gone.recv().unwrap();
        let second = gone.recv().unwrap();
        assert_eq!((first.0, second.0), ("sooner", "later"));
        assert!(first.1 - begun >= Duration::from_millis(20));
        assert!(second.1 - begun >= Duration::from_millis(60));
        parking.park("at the end", &[wait(1, 3_600_000)]);
        assert_eq!(parking.close(), ["at the end"]);
        assert_eq!(parking.park("too late", &[wait(1, 1)]), Some("too late"));
        thread.join().unwrap();
    }

    #[test]
    fn what_nobody_wants_to_wait_goes_at_once() {
        let parking = Parking::default();
        parking.park("both", &[wait(1, 3_600_000), wait(2, 3_600_000)]);
        parking.park("one", &[wait(1, 3_600_000)]);
        // Even if they were due at the same moment.
        let numbers: Vec<u64> = parking.lock().parked.keys().map(|(_, number)| *number).collect();
        assert_ne!(numbers[0], numbers[1]);
        assert!(parking.look_again(|_| true).is_empty());
        assert_eq!(parking.look_again(|wait| wait.asked_by != 1), ["one"]);
        assert_eq!(parking.look_again(|_| false), ["both"]);
    }

    #[tokio::test]
    async fn a_future_waits_until_nobody_wants_it_to() {
        let parking: Arc<Parking<()>> = Arc::default();
        let wanted = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let waiting = {
            let (parking, wanted) = (Arc::clone(&parking), Arc::clone(&wanted));
            tokio::spawn(async move {
                let wants = |_: &DiskWait| wanted.load(std::sync::atomic::Ordering::Relaxed);
                parking.wait(&[wait(1, 3_600_000)], wants).await;
            })
        };
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        wanted.store(false, std::sync::atomic::Ordering::Relaxed);
        parking.look_again(|_| false);
        waiting.await.unwrap();
    }

    #[test]
    fn a_thread_waits_until_nobody_wants_it_to() {
        let parking: Arc<Parking<()>> = Arc::default();
        let begun = Instant::now();
        parking.wait_here(&[wait(1, 20)], |_| true);
        assert!(begun.elapsed() >= Duration::from_millis(20));
        let waiting = {
            let parking = Arc::clone(&parking);
            std::thread::spawn(move || parking.wait_here(&[wait(1, 3_600_000)], |_| false))
        };
        while !waiting.is_finished() {
            parking.look_again(|_| false);
            std::thread::yield_now();
        }
        waiting.join().unwrap();
    }
}

//! Time, injected: the system's, or in tests one that moves only by hand, so that nothing ever sleeps to wait.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Wall-clock time for what is written down, monotonic time for deadlines.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System { start: Instant, wall: crate::storage::Clock },
    Manual(Arc<Mutex<Manual>>),
}

#[derive(Default)]
struct Manual {
    wall_at_start: i64,
    elapsed: Duration,
    next_waiter: u64,
    waiters: BTreeMap<(Duration, u64), Waker>,
}

fn lock(manual: &Mutex<Manual>) -> MutexGuard<'_, Manual> {
    manual.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Clock {
    pub fn system() -> Self {
        Clock(Source::System { start: Instant::now(), wall: crate::storage::system_clock() })
    }

    /// A clock that stands still until its other half is told to move. `wall_ms`: milliseconds since 1970.
    pub fn manual(wall_ms: i64) -> (Clock, ManualClock) {
        let manual = Arc::new(Mutex::new(Manual { wall_at_start: wall_ms, ..Manual::default() }));
        (Clock(Source::Manual(Arc::clone(&manual))), ManualClock(manual))
    }

    /// Milliseconds since 1970. May jump when the system's clock is set: for timestamps, never for time-outs.
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Source::System { wall, .. } => wall(),
            Source::Manual(manual) => {
                let manual = lock(manual);
                manual.wall_at_start + i64::try_from(manual.elapsed.as_millis()).unwrap_or(i64::MAX)
            }
        }
    }

    /// Time since this clock was made; never goes back.
    pub fn elapsed(&self) -> Duration {
        match &self.0 {
            Source::System { start, .. } => start.elapsed(),
            Source::Manual(manual) => lock(manual).elapsed,
        }
    }

    /// Resolves when [`Clock::elapsed`] has reached `deadline`.
    pub fn sleep_until(&self, deadline: Duration) -> Sleep {
        Sleep(match &self.0 {
            Source::System { start, .. } => {
                // A deadline that no clock reaches is one in a century.
                let at = start.checked_add(deadline).unwrap_or(*start + Duration::from_secs(3_000_000_000));
                Timer::System(Box::pin(tokio::time::sleep_until(at.into())))
            }
            Source::Manual(manual) => {
                Timer::Manual { manual: Arc::clone(manual), deadline, registered: None }
            }
        })
    }

    pub fn sleep(&self, time: Duration) -> Sleep {
        self.sleep_until(self.elapsed().saturating_add(time))
    }

    /// The same clock, as storage takes it.
    pub fn for_storage(&self) -> crate::storage::Clock {
        let clock = self.clone();
        Arc::new(move || clock.now_ms())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Source::System { .. } => f.write_str("Clock(system)"),
            Source::Manual(_) => f.write_str("Clock(manual)"),
        }
    }
}

/// The hand on a manual clock.
#[derive(Clone)]
pub struct ManualClock(Arc<Mutex<Manual>>);

impl ManualClock {
    /// Moves time forward and wakes whoever waited for it.
    pub fn advance(&self, by: Duration) {
        let due = {
            let mut manual = lock(&self.0);
            manual.elapsed = manual.elapsed.saturating_add(by);
            let now = manual.elapsed;
            let later = manual.waiters.split_off(&(now, u64::MAX));
            std::mem::replace(&mut manual.waiters, later)
        };
        due.into_values().for_each(Waker::wake);
    }

    /// How many sleeps wait for the clock to move: a test knows by it that others have come to rest.
    pub fn waiting(&self) -> usize {
        lock(&self.0).waiters.len()
    }
}

/// Resolves at its deadline.
pub struct Sleep(Timer);

enum Timer {
    System(Pin<Box<tokio::time::Sleep>>),
    Manual { manual: Arc<Mutex<Manual>>, deadline: Duration, registered: Option<u64> },
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Timer::System(sleep) => sleep.as_mut().poll(context),
            Timer::Manual { manual, deadline, registered } => {
                let mut manual = lock(manual);
                if manual.elapsed >= *deadline {
                    return Poll::Ready(());
                }
                let id = *registered.get_or_insert_with(|| {
                    manual.next_waiter += 1;
                    manual.next_waiter
                });
                manual.waiters.insert((*deadline, id), context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Timer::Manual { manual, deadline, registered: Some(id) } = &self.0 {
            lock(manual).waiters.remove(&(*deadline, *id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_manual_clock_moves_only_by_hand() {
        let (clock, hand) = Clock::manual(1_000);
        let early = tokio::spawn(clock.sleep(Duration::from_millis(10)));
        let late = tokio::spawn(clock.sleep(Duration::from_millis(11)));
        while hand.waiting() < 2 {
            tokio::task::yield_now().await;
        }
        hand.advance(Duration::from_millis(10));
        early.await.unwrap();
        assert_eq!((clock.now_ms(), hand.waiting()), (1_010, 1));
        assert!(!late.is_finished());
        hand.advance(Duration::from_millis(5));
        late.await.unwrap();
        assert_eq!(hand.waiting(), 0);
    }

    #[tokio::test]
    async fn a_dropped_sleep_is_forgotten() {
        let (clock, hand) = Clock::manual(0);
        let mut sleep = Box::pin(clock.sleep(Duration::from_secs(1)));
        assert!(futures_poll_once(&mut sleep).await.is_none());
        assert_eq!(hand.waiting(), 1);
        drop(sleep);
        assert_eq!(hand.waiting(), 0);
    }

    async fn futures_poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|context| {
            Poll::Ready(match Pin::new(&mut *future).poll(context) {
                Poll::Ready(output) => Some(output),
                Poll::Pending => None,
            })
        })
        .await
    }
}

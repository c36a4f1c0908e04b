//! A session that is not read for a while, because its client used more than its quota (KIP-219): the answer has told it, and a
//! client that does not listen finds its requests unread.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Until when nothing is read.
#[derive(Debug, Default)]
pub struct Mute {
    /// Whether there is anything to look at: who was never muted pays for no lock.
    ever: AtomicBool,
    until: Mutex<Option<Instant>>,
}

impl Mute {
    /// Nothing is read for so long from now on, or longer where that was said before.
    pub fn until(&self, time: Duration) {
        if time.is_zero() {
            return;
        }
        let at = Instant::now().checked_add(time);
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        // A time that no clock reaches says nothing.
        *until = (*until).max(at);
        self.ever.store(true, Relaxed);
    }

    /// False when nothing was said, or it is known to be over.
    pub fn may_hold(&self) -> bool {
        self.ever.load(Relaxed)
    }

    /// Waits until it is over; at once where nothing was said.
    pub async fn over(&self) {
        while self.may_hold() {
            let until = *self.until.lock().unwrap_or_else(PoisonError::into_inner);
            match until.filter(|until| *until > Instant::now()) {
                // It may have been told to be longer meanwhile.
                Some(until) => tokio::time::sleep_until(until).await,
                None => {
                    self.ever.store(false, Relaxed);
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn the_longest_holds() {
        let (mute, start) = (Mute::default(), Instant::now());
        mute.over().await;
        mute.until(Duration::ZERO);
        mute.over().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        mute.until(3 * SECOND);
        mute.until(SECOND);
        tokio::join!(mute.over(), async {
            tokio::time::sleep(2 * SECOND).await;
            mute.until(4 * SECOND);
        });
        assert_eq!(start.elapsed(), 6 * SECOND);
        mute.over().await;
        assert_eq!(start.elapsed(), 6 * SECOND);
        mute.until(SECOND);
        mute.over().await;
        assert_eq!(start.elapsed(), 7 * SECOND);
    }
}

//! `slow_broker(time)`: the broker serves the exchanges that a rule fires for one after the other, each for a time. Unlike
//! `delay`, whose times pass side by side, what comes faster than it is served waits longer and longer.

use super::{Executed, Harm, Injected};
use crate::policy::random::{Distribution, Draws, LONGEST};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Until when the broker is busy with what a rule gave it, on the policies' clock.
#[derive(Debug, Default)]
pub struct Queue(Mutex<Duration>);

impl Queue {
    /// Lets one more be served. How long it takes from now until it is done.
    fn serve(&self, now: Duration, time: Duration) -> Duration {
        let mut busy = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // whoever comes to a queue without end waits no longer than a draw may be
        *busy = (*busy).max(now).saturating_add(time).min(now.saturating_add(LONGEST));
        busy.saturating_sub(now)
    }
}

pub fn inject(
    distribution: &Distribution,
    queue: &Queue,
    now: Duration,
    draws: &mut Draws,
    harm: &mut Harm,
) -> Injected {
    let time = distribution.draw(draws);
    let waits = queue.serve(now, time);
    harm.delay = harm.delay.saturating_add(waits);
    Injected { executed: Executed::Untouched, parameter: Some(format!("{time:?}")), terminal: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_after_the_other() {
        let (queue, second) = (Queue::default(), Duration::from_secs(1));
        let served: Vec<_> = (0..3).map(|_| queue.serve(second * 10, second)).collect();
        assert_eq!(served, [second, second * 2, second * 3]);
        assert_eq!(queue.serve(second * 11, second), second * 3, "one of them is done by now");
        assert_eq!(queue.serve(second * 60, second), second, "and then all");
        assert_eq!(queue.serve(second * 60, LONGEST * 2), LONGEST);
    }
}

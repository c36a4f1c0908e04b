//! How much a client has used: Kafka's sampled rate and its token bucket (KIP-13, KIP-599). Pure arithmetic over the times
//! it is given, in milliseconds of a clock that never goes back. It stands here because broker and policies know no other room
//! in common.

use std::collections::VecDeque;

/// How a rate is sampled: `quota.window.num` samples of `quota.window.size.seconds` each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    pub samples: usize,
    pub window_ms: i64,
}

/// The sum of what was recorded in the last windows, over their time.
#[derive(Debug, Default)]
pub struct Rate {
    /// In the order of their starts.
    samples: VecDeque<Sample>,
}

#[derive(Debug)]
struct Sample {
    start_ms: i64,
    last_event_ms: i64,
    value: f64,
}

impl Rate {
    /// Adds `value`; a negative one takes back what was added.
    pub fn record(&mut self, windows: Windows, value: f64, now_ms: i64) {
        let complete = self.samples.back().is_none_or(|sample| now_ms - sample.start_ms >= windows.window_ms);
        if complete {
            self.samples.push_back(Sample { start_ms: now_ms, last_event_ms: now_ms, value: 0.0 });
            // One more than asked for: the oldest may lie across the edge of the time that counts.
            if self.samples.len() > windows.samples + 1 {
                self.samples.pop_front();
            }
        }
        if let Some(sample) = self.samples.back_mut() {
            sample.value += value;
            sample.last_event_ms = now_ms;
        }
    }

    /// How long nothing must be recorded until the rate is at most `limit` a second, in milliseconds; 0 when it is.
    pub fn excess_ms(&mut self, windows: Windows, limit: f64, now_ms: i64) -> i64 {
        let age = (windows.samples as i64).saturating_mul(windows.window_ms);
        self.samples.retain(|sample| now_ms - sample.last_event_ms < age);
        let sum: f64 = self.samples.iter().map(|sample| sample.value).sum();
        let window_ms = self.span_ms(windows, now_ms);
        let observed = sum / (window_ms as f64 / 1000.0);
        if observed <= limit {
            return 0;
        }
        ((observed - limit) / limit * window_ms as f64).round() as i64
    }

    /// The time the samples stand for: never less than all but one of the windows, or the first second of a client would
    /// count as its rate.
    fn span_ms(&self, windows: Windows, now_ms: i64) -> i64 {
        let elapsed = self.samples.front().map_or(0, |oldest| now_ms - oldest.start_ms);
        let full = elapsed / windows.window_ms.max(1);
        let missing = (windows.samples as i64 - 1 - full).max(0);
        elapsed.saturating_add(missing.saturating_mul(windows.window_ms)).max(1)
    }
}

/// Credits that come back at the rate of the quota, up to what all windows together allow; below zero it is exhausted.
#[derive(Debug)]
pub struct TokenBucket {
    tokens: f64,
    updated_ms: i64,
}

impl TokenBucket {
    pub fn full(windows: Windows, limit: f64, now_ms: i64) -> Self {
        TokenBucket { tokens: burst(windows, limit), updated_ms: now_ms }
    }

    pub fn take(&mut self, windows: Windows, limit: f64, permits: f64, now_ms: i64) {
        self.refill(windows, limit, now_ms);
        self.tokens = (self.tokens - permits).min(burst(windows, limit));
    }

    /// How long until there are credits again, in milliseconds; 0 when there are.
    pub fn excess_ms(&mut self, windows: Windows, limit: f64, now_ms: i64) -> i64 {
        self.refill(windows, limit, now_ms);
        if self.tokens >= 0.0 { 0 } else { (-self.tokens / limit * 1000.0).round() as i64 }
    }

    fn refill(&mut self, windows: Windows, limit: f64, now_ms: i64) {
        let back = limit * (now_ms - self.updated_ms) as f64 / 1000.0;
        self.tokens = (self.tokens + back).min(burst(windows, limit));
        self.updated_ms = now_ms;
    }
}

fn burst(windows: Windows, limit: f64) -> f64 {
    windows.samples as f64 * windows.window_ms as f64 / 1000.0 * limit
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Windows = Windows { samples: 11, window_ms: 1000 };

    #[test]
    fn the_first_second_counts_as_ten() {
        let mut rate = Rate::default();
        rate.record(USUAL, 10_000.0, 0);
        assert_eq!(rate.excess_ms(USUAL, 1000.0, 0), 0);
        rate.record(USUAL, 1000.0, 0);
        // 11,000 over 10 s are 100 a second too much: over 11 s they would not be.
        assert_eq!(rate.excess_ms(USUAL, 1000.0, 0), 1000);
        // Until ten windows are over it counts as ten, as in Kafka; then the time that passed.
        assert_eq!(rate.excess_ms(USUAL, 1000.0, 1000), 1000);
        assert_eq!(rate.excess_ms(USUAL, 1000.0, 10_500), 500);
        assert_eq!(rate.excess_ms(USUAL, 1000.0, 11_000), 0);
    }

    #[test]
    fn the_largest_windows_can_be_counted() {
        let largest = Windows { samples: i32::MAX as usize, window_ms: i64::from(i32::MAX) * 1000 };
        let mut rate = Rate::default();
        rate.record(largest, 1e18, 0);
        assert_eq!(rate.excess_ms(largest, 1e18, 1), 0);
    }

    #[test]
    fn what_is_taken_back_does_not_count() {
        let mut rate = Rate::default();
        rate.record(USUAL, 20_000.0, 0);
        assert_eq!(rate.excess_ms(USUAL, 1000.0, 0), 10_000);
        rate.record(USUAL, -20_000.0, 0);
        assert_eq!(rate.excess_ms(USUAL, 1000.0, 0), 0);
    }

    #[test]
    fn old_samples_go() {
        let mut rate = Rate::default();
        for second in 0..30 {
            rate.record(USUAL, 1000.0, second * 1000);
            // The oldest sample lies across the edge of the time that counts: at most one window too much.
            assert!(rate.excess_ms(USUAL, 1000.0, second * 1000) <= 1000, "{second}");
            assert!(rate.samples.len() <= 12);
        }
        rate.record(USUAL, 50_000.0, 30_000);
        assert!(rate.excess_ms(USUAL, 1000.0, 30_000) > 10_000);
        assert_eq!(rate.excess_ms(USUAL, 1000.0, 42_000), 0, "eleven seconds without an event");
        assert!(rate.samples.is_empty());
    }

    #[test]
    fn a_bucket_starts_full_and_comes_back_at_the_rate() {
        let mut bucket = TokenBucket::full(USUAL, 2.0, 0);
        bucket.take(USUAL, 2.0, 22.0, 0);
        assert_eq!(bucket.excess_ms(USUAL, 2.0, 0), 0);
        bucket.take(USUAL, 2.0, 5.0, 0);
        assert_eq!(bucket.excess_ms(USUAL, 2.0, 0), 2500);
        assert_eq!(bucket.excess_ms(USUAL, 2.0, 2000), 500);
        assert_eq!(bucket.excess_ms(USUAL, 2.0, 2500), 0);
        bucket.take(USUAL, 2.0, -1000.0, 2500);
        bucket.take(USUAL, 2.0, 23.0, 2500);
        assert_eq!(bucket.excess_ms(USUAL, 2.0, 2500), 500, "never more than full");
    }
}

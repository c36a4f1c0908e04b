//! So many bytes a second.

use super::super::{
    Piece,
    chain::{Held, Shaper},
};
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct Bandwidth {
    /// Bytes a second.
    rate: u64,
    /// When the line is free again: before now where bytes were saved up.
    free: Option<Instant>,
    burst: Duration,
}

/// Pieces are so long in time that a stream looks even.
const STEPS_A_SECOND: u64 = 20;

impl Bandwidth {
    pub fn new(rate: u64, burst: u64, now: Instant) -> Bandwidth {
        let rate = rate.max(1);
        let burst = Duration::from_secs_f64((burst as f64 / rate as f64).min(1e9));
        Bandwidth { rate, free: now.checked_sub(burst), burst }
    }

    fn step(&self) -> usize {
        usize::try_from(self.rate / STEPS_A_SECOND).unwrap_or(usize::MAX).max(1)
    }
}

impl Shaper for Bandwidth {
    fn take(&mut self, at: Instant, piece: Piece, held: &mut Held) {
        let Piece::Data(mut bytes) = piece else { return held.until(at, piece) };
        while !bytes.is_empty() {
            let step = bytes.split_to(self.step().min(bytes.len()));
            // what was not used counts only as far as the burst goes
            let saved = at.checked_sub(self.burst);
            let from = self.free.max(saved).unwrap_or(at);
            let free = from + Duration::from_secs_f64(step.len() as f64 / self.rate as f64);
            self.free = Some(free);
            held.until(free.max(at), Piece::Data(step));
        }
    }

    fn reads(&self) -> usize {
        // a slow line holds few pieces of what it reads
        (self.step() * 16).max(256)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use crate::policy::fault::link::{LinkFault, Way};

    fn bandwidth(rate: u64, burst: u64) -> Bench {
        Bench::fault(LinkFault::Bandwidth { rate, burst, way: Way::Both })
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_take_their_time() {
        let mut bench = bandwidth(1_000, 0);
        bench.take(0, data(&[7; 500]));
        bench.take(100, FINISHED);
        let all = bench.all();
        assert_eq!(bytes_of(&all), [7; 500]);
        assert_eq!(all[0], (50, data(&[7; 50])), "evenly, not in one piece at the end");
        assert_eq!(all[all.len() - 2].0, 500);
        assert_eq!(all[all.len() - 1], (500, FINISHED));
        // a pause is not saved up
        bench.take(5_000, data(&[7; 100]));
        assert_eq!(bench.all().last().unwrap().0, 5_100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_comes_back_with_time() {
        let mut bench = bandwidth(1_000, 200);
        bench.take(0, data(&[7; 500]));
        let all = bench.all();
        assert_eq!(all.iter().filter(|(at, _)| *at == 0).count(), 4);
        assert_eq!(all.last().unwrap().0, 300);
        bench.take(400, data(&[7; 200]));
        assert_eq!(bench.all().last().unwrap().0, 500, "half of it came back in 100 ms");
        bench.take(60_000, data(&[7; 300]));
        assert_eq!(bench.all().last().unwrap().0, 60_100, "and never more than it was");
    }

    #[tokio::test(start_paused = true)]
    async fn single_bytes_a_second() {
        let mut bench = bandwidth(2, 0);
        bench.take(0, data(b"abc"));
        assert_eq!(bench.all(), [(500, data(b"a")), (1000, data(b"b")), (1500, data(b"c"))]);
    }
}

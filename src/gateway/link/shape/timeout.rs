//! Toxiproxy's: what comes is thrown away, and the connection is closed when nothing came for a time; without a time it is
//! closed when the toxic goes, since what it swallowed is missing.

use super::super::{
    End, Piece,
    chain::{Held, Shaper},
};
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct Timeout(pub Duration);

impl Timeout {
    fn restart(&self, now: Instant, held: &mut Held) {
        held.clear();
        if !self.0.is_zero() {
            held.until(now + self.0, Piece::End(End::Close));
        }
    }
}

impl Shaper for Timeout {
    fn begin(&mut self, now: Instant, held: &mut Held) {
        self.restart(now, held);
    }

    fn take(&mut self, at: Instant, piece: Piece, held: &mut Held) {
        match piece {
            Piece::Data(_) => self.restart(at, held),
            end => {
                held.clear();
                held.until(at, end);
            }
        }
    }

    fn ends_with(&self) -> Option<End> {
        Some(End::Close)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use super::*;
    use crate::gateway::link::toxic::Toxic;

    #[tokio::test(start_paused = true)]
    async fn swallows_and_closes_after_a_silence() {
        let mut bench = Bench::toxic(Toxic::Timeout { timeout: 500 });
        bench.take(100, data(b"a"));
        bench.take(300, data(b"b"));
        assert_eq!(bench.all(), [(800, CLOSE)]);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_time_it_swallows_until_it_goes() {
        let mut bench = Bench::toxic(Toxic::Timeout { timeout: 0 });
        bench.take(100, data(b"a"));
        assert_eq!(bench.all(), []);
        assert_eq!(bench.ends_with(), Some(End::Close));
        bench.take(200, FINISHED);
        assert_eq!(bench.all(), [(200, FINISHED)]);
    }
}

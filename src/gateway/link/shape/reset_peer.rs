//! Toxiproxy's: once something comes, the connection is reset after a time, and nothing comes through before.

use super::super::{
    End, Piece,
    chain::{Held, Shaper},
};
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct ResetPeer {
    timeout: Duration,
    begun: bool,
}

impl ResetPeer {
    pub fn new(timeout: Duration) -> ResetPeer {
        ResetPeer { timeout, begun: false }
    }
}

impl Shaper for ResetPeer {
    fn take(&mut self, at: Instant, _piece: Piece, held: &mut Held) {
        if !std::mem::replace(&mut self.begun, true) {
            held.until(at + self.timeout, Piece::End(End::Reset));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use crate::gateway::link::toxic::Toxic;

    #[tokio::test(start_paused = true)]
    async fn resets_a_time_after_the_first_that_comes() {
        let mut bench = Bench::toxic(Toxic::ResetPeer { timeout: 300 });
        assert_eq!(bench.all(), []);
        bench.take(50, data(b"a"));
        bench.take(100, data(b"b"));
        assert_eq!(bench.all(), [(350, RESET)]);
    }
}

//! Nothing arrives as long as it is there. As with a broken path: what was sent meanwhile arrives when it is mended.

use super::super::{
    Piece,
    chain::{Held, Shaper},
};
use tokio::time::Instant;

pub(super) struct Blackhole;

impl Shaper for Blackhole {
    fn take(&mut self, _at: Instant, piece: Piece, held: &mut Held) {
        held.for_good(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use crate::policy::fault::link::{LinkFault, Way};

    #[tokio::test(start_paused = true)]
    async fn nothing_goes_on_not_even_the_end() {
        for fault in [LinkFault::Blackhole(Way::Up), LinkFault::HalfOpen] {
            let mut bench = Bench::fault(fault);
            bench.take(0, data(b"a"));
            bench.take(0, FINISHED);
            assert_eq!(bench.all(), []);
        }
    }
}

//! The end arrives later.

use super::super::{
    Piece,
    chain::{Held, Shaper},
};
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct SlowClose(pub Duration);

impl Shaper for SlowClose {
    fn take(&mut self, at: Instant, piece: Piece, held: &mut Held) {
        let due = if matches!(piece, Piece::End(_)) { at + self.0 } else { at };
        held.until(due, piece);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use crate::policy::fault::link::LinkFault;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn data_passes_and_the_end_waits() {
        let mut bench = Bench::fault(LinkFault::SlowClose(Duration::from_secs(2)));
        bench.take(5, data(b"a"));
        bench.take(10, FINISHED);
        assert_eq!(bench.all(), [(5, data(b"a")), (2_010, FINISHED)]);
    }
}

//! Cuts the stream into pieces, each so long after the one before.

use super::super::{
    Piece,
    chain::{Held, Shaper},
};
use crate::policy::random::Draws;
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct Slice {
    size: usize,
    /// More or less by so much.
    variation: usize,
    gap: Duration,
    draws: Draws,
    /// Of the piece that is being passed.
    left: usize,
    /// When the next piece may go.
    next: Option<Instant>,
}

impl Slice {
    pub fn new(size: usize, variation: usize, gap: Duration, draws: Draws) -> Slice {
        Slice { size: size.max(1), variation, gap, draws, left: 0, next: None }
    }

    fn draw(&mut self) -> usize {
        if self.variation == 0 {
            return self.size;
        }
        let least = self.size.saturating_sub(self.variation).max(1);
        let span = self.size.saturating_add(self.variation) - least + 1;
        least + (self.draws.next_u64() % span as u64) as usize
    }
}

impl Shaper for Slice {
    fn take(&mut self, at: Instant, piece: Piece, held: &mut Held) {
        let Piece::Data(mut bytes) = piece else { return held.until(at, piece) };
        while !bytes.is_empty() {
            let begins = self.left == 0;
            if begins {
                self.left = self.draw();
            }
            let part = bytes.split_to(self.left.min(bytes.len()));
            self.left -= part.len();
            // the rest of a piece that came in two goes with it
            let due = if begins { self.next.map_or(at, |next| next.max(at)) } else { at };
            if begins {
                self.next = Some(due + self.gap);
            }
            held.until(due, Piece::Data(part));
        }
    }

    fn reads(&self) -> usize {
        // few pieces of what is read at a time
        self.size.saturating_mul(64).max(1024)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use super::*;
    use crate::gateway::link::toxic::Toxic;
    use crate::policy::fault::link::{LinkFault, Way};

    #[tokio::test(start_paused = true)]
    async fn pieces_and_their_gaps() {
        let gap = Duration::from_millis(10);
        let mut bench = Bench::fault(LinkFault::Fragment { size: 2, gap, way: Way::Both });
        bench.take(0, data(b"abcde"));
        bench.take(1, data(b"fg"));
        bench.take(100, data(b"h"));
        bench.take(100, FINISHED);
        let wanted = [
            (0, data(b"ab")),
            (10, data(b"cd")),
            (20, data(b"e")),
            (20, data(b"f")),
            (30, data(b"g")),
            (100, data(b"h")),
            (100, FINISHED),
        ];
        assert_eq!(bench.all(), wanted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slicer_varies_its_sizes() {
        let mut bench = Bench::toxic(Toxic::Slicer { average_size: 10, size_variation: 4, delay: 1_000 });
        bench.take(0, data(&[7; 1_000]));
        let all = bench.all();
        assert_eq!(bytes_of(&all), [7; 1_000]);
        let sizes: Vec<usize> = all.iter().map(|piece| bytes_of(std::slice::from_ref(piece)).len()).collect();
        assert!(sizes[..sizes.len() - 1].iter().all(|size| (6..=14).contains(size)), "{sizes:?}");
        assert!(sizes.iter().any(|size| *size != sizes[0]));
        assert_eq!(all.last().unwrap().0, sizes.len() as u64 - 1, "a millisecond between two");
    }
}

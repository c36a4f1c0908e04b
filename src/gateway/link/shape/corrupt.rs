//! Turns single bits. Where is drawn as the distance from one to the next, so that it does not matter how the stream is cut.

use super::super::{
    Piece,
    chain::{Held, Shaper},
};
use crate::policy::random::Draws;
use bytes::BytesMut;
use tokio::time::Instant;

pub(super) struct Corrupt {
    p: f64,
    draws: Draws,
    /// Bytes that are passed whole.
    whole: u64,
}

impl Corrupt {
    pub fn new(p: f64, draws: Draws) -> Corrupt {
        let mut corrupt = Corrupt { p, draws, whole: 0 };
        corrupt.whole = corrupt.distance();
        corrupt
    }

    /// How many bytes stay whole before the next, when each is struck with probability `p`.
    fn distance(&mut self) -> u64 {
        if self.p >= 1.0 {
            return 0;
        }
        // 1 - unit is in (0, 1], so the logarithm is finite; a float becomes the nearest number there is
        ((1.0 - self.draws.unit()).ln() / (1.0 - self.p).ln()) as u64
    }
}

impl Shaper for Corrupt {
    fn take(&mut self, at: Instant, piece: Piece, held: &mut Held) {
        let Piece::Data(bytes) = piece else { return held.until(at, piece) };
        if self.whole >= bytes.len() as u64 {
            self.whole -= bytes.len() as u64;
            return held.until(at, Piece::Data(bytes));
        }
        let mut bytes = BytesMut::from(bytes);
        for byte in bytes.iter_mut() {
            match self.whole {
                0 => {
                    *byte ^= 1 << (self.draws.next_u64() % 8);
                    self.whole = self.distance();
                }
                _ => self.whole -= 1,
            }
        }
        held.until(at, Piece::Data(bytes.freeze()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use crate::policy::fault::link::{LinkFault, Way};

    fn struck(p: f64, cut: usize) -> Vec<u8> {
        let mut bench = Bench::fault(LinkFault::CorruptBytes(p, Way::Both));
        vec![0; 20_000].chunks(cut).for_each(|chunk| bench.take(0, data(chunk)));
        bytes_of(&bench.all())
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_bits_however_the_stream_is_cut() {
        let all = struck(0.01, 20_000);
        assert_eq!(all, struck(0.01, 7));
        let hit: Vec<u8> = all.into_iter().filter(|byte| *byte != 0).collect();
        assert!((150..250).contains(&hit.len()), "{} of 20000", hit.len());
        assert!(hit.iter().all(|byte| byte.count_ones() == 1));
        assert!(struck(1.0, 100).iter().all(|byte| *byte != 0));
    }
}

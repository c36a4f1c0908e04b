//! The connection is closed after so much.

use super::super::{
    End, Piece,
    chain::{Held, Shaper},
};
use super::frames;
use tokio::time::Instant;

/// After so many bytes.
pub(super) struct Bytes {
    left: u64,
}

impl Bytes {
    pub fn new(n: u64) -> Bytes {
        Bytes { left: n }
    }
}

impl Shaper for Bytes {
    fn take(&mut self, at: Instant, piece: Piece, held: &mut Held) {
        let Piece::Data(mut bytes) = piece else { return held.until(at, piece) };
        bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= bytes.len() as u64;
        if !bytes.is_empty() {
            held.until(at, Piece::Data(bytes));
        }
        if self.left == 0 {
            held.until(at, Piece::End(End::Close));
        }
    }
}

/// After so many frames.
pub(super) struct Frames {
    left: u64,
    frames: frames::Frames,
}

impl Frames {
    pub fn new(n: u64) -> Frames {
        Frames { left: n, frames: frames::Frames::default() }
    }
}

impl Shaper for Frames {
    fn take(&mut self, at: Instant, piece: Piece, held: &mut Held) {
        let Piece::Data(mut bytes) = piece else { return held.until(at, piece) };
        while !bytes.is_empty() && self.left > 0 {
            let part = self.frames.part(&bytes);
            held.until(at, Piece::Data(bytes.split_to(part.bytes)));
            if part.ends {
                self.left -= 1;
            }
        }
        if self.left == 0 {
            held.until(at, Piece::End(End::Close));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use crate::gateway::link::toxic::Toxic;
    use crate::policy::fault::link::LinkFault;

    #[tokio::test(start_paused = true)]
    async fn closes_after_bytes() {
        for mut bench in
            [Bench::fault(LinkFault::CloseAfterBytes(5)), Bench::toxic(Toxic::LimitData { bytes: 5 })]
        {
            bench.take(0, data(b"abc"));
            assert_eq!(bench.all(), [(0, data(b"abc"))]);
            bench.take(10, data(b"defg"));
            assert_eq!(bench.all(), [(10, data(b"de")), (10, CLOSE)]);
        }
        let mut none = Bench::toxic(Toxic::LimitData { bytes: 0 });
        none.take(0, data(b"a"));
        assert_eq!(none.all(), [(0, CLOSE)]);
    }

    #[tokio::test(start_paused = true)]
    async fn closes_after_frames() {
        let mut bench = Bench::fault(LinkFault::CloseAfterRequests(2));
        bench.take(0, data(&[0, 0, 0, 1, 9, 0, 0, 0, 2, 9]));
        assert!(bench.all().iter().all(|(_, piece)| *piece != CLOSE));
        bench.take(10, data(&[9, 0, 0, 0, 1, 9]));
        assert_eq!(bench.all(), [(10, data(&[9])), (10, CLOSE)]);
    }
}

//! After so many bytes, wherever in a frame that is, nothing more arrives: for a time, or as long as it is there.

use super::super::{
    Piece,
    chain::{Held, Shaper},
};
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct Stall {
    before: u64,
    time: Option<Duration>,
    /// Since when it stalls.
    since: Option<Instant>,
}

impl Stall {
    pub fn new(after: u64, time: Option<Duration>) -> Stall {
        Stall { before: after, time, since: None }
    }
}

impl Shaper for Stall {
    fn take(&mut self, at: Instant, piece: Piece, held: &mut Held) {
        let rest = match piece {
            Piece::Data(mut bytes) => {
                let passes = bytes.len().min(usize::try_from(self.before).unwrap_or(usize::MAX));
                self.before -= passes as u64;
                if passes > 0 {
                    held.until(at, Piece::Data(bytes.split_to(passes)));
                }
                if bytes.is_empty() {
                    return;
                }
                Piece::Data(bytes)
            }
            end if self.before > 0 => return held.until(at, end),
            end => end,
        };
        let since = *self.since.get_or_insert(at);
        match self.time {
            Some(time) => held.until(at.max(since + time), rest),
            None => held.for_good(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;
    use super::*;
    use crate::policy::fault::link::{LinkFault, Way};

    fn stall(time: Option<Duration>) -> Bench {
        Bench::fault(LinkFault::Stall { after: 3, time, way: Way::Both })
    }

    #[tokio::test(start_paused = true)]
    async fn stalls_in_the_middle_for_a_time() {
        let mut bench = stall(Some(Duration::from_secs(1)));
        bench.take(0, data(b"ab"));
        bench.take(10, data(b"cd"));
        bench.take(500, data(b"e"));
        bench.take(2_000, data(b"f"));
        let wanted = [(0, b"ab".as_slice()), (10, b"c"), (1_010, b"d"), (1_010, b"e"), (2_000, b"f")];
        assert_eq!(bench.all(), wanted.map(|(at, bytes)| (at, data(bytes))));
    }

    #[tokio::test(start_paused = true)]
    async fn stalls_for_good() {
        let mut bench = stall(None);
        bench.take(0, data(b"abcd"));
        bench.take(0, FINISHED);
        assert_eq!(bench.all(), [(0, data(b"abc"))]);
        let mut short = stall(None);
        short.take(0, data(b"a"));
        short.take(0, FINISHED);
        assert_eq!(short.all(), [(0, data(b"a")), (0, FINISHED)], "what ends before it stalls ends");
    }
}

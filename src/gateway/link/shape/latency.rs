//! Everything arrives later. A rule's time is drawn for each frame, which is the same however the stream is cut; Toxiproxy's for
//! each piece, as that does.

use super::super::{
    Piece,
    chain::{Held, Shaper},
};
use super::frames::Frames;
use crate::policy::random::{Distribution, Draws};
use std::time::Duration;
use tokio::time::Instant;

pub(super) struct Latency {
    time: Distribution,
    draws: Draws,
    /// None: not by frames.
    frames: Option<Frames>,
    drawn: Duration,
}

/// Many pieces are under way at once, as on a long line: at 100 ms enough for 10 MB a second.
const ROOM: usize = 1024 * 1024;

impl Latency {
    pub fn new(time: Distribution, draws: Draws) -> Latency {
        let drawn = if let Distribution::Fixed(time) = time { time } else { Duration::ZERO };
        let frames = (!time.is_fixed()).then(Frames::default);
        Latency { time, draws, frames, drawn }
    }

    /// As Toxiproxy has it: the time, more or less by so much.
    pub fn jittered(latency: Duration, jitter: Duration, draws: Draws) -> Latency {
        let time = match jitter.is_zero() {
            true => Distribution::Fixed(latency),
            false => Distribution::Uniform { from: latency.saturating_sub(jitter), to: latency + jitter },
        };
        Latency { frames: None, drawn: latency, time, draws }
    }
}

impl Shaper for Latency {
    fn take(&mut self, at: Instant, piece: Piece, held: &mut Held) {
        let (Piece::Data(mut bytes), false) = (piece.clone(), self.time.is_fixed()) else {
            return held.until(at + self.drawn, piece);
        };
        while !bytes.is_empty() {
            let (part, draws) = match &mut self.frames {
                Some(frames) => {
                    let part = frames.part(&bytes);
                    (part.bytes, part.begins)
                }
                None => (bytes.len(), true),
            };
            if draws {
                self.drawn = self.time.draw(&mut self.draws);
            }
            held.until(at + self.drawn, Piece::Data(bytes.split_to(part)));
        }
    }

    fn room(&self) -> usize {
        ROOM
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::toxic::Toxic;
    use super::super::tests::*;
    use super::*;
    use crate::policy::fault::link::{LinkFault, Way};

    const MS: Duration = Duration::from_millis(1);

    fn frame(n: u8) -> Vec<u8> {
        vec![0, 0, 0, 3, n, n, n]
    }

    #[tokio::test(start_paused = true)]
    async fn pieces_keep_their_distance() {
        let mut bench = Bench::fault(LinkFault::Latency(Distribution::Fixed(100 * MS), Way::Both));
        bench.take(0, data(b"a"));
        bench.take(10, data(b"b"));
        bench.take(20, FINISHED);
        assert_eq!(bench.all(), [(100, data(b"a")), (110, data(b"b")), (120, FINISHED)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_is_drawn_for_as_a_whole_and_none_overtakes() {
        let drawn = Distribution::Uniform { from: 10 * MS, to: 200 * MS };
        let times = |cut: usize| {
            let mut bench = Bench::fault(LinkFault::Latency(drawn.clone(), Way::Both));
            let stream: Vec<u8> = (0..20).flat_map(frame).collect();
            stream.chunks(cut).for_each(|chunk| bench.take(0, data(chunk)));
            let all = bench.all();
            assert_eq!(bytes_of(&all), stream);
            let mut by_byte = Vec::new();
            for (at, piece) in all {
                by_byte.extend(vec![at; bytes_of(&[(at, piece)]).len()]);
            }
            by_byte
        };
        let whole = times(1_000);
        assert!(whole.is_sorted());
        assert!(whole.chunks(7).all(|frame| frame.iter().all(|at| *at == frame[0])));
        assert!(whole[0] < whole[139], "not the same for all");
        assert_eq!(whole, times(1));
        assert_eq!(whole, times(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_toxic_varies_by_its_jitter() {
        let mut bench = Bench::toxic(Toxic::Latency { latency: 100, jitter: 50 });
        (0..50).for_each(|i| bench.take(1_000 * i, data(b"a")));
        let times: Vec<u64> = bench.all().iter().map(|(at, _)| at % 1_000).collect();
        assert!(times.iter().all(|at| (50..150).contains(at)), "{times:?}");
        assert!(times.iter().max() > times.iter().min());
    }
}

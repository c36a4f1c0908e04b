//! What can be done to bytes on their way: one small file each. They know no sockets and no clock: a piece comes at a time, and
//! goes on at one.

mod bandwidth;
mod blackhole;
mod corrupt;
mod frames;
mod latency;
mod limit;
mod reset_peer;
mod slice;
mod slow_close;
mod stall;
mod timeout;

use super::{chain::Shaper, toxic::Toxic};
use crate::policy::{
    fault::link::{LinkFault, Way},
    random::Draws,
};
use std::time::Duration;
use tokio::time::Instant;

/// What a shaper is made from.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    Fault { fault: LinkFault, draws: Draws, way: Way },
    Toxic { toxic: Toxic, draws: Draws },
}

impl Shape {
    pub fn shaper(&self, now: Instant) -> Box<dyn Shaper> {
        match self {
            Shape::Fault { fault, draws, way } => of_fault(fault, draws.clone(), *way, now),
            Shape::Toxic { toxic, draws } => of_toxic(toxic, draws.clone(), now),
        }
    }
}

fn of_fault(fault: &LinkFault, draws: Draws, way: Way, now: Instant) -> Box<dyn Shaper> {
    match fault {
        LinkFault::CloseAfterBytes(n) => Box::new(limit::Bytes::new(*n)),
        LinkFault::CloseAfterRequests(n) => Box::new(limit::Frames::new(*n)),
        LinkFault::HalfOpen | LinkFault::Blackhole(_) => Box::new(blackhole::Blackhole),
        LinkFault::SlowClose(time) => Box::new(slow_close::SlowClose(*time)),
        LinkFault::Stall { after, time, .. } => Box::new(stall::Stall::new(*after, *time)),
        LinkFault::Latency(time, _) => Box::new(latency::Latency::new(time.clone(), draws)),
        LinkFault::Bandwidth { rate, burst, .. } => Box::new(bandwidth::Bandwidth::new(*rate, *burst, now)),
        LinkFault::Fragment { size, gap, .. } => Box::new(slice::Slice::new(*size, 0, *gap, draws)),
        LinkFault::CorruptBytes(p, _) => {
            // from the client and to it at places of their own
            Box::new(corrupt::Corrupt::new(*p, draws.apart(way as u64)))
        }
    }
}

fn of_toxic(toxic: &Toxic, draws: Draws, now: Instant) -> Box<dyn Shaper> {
    let ms = |ms: i64| Duration::from_millis(ms.max(0).unsigned_abs());
    match *toxic {
        Toxic::Latency { latency, jitter } => {
            Box::new(latency::Latency::jittered(ms(latency), ms(jitter), draws))
        }
        // no rate is no limit, as with Toxiproxy; its KB are a thousand bytes
        Toxic::Bandwidth { rate } if rate <= 0 => Box::new(latency::Latency::jittered(ms(0), ms(0), draws)),
        Toxic::Bandwidth { rate } => {
            Box::new(bandwidth::Bandwidth::new(rate.unsigned_abs().saturating_mul(1000), 0, now))
        }
        Toxic::SlowClose { delay } => Box::new(slow_close::SlowClose(ms(delay))),
        Toxic::Timeout { timeout } => Box::new(timeout::Timeout(ms(timeout))),
        Toxic::ResetPeer { timeout } => Box::new(reset_peer::ResetPeer::new(ms(timeout))),
        Toxic::Slicer { average_size, size_variation, delay } => {
            let size = |n: i64| usize::try_from(n.max(0)).unwrap_or(usize::MAX);
            let gap = Duration::from_micros(delay.max(0).unsigned_abs());
            Box::new(slice::Slice::new(size(average_size).max(1), size(size_variation), gap, draws))
        }
        Toxic::LimitData { bytes } => Box::new(limit::Bytes::new(bytes.max(0).unsigned_abs())),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{End, Piece, chain::Held};
    use super::*;
    use crate::policy::random::Event;
    use bytes::Bytes;

    pub fn draws() -> Draws {
        Draws::new(1, 2, Event { subject: 3, ordinal: 4, attempt: 0 })
    }

    pub fn shape_of(fault: LinkFault) -> Shape {
        Shape::Fault { fault, draws: draws(), way: Way::Down }
    }

    pub fn data(bytes: &[u8]) -> Piece {
        Piece::Data(Bytes::copy_from_slice(bytes))
    }

    pub const FINISHED: Piece = Piece::End(End::Finished);
    pub const CLOSE: Piece = Piece::End(End::Close);
    pub const RESET: Piece = Piece::End(End::Reset);

    /// One shaper and what it holds.
    pub struct Bench {
        shaper: Box<dyn Shaper>,
        held: Held,
        pub start: Instant,
    }

    impl Bench {
        pub fn new(shape: &Shape) -> Bench {
            let start = Instant::now();
            let (mut shaper, mut held) = (shape.shaper(start), Held::default());
            shaper.begin(start, &mut held);
            Bench { shaper, held, start }
        }

        pub fn fault(fault: LinkFault) -> Bench {
            Bench::new(&shape_of(fault))
        }

        pub fn toxic(toxic: Toxic) -> Bench {
            Bench::new(&Shape::Toxic { toxic, draws: draws() })
        }

        /// A piece comes so many milliseconds after the start.
        pub fn take(&mut self, ms: u64, piece: Piece) {
            self.shaper.take(self.start + Duration::from_millis(ms), piece, &mut self.held);
        }

        /// What goes on by itself, and when.
        pub fn all(&mut self) -> Vec<(u64, Piece)> {
            let mut all = Vec::new();
            while let Some(due) = self.held.next_due() {
                let (due, piece) = self.held.pop(due).unwrap();
                all.push(((due - self.start).as_millis() as u64, piece));
            }
            all
        }

        pub fn ends_with(&self) -> Option<End> {
            self.shaper.ends_with()
        }
    }

    /// The bytes of data among pieces.
    pub fn bytes_of(pieces: &[(u64, Piece)]) -> Vec<u8> {
        let data = pieces.iter().filter_map(|(_, piece)| match piece {
            Piece::Data(bytes) => Some(bytes.to_vec()),
            Piece::End(_) => None,
        });
        data.flatten().collect()
    }
}

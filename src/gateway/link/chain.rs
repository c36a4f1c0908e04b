//! A row of shapers, each with what it holds until it is due.

use super::{End, Piece, shape::Shape};
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use tokio::time::Instant;

/// What bytes go through on one way. Each of these takes a piece when it comes and says when it goes on.
pub(super) trait Shaper: Send {
    /// When it is put into the row.
    fn begin(&mut self, _now: Instant, _held: &mut Held) {}

    fn take(&mut self, at: Instant, piece: Piece, held: &mut Held);

    /// Bytes that may be held because of it.
    fn room(&self) -> usize {
        ROOM
    }

    /// How much is best read at a time: what makes many pieces of one wants small ones.
    fn reads(&self) -> usize {
        usize::MAX
    }

    /// Whether the connection ends when it is taken away: what it swallowed left a hole.
    fn ends_with(&self) -> Option<End> {
        None
    }
}

/// Of a shaper that holds for no longer than it must.
const ROOM: usize = 64 * 1024;

/// What a shaper holds, in order.
#[derive(Default)]
pub(super) struct Held {
    pieces: VecDeque<(Option<Instant>, Piece)>,
    cost: usize,
    last: Option<Instant>,
    /// Something is held for as long as the shaper is there, and so is all behind it.
    stuck: bool,
}

impl Held {
    /// Goes on at this time, or right behind what is before it.
    pub fn until(&mut self, due: Instant, piece: Piece) {
        let due = self.last.map_or(due, |last| last.max(due));
        self.last = Some(due);
        let due = (!self.stuck).then_some(due);
        self.put(due, piece);
    }

    /// Goes on when the shaper goes.
    pub fn for_good(&mut self, piece: Piece) {
        self.stuck = true;
        self.put(None, piece);
    }

    /// Nothing of it goes on.
    pub fn clear(&mut self) {
        (self.pieces, self.cost, self.last) = (VecDeque::new(), 0, None);
    }

    fn put(&mut self, due: Option<Instant>, piece: Piece) {
        self.cost += piece.cost();
        self.pieces.push_back((due, piece));
    }

    pub fn next_due(&self) -> Option<Instant> {
        self.pieces.front().and_then(|(due, _)| *due)
    }

    pub fn pop(&mut self, now: Instant) -> Option<(Instant, Piece)> {
        let due = self.next_due().filter(|due| *due <= now)?;
        let (_, piece) = self.pieces.pop_front()?;
        self.cost -= piece.cost();
        if self.pieces.is_empty() {
            // as much as a burst left behind is not kept for a session that says nothing
            self.pieces = VecDeque::new();
        }
        Some((due, piece))
    }
}

/// Which fault a shaper is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// The n-th of the session's rules.
    Rule(usize),
    /// Of a proxy: its number, which it never shares with one that came before.
    Toxic(u64),
}

struct Stage {
    key: Key,
    shaper: Box<dyn Shaper>,
    held: Held,
}

#[derive(Default)]
pub(super) struct Chain {
    stages: Vec<Stage>,
    /// What is through.
    out: VecDeque<Piece>,
    out_cost: usize,
    /// Nothing passes behind an end.
    ended: bool,
}

impl Chain {
    /// Makes it a row of these. What is not among them any more goes, and lets go of what it held.
    pub fn set(&mut self, now: Instant, wanted: &[(Key, Shape)]) {
        let mut at = 0;
        while at < self.stages.len() {
            if wanted.iter().any(|(key, _)| *key == self.stages[at].key) {
                at += 1;
                continue;
            }
            let gone = self.stages.remove(at);
            for (_, piece) in gone.held.pieces {
                self.feed(at, now, piece);
            }
            if let Some(end) = gone.shaper.ends_with() {
                self.feed(at, now, Piece::End(end));
            }
        }
        for (at, (key, shape)) in wanted.iter().enumerate() {
            if self.stages.get(at).is_none_or(|stage| stage.key != *key) {
                let mut stage = Stage { key: *key, shaper: shape.shaper(now), held: Held::default() };
                stage.shaper.begin(now, &mut stage.held);
                self.stages.insert(at.min(self.stages.len()), stage);
            }
        }
    }

    /// What comes in.
    pub fn push(&mut self, now: Instant, piece: Piece) {
        self.feed(0, now, piece);
    }

    /// Lets on what is due.
    pub fn advance(&mut self, now: Instant) {
        for at in 0..self.stages.len() {
            // on from when it was due, not from when somebody looked
            while let Some((due, piece)) = self.stages[at].held.pop(now) {
                self.feed(at + 1, due, piece);
            }
        }
    }

    fn feed(&mut self, at: usize, time: Instant, piece: Piece) {
        match self.stages.get_mut(at) {
            Some(stage) => stage.shaper.take(time, piece, &mut stage.held),
            None if self.ended => {}
            None => {
                self.ended = matches!(piece, Piece::End(_));
                self.out_cost += piece.cost();
                self.out.push_back(piece);
            }
        }
    }

    /// When something is due that is not through yet.
    pub fn next_due(&self) -> Option<Instant> {
        self.stages.iter().filter_map(|stage| stage.held.next_due()).min()
    }

    /// What leaves next.
    pub fn front(&self) -> Option<&Piece> {
        self.out.front()
    }

    /// So many bytes of the front have left.
    pub fn left(&mut self, n: usize) {
        let Some(Piece::Data(bytes)) = self.out.front_mut() else { return };
        bytes.advance(n);
        self.out_cost -= n;
        if bytes.is_empty() {
            self.out_cost -= Piece::Data(Bytes::new()).cost();
            self.out.pop_front();
        }
        if self.out.is_empty() {
            self.out = VecDeque::new();
        }
    }

    /// How much is held.
    pub fn held(&self) -> usize {
        self.out_cost + self.stages.iter().map(|stage| stage.held.cost).sum::<usize>()
    }

    pub fn has_room(&self) -> bool {
        self.held() < self.stages.iter().map(|stage| stage.shaper.room()).max().unwrap_or(ROOM)
    }

    pub fn reads(&self) -> usize {
        self.stages.iter().map(|stage| stage.shaper.reads()).min().unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::link::shape::tests::{data, shape_of};
    use crate::policy::fault::link::{LinkFault, Way};
    use crate::policy::random::Distribution;
    use std::time::Duration;

    fn latency(ms: u64) -> Shape {
        shape_of(LinkFault::Latency(Distribution::Fixed(Duration::from_millis(ms)), Way::Both))
    }

    fn taken(chain: &mut Chain) -> Vec<Piece> {
        let mut taken = Vec::new();
        while let Some(piece) = chain.front().cloned() {
            match &piece {
                Piece::Data(bytes) => chain.left(bytes.len()),
                Piece::End(_) => {
                    chain.out.pop_front();
                }
            }
            taken.push(piece);
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn times_add_up_along_the_row() {
        let (mut chain, start) = (Chain::default(), Instant::now());
        chain.set(start, &[(Key::Rule(0), latency(100)), (Key::Rule(1), latency(50))]);
        chain.push(start, data(b"a"));
        assert_eq!(chain.next_due(), Some(start + Duration::from_millis(100)));
        // looked at late, it is not held longer for that
        chain.advance(start + Duration::from_millis(140));
        assert_eq!(chain.next_due(), Some(start + Duration::from_millis(150)));
        assert!(chain.front().is_none());
        chain.advance(start + Duration::from_millis(150));
        assert_eq!(taken(&mut chain), [data(b"a")]);
        assert_eq!(chain.held(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_goes_lets_go_in_order_and_the_rest_goes_on() {
        let (mut chain, start) = (Chain::default(), Instant::now());
        let rows = [(Key::Rule(0), latency(100)), (Key::Toxic(0), latency(1_000))];
        chain.set(start, &rows);
        chain.push(start, data(b"a"));
        let later = start + Duration::from_millis(100);
        chain.advance(later);
        chain.push(later, data(b"b"));
        // `a` waits in the second, `b` in the first
        chain.set(later, &rows[..1]);
        chain.advance(later);
        assert_eq!(taken(&mut chain), [data(b"a")]);
        chain.set(later, &[]);
        assert_eq!(taken(&mut chain), [data(b"b")]);
        chain.push(later, data(b"c"));
        assert_eq!(taken(&mut chain), [data(b"c")], "untouched from here on");
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_passes_behind_an_end() {
        let (mut chain, now) = (Chain::default(), Instant::now());
        chain.push(now, Piece::End(End::Close));
        chain.push(now, data(b"a"));
        assert_eq!(taken(&mut chain), [Piece::End(End::Close)]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_is_bounded_also_in_single_bytes() {
        let (mut chain, now) = (Chain::default(), Instant::now());
        chain.set(now, &[(Key::Rule(0), shape_of(LinkFault::Blackhole(Way::Both)))]);
        let mut pushed = 0;
        while chain.has_room() {
            chain.push(now, data(b"x"));
            pushed += 1;
        }
        assert!(pushed <= ROOM / 64);
        chain.set(now, &[]);
        assert_eq!(taken(&mut chain).len(), pushed);
    }
}

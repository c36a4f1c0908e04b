//! The exchanges of one session whose answers are owed, in request order: first until the answer is known (`waiting`), then
//! until it is due (`due`). What is held back holds back what comes after it, and counts against the session and the process.

use super::{
    budget::Share,
    end::EndCause,
    release::{Release, Releaser},
    upstream::{Answering, Metering},
};
use crate::wire::{Piece, Response};
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::{sync::Notify, time::Instant};

/// How a session is closed once all before it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// An orderly close.
    Close(EndCause),
    /// An RST.
    Reset(EndCause),
}

/// An answer on its way.
pub enum Answered {
    Now(Option<Response>),
    Later(Answering),
    /// Of a client with quotas.
    Metered(Metering),
    /// Of a request that a rule holds: what becomes of it when it is let go.
    Held(Pin<Box<dyn Future<Output = Answered> + Send>>),
    /// No answer: after what is owed, this.
    End(Closing),
}

/// One exchange between its request and its response stage.
pub struct Waiting<X> {
    pub exchange: X,
    pub answered: Answered,
}

/// A frame and when it may leave.
pub struct Due<X> {
    pub exchange: X,
    /// Empty for an exchange without a response.
    pub pieces: Vec<Piece>,
    /// What rules hold it back with.
    pub release: Option<Release>,
    pub closing: Option<Closing>,
    /// What it takes of the memory for held responses.
    pub share: Share,
}

impl<X> Due<X> {
    /// Bytes of the frame that are in memory.
    pub fn in_memory(&self) -> usize {
        self.pieces.iter().map(|p| if let Piece::Bytes(b) = p { b.len() } else { 0 }).sum()
    }
}

struct State<X> {
    waiting: VecDeque<Waiting<X>>,
    due: VecDeque<Due<X>>,
    /// Taken from `waiting`, not yet in `due`.
    between: usize,
    held_bytes: usize,
}

impl<X> State<X> {
    /// Exchanges whose answers are owed.
    fn owed(&self) -> usize {
        self.waiting.len() + self.between + self.due.len()
    }
}

/// The queues of one session, shared by its three loops.
pub struct InFlight<X> {
    state: Mutex<State<X>>,
    arrived: Notify,
    ready: Notify,
    left: Notify,
    max_count: usize,
    max_bytes: usize,
    releaser: Releaser,
}

impl<X> InFlight<X> {
    pub fn new(max_count: usize, max_bytes: usize, releaser: Releaser) -> Self {
        InFlight {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                due: VecDeque::new(),
                between: 0,
                held_bytes: 0,
            }),
            arrived: Notify::new(),
            ready: Notify::new(),
            left: Notify::new(),
            max_count,
            max_bytes,
            releaser,
        }
    }

    fn state(&self) -> MutexGuard<'_, State<X>> {
        // A panic in another loop of the same task ends the task; the state is never seen half-changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Exchanges whose answers are owed.
    pub fn len(&self) -> usize {
        self.state().owed()
    }

    /// Whether another exchange may begin.
    pub fn has_room(&self) -> bool {
        let state = self.state();
        let count = state.owed();
        count < self.max_count && (state.held_bytes < self.max_bytes || count == 0)
    }

    /// Waits until another exchange may begin.
    pub async fn room(&self) {
        loop {
            let left = self.left.notified();
            if self.has_room() {
                return;
            }
            left.await;
        }
    }

    /// Waits until every exchange so far has its answer (it need not be sent yet).
    pub async fn answered(&self) {
        loop {
            let left = self.left.notified();
            {
                let state = self.state();
                if state.waiting.is_empty() && state.between == 0 {
                    return;
                }
            }
            left.await;
        }
    }

    /// Gives how many are owed now.
    pub fn push(&self, waiting: Waiting<X>) -> usize {
        let mut state = self.state();
        state.waiting.push_back(waiting);
        let owed = state.owed();
        drop(state);
        self.arrived.notify_one();
        owed
    }

    /// The next exchange in request order.
    pub async fn next_waiting(&self) -> Waiting<X> {
        loop {
            {
                let mut state = self.state();
                if let Some(next) = state.waiting.pop_front() {
                    state.between += 1;
                    return next;
                }
            }
            self.arrived.notified().await;
        }
    }

    /// Takes an exchange that the completer had out of the count: nothing is sent for it. Gives how many are owed still.
    pub fn forget(&self) -> usize {
        let mut state = self.state();
        state.between = state.between.saturating_sub(1);
        let owed = state.owed();
        drop(state);
        self.left.notify_waiters();
        owed
    }

    /// Hands an answered exchange to the writer.
    pub fn push_due(&self, due: Due<X>) {
        let mut state = self.state();
        state.between = state.between.saturating_sub(1);
        state.held_bytes += due.in_memory();
        state.due.push_back(due);
        drop(state);
        self.ready.notify_one();
        self.left.notify_waiters();
    }

    /// The next frame to send; waits for its time. The first in the row holds back all others, so none overtakes.
    pub async fn next_due(&self) -> Due<X> {
        loop {
            self.releaser.released(|| self.next_look()).await;
            let next = self.pop(&mut self.state());
            match next {
                Some(due) => return due,
                None => self.ready.notified().await,
            }
        }
    }

    /// The next frame if it may leave now.
    pub fn try_next_due(&self) -> Option<Due<X>> {
        match self.next_look() {
            Some(_) => None,
            None => self.pop(&mut self.state()),
        }
    }

    /// When to look again whether the first in the row may leave; None when it may, or there is none.
    fn next_look(&self) -> Option<Instant> {
        let mut state = self.state();
        state.due.front_mut().and_then(|front| self.releaser.next_look(&mut front.release))
    }

    fn pop(&self, state: &mut State<X>) -> Option<Due<X>> {
        let due = state.due.pop_front()?;
        state.held_bytes = state.held_bytes.saturating_sub(due.in_memory());
        if state.due.is_empty() && state.waiting.is_empty() {
            // An idle session keeps no queue memory.
            state.due = VecDeque::new();
            state.waiting = VecDeque::new();
        }
        self.left.notify_waiters();
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{budget::Budget, release::tests::World};
    use super::*;
    use std::time::Duration;

    fn queue(world: &World, max_count: usize) -> InFlight<u32> {
        InFlight::new(max_count, 1000, world.releaser())
    }

    fn due(n: u32, release: Option<Release>) -> Due<u32> {
        Due { exchange: n, pieces: Vec::new(), release, closing: None, share: Share::new(&Budget::new(0)) }
    }

    fn slow() -> World {
        World::new(&[("slow", r#"expires("1h"); on_request("Heartbeat").delay("200ms");"#)])
    }

    #[tokio::test(start_paused = true)]
    async fn delays_overlap_and_answers_never_overtake() {
        let world = slow();
        let queue = queue(&world, 10);
        let start = Instant::now();
        for n in 0..5 {
            queue.push_due(due(n, world.held(Duration::from_millis(200))));
        }
        queue.push_due(due(5, None));
        for n in 0..6 {
            assert_eq!(queue.next_due().await.exchange, n);
        }
        assert_eq!(start.elapsed(), Duration::from_millis(200));
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_rule_held_leaves_in_order_when_the_rule_is_gone() {
        let world = slow();
        let queue = queue(&world, 10);
        let start = Instant::now();
        for n in 0..3 {
            queue.push_due(due(n, world.held(Duration::from_secs(60 - u64::from(n)))));
        }
        assert!(queue.try_next_due().is_none());
        world.load(&[]);
        for n in 0..3 {
            assert_eq!(queue.next_due().await.exchange, n);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_session_is_not_read() {
        let world = slow();
        let queue = queue(&world, 1);
        queue.room().await;
        queue.push(Waiting { exchange: 1, answered: Answered::Now(None) });
        assert!(tokio::time::timeout(Duration::from_secs(1), queue.room()).await.is_err());
        let next = queue.next_waiting().await;
        assert!(tokio::time::timeout(Duration::from_secs(1), queue.room()).await.is_err());
        queue.push_due(due(next.exchange, None));
        queue.answered().await;
        queue.next_due().await;
        queue.room().await;
    }
}

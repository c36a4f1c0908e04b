//! Between a client's socket and its session, where faults of the connection and its bytes are: rules of `on_connect` give them
//! to a session when it begins, and Toxiproxy's API to all that come through a proxy.
//!
//! A session that has no such fault does not pass here. For one that has, [`pair`] makes two ends of a connection within the
//! process: the session has one, and [`relay`] carries bytes between the other and the client. Each way is a [`flow`]: what it
//! reads goes through a [`chain`] of shapers, one small file each in [`shape`], each of which says when what it took goes on, and
//! as what. Faults come and go while bytes pass: what one that goes had held is passed on at once, in order.
//!
//! Nothing here sleeps that outlives the session: times are due times, and the one that is next is waited for together with
//! everything else that can happen. What is held is bounded for each way of a session, and counts as memory of held responses.

mod chain;
mod flow;
mod pair;
pub mod proxies;
mod relay;
mod shape;
pub mod toxic;
pub mod toxiproxy;

pub(super) use relay::{Links, relay};

use bytes::Bytes;

/// What passes.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Data(Bytes),
    End(End),
}

impl Piece {
    /// What it counts in memory: its own place too, so that very small ones cannot be very many.
    fn cost(&self) -> usize {
        match self {
            Piece::Data(bytes) => bytes.len() + 64,
            Piece::End(_) => 64,
        }
    }
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Who sent closed its side.
    Finished,
    /// A fault closes the connection, both ways.
    Close,
    /// The connection is reset.
    Reset,
}

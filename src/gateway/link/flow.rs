//! One way between two sockets.

use super::{
    End, Piece,
    chain::{Chain, Key},
    shape::Shape,
};
use crate::gateway::budget::{Budget, Share};
use bytes::BytesMut;
use socket2::SockRef;
use std::{io, sync::Arc};
use tokio::{net::TcpStream, time::Instant};

/// Read at a time.
const READ: usize = 16 * 1024;

pub(super) struct Flow {
    chain: Chain,
    /// The source has ended.
    ended: bool,
    share: Share,
    memory: Arc<Budget>,
}

/// Why a flow is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The end of the source was passed on.
    Finished,
    /// Nobody takes the bytes.
    SinkGone,
    Close,
    Reset,
}

impl Flow {
    pub fn new(memory: &Arc<Budget>) -> Flow {
        Flow { chain: Chain::default(), ended: false, share: Share::new(memory), memory: memory.clone() }
    }

    pub fn set(&mut self, wanted: &[(Key, Shape)]) {
        self.chain.set(Instant::now(), wanted);
    }

    /// Carries bytes until the end. May be dropped and called again at any time.
    pub async fn run(&mut self, source: &TcpStream, sink: &TcpStream) -> Over {
        loop {
            self.chain.advance(Instant::now());
            while let Some(piece) = self.chain.front() {
                match piece {
                    Piece::End(End::Finished) => {
                        // an error says that it is closed already
                        let _ = SockRef::from(sink).shutdown(std::net::Shutdown::Write);
                        return Over::Finished;
                    }
                    Piece::End(End::Close) => return Over::Close,
                    Piece::End(End::Reset) => return Over::Reset,
                    Piece::Data(bytes) => match sink.try_write(bytes) {
                        Ok(n) => self.chain.left(n),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        Err(_) => return Over::SinkGone,
                    },
                }
            }
            self.share.settle(self.chain.held());
            let writes = self.chain.front().is_some();
            let due = self.chain.next_due();
            // where memory is short, no more is read while something is held
            let room = self.chain.has_room()
                && (self.share.bytes() == 0 || self.memory.taken() < self.memory.total());
            tokio::select! {
                // an error of the socket is what the next try finds
                _ = sink.writable(), if writes => {}
                _ = source.readable(), if room && !self.ended => self.read(source),
                () = until(due) => {}
            }
        }
    }

    fn read(&mut self, source: &TcpStream) {
        let mut buffer = BytesMut::with_capacity(READ.min(self.chain.reads()));
        let piece = match source.try_read_buf(&mut buffer) {
            Ok(0) => Piece::End(End::Finished),
            Ok(_) => Piece::Data(buffer.freeze()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(_) => Piece::End(End::Reset),
        };
        self.ended = matches!(piece, Piece::End(_));
        self.chain.push(Instant::now(), piece);
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

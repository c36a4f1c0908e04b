//! Gathers one session's request frames. Memory grows with what arrived and counts against the process's budget; a session
//! that waits between frames owns no buffer.

use super::{
    budget::{Budget, Share},
    end::EndCause,
    socket::Socket,
};
use crate::wire::frame::{FrameError, NotKafka, frame_length};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::{io, sync::Arc, time::Duration};
use tokio::time::Instant;

/// What is reserved for a first read: most requests fit.
const FIRST_READ: usize = 4 * 1024;
/// What a reservation for a frame under way is at the least and at the most, each time.
const MORE: usize = 16 * 1024;
const MOST: usize = 4 * 1024 * 1024;
/// Frames up to this size are small: those who send large ones slowly leave memory for them.
pub(super) const SMALL: usize = 64 * 1024;

/// A complete frame and its hold on the budget.
pub struct Frame {
    pub payload: Bytes,
    pub share: Share,
}

/// The reading end of a session.
pub struct FrameReader<'a> {
    stream: &'a Socket,
    src: BytesMut,
    budget: Arc<Budget>,
    greeted: bool,
}

impl<'a> FrameReader<'a> {
    pub fn new(stream: &'a Socket, budget: &Arc<Budget>) -> Self {
        FrameReader { stream, src: BytesMut::new(), budget: budget.clone(), greeted: false }
    }

    /// The next frame of at most `max` bytes. `idle` bounds the wait for its first byte, `whole` the time from there to its last.
    pub async fn next(&mut self, max: usize, idle: Duration, whole: Duration) -> Result<Frame, EndCause> {
        // What could never be had is not waited for.
        let max = max.min(self.budget.total());
        let mut share = Share::new(&self.budget);
        let silent_until = Instant::now() + idle;
        loop {
            if self.src.is_empty() {
                // Nothing is kept while nothing is said.
                self.src = BytesMut::new();
                match tokio::time::timeout_at(silent_until, self.stream.readable()).await {
                    Ok(ready) => ready.map_err(|_| EndCause::Connection)?,
                    Err(_) => return Err(EndCause::Idle),
                }
            }
            // The clock starts only for a frame that does not come in one piece.
            if let Some(payload) = self.take(max, &mut share)? {
                return Ok(Frame { payload, share });
            }
            if !self.src.is_empty() {
                break;
            }
        }
        let deadline = Instant::now() + whole;
        self.gather(max, &mut share, deadline).await.map(|payload| Frame { payload, share })
    }

    /// The frame at hand if it can be had without waiting.
    fn take(&mut self, max: usize, share: &mut Share) -> Result<Option<Bytes>, EndCause> {
        loop {
            if let Some(len) = self.length(max)? {
                if self.src.len() >= 4 + len {
                    if !share.try_grow(len.saturating_sub(share.bytes())) {
                        return Ok(None);
                    }
                    self.src.advance(4);
                    return Ok(Some(self.src.split_to(len).freeze()));
                }
                if self.src.len() >= FIRST_READ {
                    return Ok(None);
                }
            }
            self.src.reserve(FIRST_READ.saturating_sub(self.src.len()).max(64));
            match self.stream.try_read_buf(&mut self.src) {
                Ok(0) => return Err(self.closed()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(_) => return Err(EndCause::Connection),
            }
        }
    }

    async fn gather(&mut self, max: usize, share: &mut Share, deadline: Instant) -> Result<Bytes, EndCause> {
        loop {
            let (want, whole) = match self.length(max)? {
                Some(len) => {
                    if len > SMALL {
                        share.is_coming();
                    }
                    let missing = (4 + len).saturating_sub(self.src.len());
                    (missing.min(self.src.len().clamp(MORE, MOST)), Some(len).filter(|_| missing == 0))
                }
                None => (FIRST_READ, None),
            };
            // Counted before it is filled: what waits for memory takes none.
            let more = (self.src.len() + want).saturating_sub(share.bytes());
            if !share.grow(more, deadline).await {
                return Err(EndCause::RequestMemory);
            }
            if let Some(len) = whole {
                self.src.advance(4);
                share.settle(len);
                return Ok(self.src.split_to(len).freeze());
            }
            self.src.reserve(want);
            match self.stream.try_read_buf(&mut (&mut self.src).limit(want)) {
                Ok(0) => return Err(self.closed()),
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let ready = tokio::time::timeout_at(deadline, self.stream.readable()).await;
                    ready.map_err(|_| EndCause::FrameTimeout)?.map_err(|_| EndCause::Connection)?;
                }
                Err(_) => return Err(EndCause::Connection),
            }
        }
    }

    fn closed(&self) -> EndCause {
        if self.src.is_empty() { EndCause::ClientClosed } else { EndCause::ClientClosedMidFrame }
    }

    /// The length of the frame at the front of the buffer, once its four bytes are there.
    fn length(&mut self, max: usize) -> Result<Option<usize>, EndCause> {
        let length = frame_length(&self.src, max, !self.greeted).map_err(|e| match e {
            FrameError::NotKafka(NotKafka::Tls) => EndCause::Tls,
            FrameError::NotKafka(NotKafka::Http) => EndCause::Http,
            FrameError::TooLarge(..) => EndCause::FrameTooLarge,
            FrameError::Negative(_) | FrameError::Io(_) => EndCause::Malformed,
        })?;
        self.greeted |= length.is_some();
        Ok(length)
    }
}

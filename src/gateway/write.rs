//! Sends one session's frames: bytes in memory by vectored writes, record data in files in chunks that are read as they are
//! sent, so that a response of any size holds one chunk at a time.

use super::{end::EndCause, socket::Socket};
use crate::wire::{ByteSource, Piece};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::Arc,
    time::Duration,
};
use tokio::{io::Interest, net::TcpStream, time::Instant};

/// Bytes of a file read at a time.
const CHUNK: usize = 128 * 1024;
/// Pieces sent by one system call at the most.
const VECTORS: usize = 64;
/// Bytes a second that a client must take on average, so that one that takes a little now and then does not keep for ever what
/// its answers hold.
const SLOWEST: u64 = 64 * 1024;

/// The writing end of a session.
pub struct FrameWriter<'a> {
    stream: &'a Socket,
    queue: VecDeque<Piece>,
    timeout: Duration,
    /// When the flush under way must be over, once it had to wait.
    until: Option<Instant>,
    /// What the flush under way began with.
    to_send: u64,
    /// Bytes sent so far.
    pub sent: u64,
}

impl<'a> FrameWriter<'a> {
    pub fn new(stream: &'a Socket, timeout: Duration) -> Self {
        FrameWriter { stream, queue: VecDeque::new(), timeout, until: None, to_send: 0, sent: 0 }
    }

    /// Adds a frame to what the next `flush` sends.
    pub fn push(&mut self, pieces: Vec<Piece>) {
        self.queue.extend(pieces.into_iter().filter(|p| !p.is_empty()));
    }

    /// Bytes in memory that wait to be sent.
    pub fn buffered(&self) -> usize {
        self.queue.iter().map(Piece::len).sum()
    }

    /// Sends everything. Each wait for the client takes at most the timeout, and all together that and what the slowest client
    /// needs.
    pub async fn flush(&mut self) -> Result<(), EndCause> {
        self.until = None;
        self.to_send = self.buffered() as u64;
        while let Some(front) = self.queue.front() {
            match front {
                Piece::Bytes(_) => self.send_bytes(VECTORS).await?,
                Piece::Source(source) => {
                    let source = source.clone();
                    self.queue.pop_front();
                    self.send_source(source).await?;
                }
            }
        }
        self.queue = VecDeque::new();
        // What is encrypted and has not left is owed like all else.
        loop {
            match self.stream.try_flush() {
                Ok(()) => return Ok(()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(_) => return Err(EndCause::Connection),
            }
        }
    }

    /// Sends what the kernel takes at once of the bytes at the front, at most `most` pieces.
    async fn send_bytes(&mut self, most: usize) -> Result<(), EndCause> {
        let mut slices = [IoSlice::new(&[]); VECTORS];
        let mut count = 0;
        for piece in self.queue.iter().take(most.min(VECTORS)) {
            let Piece::Bytes(bytes) = piece else { break };
            slices[count] = IoSlice::new(bytes);
            count += 1;
        }
        let sent = match self.stream.try_write_vectored(&slices[..count]) {
            Ok(0) => return Err(EndCause::Connection),
            Ok(sent) => sent,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return self.writable().await,
            Err(_) => return Err(EndCause::Connection),
        };
        self.sent += sent as u64;
        let mut left = sent;
        while left > 0 {
            match self.queue.front_mut() {
                Some(Piece::Bytes(bytes)) if bytes.len() > left => {
                    let _ = bytes.split_to(left);
                    left = 0;
                }
                Some(Piece::Bytes(bytes)) => {
                    left -= bytes.len();
                    self.queue.pop_front();
                }
                _ => break,
            }
        }
        Ok(())
    }

    async fn writable(&mut self) -> Result<(), EndCause> {
        let next = Instant::now() + self.timeout;
        let slowest = Duration::from_secs(self.to_send / SLOWEST);
        let until = *self.until.get_or_insert(next + slowest);
        match tokio::time::timeout_at(next.min(until), self.stream.writable()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(EndCause::Connection),
            Err(_) => Err(EndCause::WriteTimeout),
        }
    }

    async fn send_source(&mut self, source: Arc<dyn ByteSource>) -> Result<(), EndCause> {
        let (mut pos, len) = (0u64, source.len());
        while pos < len {
            // a client that takes all at once, and a response of any size
            tokio::task::consume_budget().await;
            let size = CHUNK.min((len - pos) as usize);
            if cfg!(target_os = "linux")
                && let Some(stream) = self.stream.plain()
                && source.file().is_some()
                && in_memory(&*source, pos, size)
            {
                pos += self.send_file(stream, &source, pos, size).await? as u64;
                continue;
            }
            let chunk = read_chunk(&source, pos, size).await.map_err(|error| {
                tracing::error!(%error, "a record file could not be read while its response was being sent");
                EndCause::StorageRead
            })?;
            pos += size as u64;
            self.queue.push_front(Piece::Bytes(chunk));
            let behind = self.queue.len() - 1;
            while self.queue.len() > behind {
                // Alone: what stands behind the source must not come between its chunks.
                self.send_bytes(1).await?;
            }
        }
        Ok(())
    }

    /// Lets the kernel copy from the file's cached pages to the socket. Gives the bytes sent.
    #[cfg(target_os = "linux")]
    async fn send_file(
        &mut self,
        stream: &TcpStream,
        source: &Arc<dyn ByteSource>,
        pos: u64,
        size: usize,
    ) -> Result<usize, EndCause> {
        loop {
            let sent = stream.try_io(Interest::WRITABLE, || {
                let Some((file, start)) = source.file() else {
                    return Err(io::ErrorKind::Unsupported.into());
                };
                let mut offset = start + pos;
                Ok(rustix::fs::sendfile(stream, file, Some(&mut offset), size)?)
            });
            match sent {
                Ok(0) => return Err(EndCause::StorageRead),
                Ok(sent) => {
                    self.sent += sent as u64;
                    return Ok(sent);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.writable().await?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(EndCause::Connection),
            }
        }
    }

    #[cfg(not(target_os = "linux"))]
    async fn send_file(
        &mut self,
        _: &TcpStream,
        _: &Arc<dyn ByteSource>,
        _: u64,
        _: usize,
    ) -> Result<usize, EndCause> {
        Err(EndCause::StorageRead)
    }
}

/// Whether a stretch of the file can be had without waiting for a disk, judged by its first and last byte.
fn in_memory(source: &dyn ByteSource, pos: u64, size: usize) -> bool {
    let mut byte = [0u8; 1];
    let mut probe = |at| source.try_read_at(at, &mut byte).unwrap_or(false);
    probe(pos) && probe(pos + size as u64 - 1)
}

async fn read_chunk(source: &Arc<dyn ByteSource>, pos: u64, size: usize) -> io::Result<Bytes> {
    let mut chunk = vec![0; size];
    if source.try_read_at(pos, &mut chunk)? {
        return Ok(chunk.into());
    }
    let source = source.clone();
    tokio::task::spawn_blocking(move || source.read_at(pos, &mut chunk).map(|()| chunk.into()))
        .await
        .map_err(io::Error::other)?
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;

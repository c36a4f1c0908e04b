//! Writes a capture: records go through a bounded queue to a thread, so that no exchange waits for the disk. What finds the queue full
//! is left out and counted, in the file too. A file that is full stays as it is, and from then on nothing is recorded.

use super::{
    ANSWER, BODY_LEFT_OUT, CLOSED, DROPPED, FULL, HEADER, LONGEST, OPENED, OVER_TLS, REQUEST, Record, What,
    is_secret,
};
use crate::policy::journal::now;
use crate::wire::{Request, Response, Str};
use bytes::Bytes;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::Duration;

/// Records that wait for the disk, and their bytes.
const QUEUE: usize = 4_096;
const QUEUE_BYTES: usize = 64 << 20;
/// What a record in the queue takes up besides its frame.
const AROUND: usize = 256;

/// Where a server records what passes. Once it is gone, what was recorded is written, and the writer ends.
#[derive(Debug)]
pub struct Capture {
    queue: SyncSender<Item>,
    state: Arc<State>,
}

#[derive(Debug)]
enum Item {
    Record(Record),
    /// Wakes the writer, to see that it ends.
    End,
}

#[derive(Debug)]
pub(super) struct State {
    /// There is room in the file.
    on: AtomicBool,
    /// Nothing more comes: the writer ends when the queue is empty.
    ending: AtomicBool,
    queued: AtomicUsize,
    dropped: AtomicU64,
    /// Of these, not yet told in the file.
    untold: AtomicU64,
}

impl State {
    pub(super) fn new(untold: u64) -> Self {
        Self {
            on: AtomicBool::new(true),
            ending: AtomicBool::new(false),
            queued: AtomicUsize::new(0),
            dropped: AtomicU64::new(untold),
            untold: AtomicU64::new(untold),
        }
    }
}

/// Learns that the last record is written.
#[derive(Debug)]
pub struct Ended(Receiver<()>);

impl Ended {
    /// Waits for it, at most so long; says whether it came.
    pub fn wait(&self, patience: Duration) -> bool {
        matches!(self.0.recv_timeout(patience), Err(RecvTimeoutError::Disconnected))
    }
}

impl Capture {
    /// Begins a capture in an empty file that may grow to so many bytes.
    pub fn to(sink: impl Write + Send + 'static, most: u64) -> io::Result<(Self, Ended)> {
        let (queue, items) = sync_channel(QUEUE);
        let (open, ended) = sync_channel::<()>(0);
        let state = Arc::new(State::new(0));
        let mut file = File { sink: BufWriter::with_capacity(256 << 10, sink), left: most };
        file.write(HEADER)?;
        let shared = Arc::clone(&state);
        std::thread::Builder::new().name("capture".to_owned()).spawn(move || {
            let _open = open;
            write(&items, &mut file, &shared);
        })?;
        Ok((Self { queue, state }, Ended(ended)))
    }

    /// Whether anything is recorded: one load.
    pub fn is_on(&self) -> bool {
        self.state.on.load(Ordering::Relaxed)
    }

    pub fn opened(&self, session: u64, listener: &Str, peer: IpAddr, tls: bool) {
        self.put(session, || What::Opened { listener: listener.clone(), peer, tls });
    }

    pub fn closed(&self, session: u64) {
        self.put(session, || What::Closed);
    }

    /// A request, with its frame as it came.
    pub fn request(&self, session: u64, who: (&Str, &Str, IpAddr), request: &Request, frame: &Bytes) {
        let (principal, listener, peer) = who;
        self.put(session, || {
            let body_left_out = is_secret(request.api());
            let frame = match body_left_out {
                // copied: a slice would keep all of the frame in memory
                true => Bytes::copy_from_slice(frame.get(..request.header_len()).unwrap_or_default()),
                false => frame.clone(),
            };
            What::Request {
                principal: principal.clone(),
                listener: listener.clone(),
                peer,
                frame,
                body_left_out,
            }
        });
    }

    /// What the upstream said; its records must be in memory.
    pub fn answer(&self, session: u64, response: &Response) {
        if is_secret(response.api) || !self.is_on() {
            return;
        }
        if self.state.queued.load(Ordering::Relaxed) >= QUEUE_BYTES {
            // it would be written for nothing
            return self.missed();
        }
        let (api, version) = (response.api, response.version);
        let pieces = match response.encode() {
            Ok(pieces) => pieces,
            Err(error) => {
                tracing::warn!(%error, "an answer cannot be recorded");
                return self.missed();
            }
        };
        let mut frame = Vec::new();
        for piece in pieces {
            let crate::wire::Piece::Bytes(bytes) = piece else { return self.missed() };
            frame.extend_from_slice(&bytes);
        }
        let frame = Bytes::from(frame);
        self.put(session, || What::Answer { api, version, frame: frame.slice(4.min(frame.len())..) });
    }

    /// Records left out so far.
    pub fn dropped(&self) -> u64 {
        self.state.dropped.load(Ordering::Relaxed)
    }

    /// Nothing is recorded from here on; what was is written. Waits for nothing.
    pub fn end(&self) {
        self.state.on.store(false, Ordering::Relaxed);
        if !self.state.ending.swap(true, Ordering::SeqCst) {
            // A writer that finds the queue empty sleeps until something comes. Where it is full, the writer looks at the flag later.
            drop(self.queue.try_send(Item::End));
        }
    }

    /// Something is not recorded.
    pub fn missed(&self) {
        self.state.dropped.fetch_add(1, Ordering::Relaxed);
        self.state.untold.fetch_add(1, Ordering::Relaxed);
    }

    fn put(&self, session: u64, what: impl FnOnce() -> What) {
        if !self.is_on() {
            return;
        }
        let untold = self.state.untold.swap(0, Ordering::Relaxed);
        if untold > 0 && !self.send(Record { time: now(), session: 0, what: What::Dropped(untold) }) {
            self.state.untold.fetch_add(untold, Ordering::Relaxed);
        }
        if !self.send(Record { time: now(), session, what: what() }) {
            self.missed();
        }
    }

    fn send(&self, record: Record) -> bool {
        let size = AROUND + record.what.frame_len();
        if self.state.queued.fetch_add(size, Ordering::Relaxed) + size <= QUEUE_BYTES {
            match self.queue.try_send(Item::Record(record)) {
                Ok(()) => return true,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
            }
        }
        self.state.queued.fetch_sub(size, Ordering::Relaxed);
        false
    }
}

pub(super) struct File<W: Write> {
    pub(super) sink: BufWriter<W>,
    /// Bytes it may still grow.
    pub(super) left: u64,
}

/// What a record of kind `full` takes.
pub(super) const LAST: u64 = 4 + 4 + 17;

impl<W: Write> File<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.left = self.left.saturating_sub(bytes.len() as u64);
        self.sink.write_all(bytes)
    }

    /// False when there is no room for it, and it was told so.
    pub(super) fn record(&mut self, record: &Record) -> io::Result<bool> {
        let bytes = record.encode();
        if bytes.len() as u64 + LAST > self.left {
            let full = Record { time: record.time, session: 0, what: What::Full };
            self.write(&full.encode())?;
            return Ok(false);
        }
        self.write(&bytes).map(|()| true)
    }
}

fn write<W: Write>(items: &Receiver<Item>, file: &mut File<W>, state: &State) {
    let result = write_all(items, file, state);
    let on = state.on.swap(false, Ordering::Relaxed);
    match result.and_then(|full| file.sink.flush().map(|()| full)) {
        Ok(true) if on => tracing::warn!("the capture is full; nothing more is recorded"),
        Ok(_) => {}
        Err(error) => tracing::error!(%error, "the capture cannot be written; nothing more is recorded"),
    }
}

/// Until the end, or until the file is full: then true.
fn write_all<W: Write>(items: &Receiver<Item>, file: &mut File<W>, state: &State) -> io::Result<bool> {
    loop {
        // before the queue is looked at: what came into it before the end is written
        let ending = state.ending.load(Ordering::SeqCst);
        let item = match items.try_recv() {
            Ok(item) => item,
            Err(TryRecvError::Disconnected) => return untold(file, state),
            Err(TryRecvError::Empty) => {
                // what is looked at while it is written is as new as can be
                file.sink.flush()?;
                if ending {
                    return untold(file, state);
                }
                match items.recv() {
                    Ok(item) => item,
                    Err(_) => return untold(file, state),
                }
            }
        };
        let Item::Record(record) = item else { continue };
        state.queued.fetch_sub(AROUND + record.what.frame_len(), Ordering::Relaxed);
        if !file.record(&record)? {
            return Ok(true);
        }
    }
}

/// The last record: what is missing at the end. True when the file is full.
pub(super) fn untold<W: Write>(file: &mut File<W>, state: &State) -> io::Result<bool> {
    match state.untold.swap(0, Ordering::Relaxed) {
        0 => Ok(false),
        untold => {
            let told = Record { time: now(), session: 0, what: What::Dropped(untold) };
            file.record(&told).map(|room| !room)
        }
    }
}

impl What {
    fn frame_len(&self) -> usize {
        match self {
            Self::Request { frame, .. } | Self::Answer { frame, .. } => frame.len(),
            _ => 0,
        }
    }
}

impl Record {
    /// The record as it stands in the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128 + self.what.frame_len());
        out.extend_from_slice(&[0; 8]);
        out.push(match &self.what {
            What::Opened { .. } => OPENED,
            What::Request { .. } => REQUEST,
            What::Answer { .. } => ANSWER,
            What::Closed => CLOSED,
            What::Dropped(_) => DROPPED,
            What::Full => FULL,
        });
        out.extend_from_slice(&self.time.to_be_bytes());
        out.extend_from_slice(&self.session.to_be_bytes());
        match &self.what {
            What::Opened { listener, peer, tls } => {
                text(&mut out, listener);
                address(&mut out, *peer);
                if *tls {
                    out.push(OVER_TLS);
                }
            }
            What::Request { principal, listener, peer, frame, body_left_out } => {
                out.push(if *body_left_out { BODY_LEFT_OUT } else { 0 });
                text(&mut out, principal);
                text(&mut out, listener);
                address(&mut out, *peer);
                out.extend_from_slice(frame);
            }
            What::Answer { api, version, frame } => {
                out.extend_from_slice(&api.0.to_be_bytes());
                out.extend_from_slice(&version.to_be_bytes());
                out.extend_from_slice(frame);
            }
            What::Closed | What::Full => {}
            What::Dropped(records) => out.extend_from_slice(&records.to_be_bytes()),
        }
        let content = out.get(8..).unwrap_or_default();
        debug_assert!(content.len() <= LONGEST);
        let (length, checksum) = (content.len() as u32, crc32c::crc32c(content));
        if let Some(head) = out.first_chunk_mut::<8>() {
            let (first, second) = head.split_at_mut(4);
            first.copy_from_slice(&length.to_be_bytes());
            second.copy_from_slice(&checksum.to_be_bytes());
        }
        out
    }
}

/// Longer texts, which no name is, are cut.
fn text(out: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(usize::from(u16::MAX))];
    out.extend_from_slice(&(text.len() as u16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            out.push(4);
            out.extend_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            out.push(16);
            out.extend_from_slice(&address.octets());
        }
    }
}

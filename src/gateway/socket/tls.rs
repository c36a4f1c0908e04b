//! TLS over a client's connection. rustls says what bytes mean; they are carried here.
//!
//! Reading and writing are parts of one task, so that the lock is never waited for.

use crate::gateway::off_worker::off_worker;
use crate::security::Principal;
use crate::security::tls::{self, NoPrincipal};
use bytes::{Buf, BufMut, BytesMut};
use rustls::{AlertDescription, ServerConfig, ServerConnection};
use std::io::{self, BufRead, ErrorKind, IoSlice, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::net::TcpStream;

/// What is read of a connection at a time: at the least, and at the most.
const LEAST: usize = 4 * 1024;
const MOST: usize = 64 * 1024;
/// What a record is longer than what it carries.
const RECORD: usize = 64;
/// Of bytes that carry nothing a turn takes so many, and a session so many in a row: records may be empty, or change keys, and cost
/// as much as others.
const IDLE_TURN: usize = 16 * 1024;
const IDLE_BYTES: usize = 256 * 1024;

/// Why there is no TLS session with a client.
#[derive(Debug, thiserror::Error)]
pub enum TlsEnd {
    /// It speaks something else.
    #[error("the client speaks no TLS, and this listener nothing else; set security.protocol accordingly")]
    Plaintext,
    #[error("the TLS handshake took too long")]
    TooLong,
    #[error("the client ended the connection in the TLS handshake")]
    Gone,
    /// It never said anything: a look whether somebody is there, most often.
    #[error("the client ended the connection before its TLS handshake")]
    Silent,
    /// It does not take what it was shown.
    #[error("the client refused the TLS handshake: {alert:?}{}", hint(*alert))]
    Refused { alert: AlertDescription },
    #[error("the TLS handshake failed: {0}")]
    Failed(rustls::Error),
    #[error("{0}")]
    NoPrincipal(#[from] NoPrincipal),
}

/// What the alert of a client mostly means.
fn hint(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown => {
            "; it does not trust the listener's certificate, or knows it by another name"
        }
        AlertDescription::CertificateExpired => "; the listener's certificate is out of date for it",
        _ => "",
    }
}

pub struct TlsSocket {
    stream: TcpStream,
    state: Mutex<State>,
}

struct State {
    tls: ServerConnection,
    /// Read and not taken by `tls` yet, which it is when nobody has asked for what came before.
    raw: BytesMut,
    /// Bytes that carried nothing, since the last that did.
    idle: usize,
    /// In a turn, and in a row.
    idle_bounds: (usize, usize),
    /// A turn ended though there may be more to read.
    paused: bool,
}

impl TlsSocket {
    pub fn new(stream: TcpStream, config: Arc<ServerConfig>) -> Result<TlsSocket, rustls::Error> {
        let state = State {
            tls: ServerConnection::new(config)?,
            raw: BytesMut::new(),
            idle: 0,
            idle_bounds: (IDLE_TURN, IDLE_BYTES),
            paused: false,
        };
        Ok(TlsSocket { stream, state: Mutex::new(state) })
    }

    #[cfg(test)]
    pub fn bound_idle(&self, turn: usize, all: usize) {
        self.state().idle_bounds = (turn, all);
    }

    #[cfg(test)]
    pub fn is_paused(&self) -> bool {
        self.state().paused
    }

    /// Begins again, before anything was read.
    pub fn restart(&self, config: Arc<ServerConfig>) -> Result<(), rustls::Error> {
        self.state().tls = ServerConnection::new(config)?;
        Ok(())
    }

    pub fn tcp(&self) -> &TcpStream {
        &self.stream
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub async fn readable(&self) -> io::Result<()> {
        let (paused, has_something) = {
            let mut state = self.state();
            (std::mem::take(&mut state.paused), state.has_something())
        };
        if paused {
            // others first
            tokio::task::yield_now().await;
        } else if !has_something {
            self.stream.readable().await?;
        }
        Ok(())
    }

    pub fn try_read_buf(&self, buffer: &mut impl BufMut) -> io::Result<usize> {
        let room = buffer.chunk_mut().len();
        let mut state = self.state();
        let begun = state.idle;
        loop {
            match state.take(buffer, room) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // it ended without a goodbye, as many do; a frame that is cut off is noticed by its length
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                taken => {
                    state.idle = 0;
                    return taken;
                }
            }
            let (turn, all) = state.idle_bounds;
            if state.idle > all {
                return Err(io::Error::new(
                    ErrorKind::InvalidData,
                    "records of TLS that carry nothing, without end",
                ));
            }
            if state.idle.saturating_sub(begun) > turn {
                state.paused = true;
                return Err(ErrorKind::WouldBlock.into());
            }
            state.advance(&self.stream, room).inspect_err(|error| {
                if error.kind() == ErrorKind::InvalidData {
                    tracing::debug!(%error, "a TLS session ends");
                }
            })?;
        }
    }

    pub fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.state();
        // What was encrypted before leaves first: there is never more of it than one call makes.
        state.send(&self.stream)?;
        let written = state.tls.writer().write_vectored(pieces)?;
        match state.send(&self.stream) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            _ => Ok(written),
        }
    }

    pub fn try_flush(&self) -> io::Result<()> {
        self.state().send(&self.stream)
    }

    /// Tells the client that nothing more comes, if that can be done at once.
    pub fn say_goodbye(&self) {
        let mut state = self.state();
        if state.tls.is_handshaking() {
            return;
        }
        state.tls.send_close_notify();
        let _ = state.send(&self.stream);
    }

    pub async fn handshake(&self) -> Result<(), TlsEnd> {
        loop {
            let step = self.step();
            match step {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(Step::Read) => self.stream.readable().await.map_err(|_| TlsEnd::Gone)?,
                Err(Step::Write) => self.stream.writable().await.map_err(|_| TlsEnd::Gone)?,
                Err(Step::End(end)) => return Err(end),
            }
        }
    }

    /// One step of the handshake. True: it is made.
    fn step(&self) -> Result<bool, Step> {
        let mut state = self.state();
        let is_fresh = state.idle == 0;
        let gone = || Step::End(if is_fresh { TlsEnd::Silent } else { TlsEnd::Gone });
        let ended = |error: io::Error, otherwise: Step| match error.kind() {
            ErrorKind::WouldBlock => otherwise,
            _ => gone(),
        };
        state.send(&self.stream).map_err(|error| ended(error, Step::Write))?;
        if !state.tls.is_handshaking() {
            state.idle = 0;
            return Ok(true);
        }
        if state.raw.is_empty() {
            let read = state.read(&self.stream, LEAST).map_err(|error| ended(error, Step::Read))?;
            if read == 0 {
                return Err(gone());
            }
        }
        // Signatures are made and looked at here, those of strangers too.
        if let Err(error) = off_worker(true, || state.understand()) {
            // its alert, if the kernel takes it
            let _ = state.send(&self.stream);
            return Err(Step::End(match error {
                rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
                    TlsEnd::Plaintext
                }
                rustls::Error::AlertReceived(alert) => TlsEnd::Refused { alert },
                error => TlsEnd::Failed(error),
            }));
        }
        Ok(false)
    }

    /// Who the client is by its certificate. None: it showed none.
    pub fn principal(&self) -> Result<Option<Principal>, TlsEnd> {
        let state = self.state();
        let certificate = state.tls.peer_certificates().and_then(|chain| chain.first());
        Ok(certificate.map(tls::principal).transpose()?)
    }
}

/// What a handshake waits for.
enum Step {
    Read,
    Write,
    End(TlsEnd),
}

impl State {
    /// Whether something can be read without the connection.
    fn has_something(&mut self) -> bool {
        !self.raw.is_empty()
            || !matches!(self.tls.reader().fill_buf(), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    /// Plaintext that is there.
    fn take(&mut self, buffer: &mut impl BufMut, room: usize) -> io::Result<usize> {
        let mut reader = self.tls.reader();
        let chunk = reader.fill_buf()?;
        let chunk = chunk.get(..room).unwrap_or(chunk);
        let taken = chunk.len();
        buffer.put_slice(chunk);
        reader.consume(taken);
        Ok(taken)
    }

    /// Makes more of it there, of what was read or of what can be.
    fn advance(&mut self, stream: &TcpStream, room: usize) -> io::Result<()> {
        if self.raw.is_empty() {
            // what fails to leave now, does so with the next write
            let _ = self.send(stream);
            if self.read(stream, room)? == 0 {
                self.tls.read_tls(&mut io::empty())?;
                return Ok(());
            }
        }
        self.understand().map_err(|error| {
            let _ = self.send(stream);
            io::Error::new(ErrorKind::InvalidData, error)
        })
    }

    /// Reads of the connection about as much as `room` bytes of plaintext take.
    fn read(&mut self, stream: &TcpStream, room: usize) -> io::Result<usize> {
        self.raw.reserve(room.saturating_add(RECORD).clamp(LEAST, MOST));
        let read = stream.try_read_buf(&mut self.raw);
        if self.raw.is_empty() {
            // who waits owns no buffer of ours; rustls keeps a few KB of its own
            self.raw = BytesMut::new();
        }
        read
    }

    /// Gives rustls what was read, until it has plaintext or all of it.
    fn understand(&mut self) -> Result<(), rustls::Error> {
        while self.raw.has_remaining() {
            let taken = self.tls.read_tls(&mut (&mut self.raw).reader());
            self.idle += taken.as_ref().map_or(0, |taken| *taken);
            taken.map_err(|error| rustls::Error::General(error.to_string()))?;
            let told = self.tls.process_new_packets()?;
            if told.plaintext_bytes_to_read() > 0 || told.peer_has_closed() {
                break;
            }
        }
        if !self.raw.has_remaining() {
            self.raw = BytesMut::new();
        }
        Ok(())
    }

    /// Sends what is encrypted.
    fn send(&mut self, stream: &TcpStream) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Now(stream)) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A connection that is written to without waiting.
struct Now<'a>(&'a TcpStream);

impl Write for Now<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! A session's connection to its client: plain TCP, or TLS over it. It is read and written without waiting, and waited for apart
//! from that, so that a session that waits owns no buffer.

mod strike;
mod tls;

pub(super) use tls::TlsEnd;

use super::registry::SessionInfo;
use crate::policy::fault::tls::TlsFault;
use crate::security::Principal;
use crate::security::tls::ServerTls;
use bytes::BufMut;
use socket2::SockRef;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

pub(super) enum Socket {
    Plain(TcpStream),
    /// On the heap: most sessions have none.
    Tls(Box<tls::TlsSocket>),
}

impl Socket {
    /// A connection that begins, of a listener that may speak TLS.
    pub fn new(stream: TcpStream, tls: Option<Arc<rustls::ServerConfig>>) -> Result<Socket, rustls::Error> {
        Ok(match tls {
            None => Socket::Plain(stream),
            Some(config) => Socket::Tls(Box::new(tls::TlsSocket::new(stream, config)?)),
        })
    }

    pub fn tcp(&self) -> &TcpStream {
        match self {
            Socket::Plain(stream) => stream,
            Socket::Tls(tls) => tls.tcp(),
        }
    }

    /// The connection, where what is written to it reaches the client as it is.
    pub fn plain(&self) -> Option<&TcpStream> {
        match self {
            Socket::Plain(stream) => Some(stream),
            Socket::Tls(_) => None,
        }
    }

    /// Until there may be something to read.
    pub async fn readable(&self) -> io::Result<()> {
        match self {
            Socket::Plain(stream) => stream.readable().await,
            Socket::Tls(tls) => tls.readable().await,
        }
    }

    /// Reads at most what there is room for in the buffer as it is. 0 is the end.
    pub fn try_read_buf(&self, buffer: &mut impl BufMut) -> io::Result<usize> {
        match self {
            Socket::Plain(stream) => stream.try_read_buf(buffer),
            Socket::Tls(tls) => tls.try_read_buf(buffer),
        }
    }

    /// Until something may be written.
    pub async fn writable(&self) -> io::Result<()> {
        self.tcp().writable().await
    }

    pub fn try_write_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Socket::Plain(stream) => stream.try_write_vectored(pieces),
            Socket::Tls(tls) => tls.try_write_vectored(pieces),
        }
    }

    /// Hands what was written to the kernel. `WouldBlock`: not all of it yet.
    pub fn try_flush(&self) -> io::Result<()> {
        match self {
            Socket::Plain(_) => Ok(()),
            Socket::Tls(tls) => tls.try_flush(),
        }
    }

    /// Tells the client that nothing more comes, where there is a way to say it.
    pub fn say_goodbye(&self) {
        if let Socket::Tls(tls) = self {
            tls.say_goodbye();
        }
    }

    /// Ends our side. The client may go on sending.
    pub fn finish(&self) {
        self.say_goodbye();
        // whoever is gone needs not be told
        let _ = SockRef::from(self.tcp()).shutdown(Shutdown::Write);
    }

    /// Closing is a reset from here on.
    pub fn reset_on_close(&self) {
        // Closing a socket with unsent-data lingering of zero sends a RST.
        if let Err(error) = SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO)) {
            tracing::debug!(%error, "the connection is closed instead of reset");
        }
    }

    /// Completes the handshake, if there is one to make.
    pub async fn handshake(&self, until: Instant) -> Result<(), TlsEnd> {
        match self {
            Socket::Plain(_) => Ok(()),
            Socket::Tls(tls) => {
                let made = tokio::time::timeout_at(until, tls.handshake()).await;
                made.unwrap_or(Err(TlsEnd::TooLong))
            }
        }
    }

    /// Lets the handshake fail, in this way.
    pub async fn strike(&self, fault: &TlsFault, tls: &ServerTls, info: &SessionInfo, until: Instant) {
        if let Socket::Tls(socket) = self {
            // A client that takes longer has failed as well.
            let _ = tokio::time::timeout_at(until, strike::strike(socket, fault, tls, info)).await;
        }
    }

    /// Who the client is by its certificate. None: it showed none.
    pub fn principal(&self) -> Result<Option<Principal>, TlsEnd> {
        match self {
            Socket::Plain(_) => Ok(None),
            Socket::Tls(tls) => tls.principal(),
        }
    }
}

#[cfg(test)]
mod tests;

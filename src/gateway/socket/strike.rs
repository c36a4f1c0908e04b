//! Fails TLS handshakes as rules want it. Whatever comes of one, the session ends.

use super::tls::{TlsEnd, TlsSocket};
use crate::gateway::registry::SessionInfo;
use crate::policy::fault::tls::TlsFault;
use crate::security::tls::{ServerTls, untrusted};
use std::io;
use tokio::net::TcpStream;

/// Until the client knows; or cannot know.
pub(super) async fn strike(socket: &TlsSocket, fault: &TlsFault, tls: &ServerTls, info: &SessionInfo) {
    let config = match fault {
        TlsFault::Alert(alert) => {
            if let Err(error) = answer(socket.tcp(), *alert).await {
                tracing::debug!(%error, session = info.id, "the client is gone before its TLS handshake failed");
            }
            return;
        }
        TlsFault::Certificate(certificate) => certificate.shown.clone(),
        TlsFault::Untrusted => None,
    };
    let config = config.map_or_else(|| untrusted(&tls.certificate().names), Ok);
    if let Err(error) = config.and_then(|config| socket.restart(config).map_err(|error| error.to_string())) {
        tracing::error!(
            error,
            session = info.id,
            "a TLS handshake could not be made to fail as its rule wants; it fails"
        );
        return;
    }
    match socket.handshake().await {
        Ok(()) => {
            tracing::warn!(session = info.id, remote = %info.remote, %fault, "the client took a certificate that `tls_fail` showed it");
        }
        Err(TlsEnd::Refused { alert }) => {
            tracing::info!(session = info.id, ?alert, %fault, "the client refused the certificate that `tls_fail` showed it");
        }
        Err(error) => tracing::info!(session = info.id, %error, %fault, "a TLS handshake was made to fail"),
    }
}

/// Answers the client's hello with a fatal alert, in the clear, as is usual at this point.
async fn answer(stream: &TcpStream, alert: u8) -> io::Result<()> {
    stream.readable().await?;
    // What came is a hello, or none of our business: it goes with the connection. The record fits any send buffer.
    stream.try_write(&[21, 3, 3, 0, 2, 2, alert]).map(|_| ())
}

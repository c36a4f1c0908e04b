//! The HTTP server: a bounded number of connections, each of them bounded in time and bytes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::handles::{AdminHandles, Certificates};
use super::routes::{self, Peer};

/// What a peer may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections served at once; further ones wait in the listener's backlog.
    pub connections: usize,
    /// For a whole request head, and for the pause between requests.
    pub head_timeout: Duration,
    /// For a connection from accept to close: who reads an answer too slowly is cut off.
    pub connection_lifetime: Duration,
    /// Bytes of one request head.
    pub head_bytes: usize,
    /// Bytes of a script.
    pub body_bytes: usize,
    /// For a whole script to arrive.
    pub body_timeout: Duration,
    /// How long answers that are under way may take once the end was asked for.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            head_timeout: Duration::from_secs(30),
            connection_lifetime: Duration::from_secs(300),
            head_bytes: 16 * 1024,
            body_bytes: 1 << 20,
            body_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(2),
        }
    }
}

/// How long to wait when the system has no descriptor left to accept with.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` resolves, then answers what was asked and returns.
pub async fn serve(
    listener: TcpListener,
    handles: AdminHandles,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let tls = handles.tls.clone();
    let router = routes::router(handles, listener.local_addr()?, limits.clone());
    serve_router(listener, tls, router, limits, stop).await
}

/// As `serve`, whatever is served.
pub(super) async fn serve_router(
    listener: TcpListener,
    tls: Option<Arc<dyn Certificates>>,
    router: axum::Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let slots = Arc::new(Semaphore::new(limits.connections));
    // Its receivers tell open connections to end; its sender learns when the last has.
    let (ending, ended) = watch::channel(());
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            biased;
            () = &mut stop => break,
            accepted = accepted => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "the admin listener cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (router, limits, ended, tls) = (router.clone(), limits.clone(), ended.clone(), tls.clone());
        tokio::spawn(async move {
            let _slot = slot;
            let Some(tls) = tls else {
                return connection(stream, router, Peer::plain(peer), limits, ended).await;
            };
            match tokio::time::timeout(limits.head_timeout, handshake(stream, &*tls)).await {
                Ok(Ok((stream, certified))) => {
                    connection(stream, router, Peer { address: peer, certified }, limits, ended).await;
                }
                Ok(Err(error)) => tracing::warn!(%peer, error, "no TLS with a client of the admin address"),
                Err(_) => tracing::debug!(%peer, "a TLS handshake with the admin address took too long"),
            }
        });
    }
    drop(listener);
    drop(ended);
    ending.send_replace(());
    let _ = tokio::time::timeout(limits.drain, ending.closed()).await;
    Ok(())
}

type Secured = tokio_rustls::server::TlsStream<TcpStream>;

/// Gives who the client's certificate says it is too, where it has to show one.
async fn handshake(stream: TcpStream, tls: &dyn Certificates) -> Result<(Secured, Option<String>), String> {
    let accepted = TlsAcceptor::from(tls.config()).accept(stream).await.map_err(|error| error.to_string())?;
    let certificate = accepted.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certified = certificate.map(|certificate| tls.name_of(certificate)).transpose()?;
    Ok((accepted, certified))
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: axum::Router,
    peer: Peer,
    limits: Limits,
    mut end: watch::Receiver<()>,
) {
    let service = TowerToHyperService::new(router.layer(axum::Extension(peer)));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_timeout)
        .max_header_size(limits.head_bytes)
        .max_buf_size(limits.head_bytes.max(8 * 1024))
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let served = tokio::time::timeout(limits.connection_lifetime, async {
        tokio::select! {
            served = connection.as_mut() => served,
            _ = end.changed() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        }
    });
    match served.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an admin connection ended badly"),
        Err(_) => tracing::debug!("an admin connection outlived its time"),
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;

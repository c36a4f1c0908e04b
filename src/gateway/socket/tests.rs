//! Both ends of a connection, one of them with rustls's own client.

use super::*;
use crate::security::tls::untrusted;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpStream as Blocking;
use std::thread::JoinHandle;
use tokio::net::TcpListener;

const LONG: Duration = Duration::from_secs(60);

/// Takes any certificate.
#[derive(Debug)]
struct Careless;

impl ServerCertVerifier for Careless {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let provider = rustls::crypto::ring::default_provider();
        provider.signature_verification_algorithms.supported_schemes()
    }
}

type Client = StreamOwned<ClientConnection, Blocking>;

fn client(stream: Blocking) -> Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Careless))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

/// Our end, and a client that does this in a thread of its own.
async fn connection<T: Send + 'static>(
    does: impl FnOnce(Blocking) -> T + Send + 'static,
) -> (Socket, JoinHandle<T>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || does(Blocking::connect(address).unwrap()));
    let stream = listener.accept().await.unwrap().0;
    let config = untrusted(&["localhost".to_owned()]).unwrap();
    (Socket::new(stream, Some(config)).unwrap(), client)
}

fn soon() -> Instant {
    Instant::now() + LONG
}

async fn read(socket: &Socket, want: usize) -> Vec<u8> {
    let mut got = bytes::BytesMut::new();
    while got.len() < want {
        socket.readable().await.unwrap();
        // odd room, so that what is encrypted and what is asked for do not fit each other
        got.reserve(1000);
        match socket.try_read_buf(&mut (&mut got).limit(777)) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }
    got.to_vec()
}

async fn write(socket: &Socket, mut bytes: &[u8]) {
    loop {
        let done = match bytes.is_empty() {
            false => socket.try_write_vectored(&[IoSlice::new(bytes)]).map(|n| bytes = &bytes[n..]),
            true => match socket.try_flush() {
                Ok(()) => return,
                Err(error) => Err(error),
            },
        };
        match done {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.writable().await.unwrap(),
            other => other.unwrap(),
        }
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

#[tokio::test]
async fn megabytes_pass_both_ways_and_the_end_is_told() {
    let sent = pattern(3_000_017);
    let echo = sent.clone();
    let (socket, client) = connection(move |stream| {
        let mut client = client(stream);
        client.write_all(&echo).unwrap();
        let mut got = vec![0; echo.len()];
        client.read_exact(&mut got).unwrap();
        // a clean end, and no connection that was cut
        (got == echo, client.read(&mut [0; 10]).unwrap())
    })
    .await;
    socket.handshake(soon()).await.unwrap();
    assert!(socket.plain().is_none());
    assert_eq!(socket.principal().unwrap(), None);
    let got = read(&socket, sent.len()).await;
    assert!(got == sent);
    write(&socket, &got).await;
    socket.finish();
    assert_eq!(client.join().unwrap(), (true, 0));
}

#[tokio::test]
async fn what_came_with_the_last_read_is_readable_without_the_connection() {
    let (socket, client) = connection(|stream| {
        let mut client = client(stream);
        client.write_all(&pattern(1000)).unwrap();
        client.flush().unwrap();
        client
    })
    .await;
    socket.handshake(soon()).await.unwrap();
    let mut got = Vec::new();
    while got.len() < 1000 {
        // nothing more ever comes: who waits for the connection waits for ever
        socket.readable().await.unwrap();
        let mut few = bytes::BytesMut::with_capacity(10);
        match socket.try_read_buf(&mut (&mut few).limit(10)) {
            Ok(n) => assert!((1..=10).contains(&n)),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
        got.extend_from_slice(&few);
    }
    assert_eq!(got, pattern(1000));
    let client = client.join().unwrap();
    let mut more = bytes::BytesMut::with_capacity(10);
    assert_eq!(socket.try_read_buf(&mut more).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    // without a goodbye, too, the end is the end
    client.sock.shutdown(Shutdown::Write).unwrap();
    socket.readable().await.unwrap();
    assert_eq!(socket.try_read_buf(&mut more).unwrap(), 0);
    socket.readable().await.unwrap();
    assert_eq!(socket.try_read_buf(&mut more).unwrap(), 0);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_waited_for_with_little_memory() {
    let (go, wait) = std::sync::mpsc::sync_channel::<()>(1);
    let (socket, client) = connection(move |stream| {
        let mut client = client(stream);
        client.write_all(b"x").unwrap();
        wait.recv().unwrap();
        let mut all = Vec::new();
        client.read_to_end(&mut all).unwrap();
        all
    })
    .await;
    socket.handshake(soon()).await.unwrap();
    assert_eq!(read(&socket, 1).await, b"x");
    let chunk = pattern(100_000);
    let mut sent = Vec::new();
    loop {
        match socket.try_write_vectored(&[IoSlice::new(&chunk)]) {
            // what rustls keeps is bounded, whatever it is offered
            Ok(n) => {
                assert!((1..=64 * 1024).contains(&n), "{n}");
                sent.extend_from_slice(&chunk[..n]);
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                break;
            }
        }
    }
    assert_eq!(socket.try_flush().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    go.send(()).unwrap();
    write(&socket, &[]).await;
    socket.finish();
    drop(socket);
    assert!(client.join().unwrap() == sent);
}

#[tokio::test]
async fn whoever_speaks_something_else_is_told_apart() {
    for (says, expected) in [
        (&b"\0\0\0\x15\0\x12\0\0\0\0\0\x01\0\x04test\0\0\0\0\0"[..], "speaks no TLS"),
        (b"GET / HTTP/1.1\r\n\r\n", "speaks no TLS"),
        (b"\x15\x03\x03\0\x02\x02\x30", "refused the TLS handshake: UnknownCA; it does not trust"),
        (b"\x16\x03\x01\0\x05\x01\0\0\x01\0", "the TLS handshake failed"),
        (b"\x16\x03\x01", "ended the connection in the TLS handshake"),
    ] {
        let (socket, client) = connection(move |mut stream| {
            stream.write_all(says).unwrap();
            if says.len() == 3 {
                return;
            }
            // until we end it
            let _ = stream.read_to_end(&mut Vec::new());
        })
        .await;
        let said = socket.handshake(soon()).await.unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
        drop(socket);
        client.join().unwrap();
    }
}

#[tokio::test]
async fn a_handshake_has_an_end() {
    let (socket, client) = connection(|stream| stream).await;
    let ended = socket.handshake(Instant::now() + Duration::from_millis(20)).await;
    assert!(matches!(ended, Err(TlsEnd::TooLong)));
    drop(client.join().unwrap());
}

/// Records that are right and carry nothing, as fast as they are taken, are no way to keep a worker. (rustls ends what is nothing but
/// changes of keys, and what is nothing but empty records, and not what is both: of the first there are few here.)
#[tokio::test]
async fn records_that_carry_nothing_end_a_session_and_keep_no_worker() {
    let (socket, mut client) = idling().await;
    let Socket::Tls(tls) = &socket else { panic!() };
    let mut buffer = bytes::BytesMut::with_capacity(100);
    // 27 bytes each, and more of them than a turn takes: it ends, and the next begins without the connection
    tls.bound_idle(60, 10_000);
    while !tls.is_paused() {
        tokio::time::timeout(LONG, socket.readable()).await.unwrap().unwrap();
        assert_eq!(socket.try_read_buf(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
    tokio::time::timeout(LONG, socket.readable()).await.unwrap().unwrap();
    assert!(!tls.is_paused());
    client.write_all(b"y").unwrap();
    assert_eq!(read(&socket, 1).await, b"y", "what carries something goes on");

    let (socket, _client) = idling().await;
    let Socket::Tls(tls) = &socket else { panic!() };
    tls.bound_idle(10_000, 300);
    let kind = loop {
        tokio::time::timeout(LONG, socket.readable()).await.unwrap().unwrap();
        match socket.try_read_buf(&mut buffer).unwrap_err().kind() {
            io::ErrorKind::WouldBlock => {}
            other => break other,
        }
    };
    assert_eq!(kind, io::ErrorKind::InvalidData);
}

/// A client that has changed its keys twenty times since it said something.
async fn idling() -> (Socket, Client) {
    let (socket, client) = connection(|stream| {
        let mut client = client(stream);
        client.write_all(b"x").unwrap();
        client
    })
    .await;
    socket.handshake(soon()).await.unwrap();
    assert_eq!(read(&socket, 1).await, b"x");
    let mut client = client.join().unwrap();
    for _ in 0..20 {
        client.conn.refresh_traffic_keys().unwrap();
    }
    client.flush().unwrap();
    (socket, client)
}

/// As from the socket of a health check.
#[tokio::test]
async fn whoever_says_nothing_at_all_is_told_apart() {
    let (socket, client) = connection(drop).await;
    assert!(matches!(socket.handshake(soon()).await, Err(TlsEnd::Silent)));
    client.join().unwrap();
}

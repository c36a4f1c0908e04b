//! Two ends of a connection within the process. A session is made for a TCP socket (its halves, sendfile, how it is closed), so
//! this is one, over loopback.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// What the kernel may keep between the ends: a slow client is to be felt by its session.
const BUFFER: u32 = 64 * 1024;
/// Nobody else has a reason to connect here.
const STRANGERS: usize = 16;
const TIME: Duration = Duration::from_secs(5);

pub(super) async fn pair() -> io::Result<(TcpStream, TcpStream)> {
    tokio::time::timeout(TIME, connect()).await.unwrap_or_else(|late| Err(late.into()))
}

async fn connect() -> io::Result<(TcpStream, TcpStream)> {
    let listener = TcpSocket::new_v4()?;
    listener.set_recv_buffer_size(BUFFER)?;
    listener.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let listener: TcpListener = listener.listen(8)?;
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(BUFFER)?;
    socket.set_send_buffer_size(BUFFER)?;
    let ours = socket.connect(listener.local_addr()?).await?;
    let me = ours.local_addr()?;
    for _ in 0..STRANGERS {
        let (theirs, from) = listener.accept().await?;
        // whoever was quicker to connect to the port is not let in
        if from == me {
            ours.set_nodelay(true)?;
            theirs.set_nodelay(true)?;
            return Ok((ours, theirs));
        }
    }
    Err(io::Error::new(io::ErrorKind::ConnectionRefused, "others connect to a port of this process's own"))
}

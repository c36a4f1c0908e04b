//! Frames of all kinds of pieces, to clients that read as they like.

use super::*;
use std::{
    fs::File,
    io::Write as _,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
};

const LONG: Duration = Duration::from_secs(60);

/// The two ends of a connection: the server's and the client's.
async fn connection() -> (Socket, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (Socket::Plain(listener.accept().await.unwrap().0), client)
}

fn byte_at(pos: u64) -> u8 {
    (pos % 251) as u8
}

/// A source of a length that is nowhere in memory; says how far it was read, and the largest read.
#[derive(Default)]
struct Endless {
    len: u64,
    /// Every read would have to wait for a disk.
    cold: bool,
    /// Where reading fails.
    broken_at: Option<u64>,
    read_to: AtomicU64,
    largest: AtomicUsize,
}

impl ByteSource for Endless {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, pos: u64, buf: &mut [u8]) -> io::Result<()> {
        let end = pos + buf.len() as u64;
        if self.broken_at.is_some_and(|at| end > at) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        buf.iter_mut().zip(pos..).for_each(|(byte, at)| *byte = byte_at(at));
        self.read_to.fetch_max(end, Relaxed);
        self.largest.fetch_max(buf.len(), Relaxed);
        Ok(())
    }

    fn try_read_at(&self, pos: u64, buf: &mut [u8]) -> io::Result<bool> {
        if self.cold { Ok(false) } else { self.read_at(pos, buf).map(|()| true) }
    }
}

/// A stretch of a file, for the kernel to copy.
struct InFile {
    file: File,
    start: u64,
    len: u64,
}

impl InFile {
    /// From the third byte of a file that goes on for `have` bytes, though it claims `len`.
    fn new(len: u64, have: u64) -> InFile {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..3).chain((0..have).map(byte_at)).collect();
        file.write_all(&bytes).unwrap();
        InFile { file, start: 3, len }
    }
}

impl ByteSource for InFile {
    fn len(&self) -> u64 {
        self.len
    }
    fn read_at(&self, pos: u64, buf: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.file, buf, self.start + pos)
    }
    fn try_read_at(&self, pos: u64, buf: &mut [u8]) -> io::Result<bool> {
        // What was just written is in memory; what the file lacks is for the kernel to find out.
        if pos + buf.len() as u64 <= self.len && buf.len() == 1 { Ok(true) } else { Ok(false) }
    }
    fn file(&self) -> Option<(&File, u64)> {
        Some((&self.file, self.start))
    }
}

#[tokio::test]
async fn pieces_of_all_kinds_leave_whole_and_in_order() {
    let (server, mut client) = connection().await;
    let endless = |cold| Arc::new(Endless { len: 300_001, cold, ..Endless::default() });
    let (hot, cold) = (endless(false), endless(true));
    let of_source = |len: u64| (0..len).map(byte_at).collect::<Vec<u8>>();
    let small: Vec<Piece> = (0..200u8).map(|n| Piece::Bytes(vec![n; 3].into())).collect();
    let frames: Vec<Vec<Piece>> = vec![
        vec![Piece::Bytes("head".into()), Piece::Source(hot), Piece::Bytes("tail".into())],
        small,
        vec![
            Piece::Source(cold),
            Piece::Bytes(Bytes::new()),
            Piece::Source(Arc::new(InFile::new(500_000, 500_000))),
        ],
        vec![Piece::Bytes("end".into())],
    ];
    let mut expected = b"head".to_vec();
    expected.extend(of_source(300_001));
    expected.extend(b"tail");
    expected.extend((0..200u8).flat_map(|n| [n; 3]));
    expected.extend(of_source(300_001));
    expected.extend(of_source(500_000));
    expected.extend(b"end");
    let reading = tokio::spawn(async move {
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        received
    });
    let mut writer = FrameWriter::new(&server, LONG);
    frames.into_iter().for_each(|frame| writer.push(frame));
    assert_eq!(writer.buffered(), expected.len());
    writer.flush().await.unwrap();
    assert_eq!((writer.sent, writer.buffered()), (expected.len() as u64, 0));
    drop(server);
    assert!(reading.await.unwrap() == expected, "what arrives is not what was sent");
}

#[tokio::test]
async fn bytes_behind_a_source_do_not_come_between_its_chunks() {
    let (server, mut client) = connection().await;
    let mut writer = FrameWriter::new(&server, LONG);
    let len = 2 * CHUNK as u64;
    let source = Endless { len, cold: true, ..Endless::default() };
    writer.push(vec![Piece::Source(Arc::new(source)), Piece::Bytes("tail".into())]);
    writer.flush().await.unwrap();
    drop(server);
    let mut received = Vec::new();
    client.read_to_end(&mut received).await.unwrap();
    assert_eq!(received[CHUNK], byte_at(CHUNK as u64), "the second chunk follows the first");
    assert!(received.ends_with(b"tail"));
}

#[tokio::test]
async fn a_source_is_read_in_chunks_and_only_as_fast_as_it_is_taken() {
    const LEN: u64 = 24_000_000;
    for cold in [false, true] {
        let (server, mut client) = connection().await;
        let source = Arc::new(Endless { len: LEN, cold, ..Endless::default() });
        let mut writer = FrameWriter::new(&server, LONG);
        writer.push(vec![Piece::Source(source.clone())]);
        let mut taken = 0u64;
        let reading = async {
            let mut bite = vec![0; 16 * 1024];
            while taken < LEN {
                let n = client.read(&mut bite).await.unwrap();
                assert!(n > 0 && bite[..n].iter().zip(taken..).all(|(byte, at)| *byte == byte_at(at)));
                taken += n as u64;
                // Kernel buffers, and the chunk in hand.
                let ahead = source.read_to.load(Relaxed).saturating_sub(taken);
                assert!(ahead < 12_000_000, "{ahead} bytes were read that nobody took");
            }
        };
        let (flushed, ()) = tokio::join!(writer.flush(), reading);
        flushed.unwrap();
        assert!(source.largest.load(Relaxed) <= CHUNK);
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_not_waited_for() {
    let file: Arc<dyn ByteSource> = Arc::new(InFile::new(20_000_000, 20_000_000));
    let sources: [Arc<dyn ByteSource>; 2] =
        [Arc::new(Endless { len: 50_000_000, ..Endless::default() }), file.clone()];
    for source in sources {
        let (server, _client) = connection().await;
        let mut writer = FrameWriter::new(&server, Duration::from_millis(50));
        writer.push(vec![Piece::Source(source)]);
        assert_eq!(writer.flush().await, Err(EndCause::WriteTimeout));
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_a_little_now_and_then_does_not_keep_its_answer_for_ever() {
    const LEN: usize = 64 << 20;
    let (server, mut client) = connection().await;
    let timeout = Duration::from_secs(300);
    let mut writer = FrameWriter::new(&server, timeout);
    writer.push(vec![Piece::Bytes(vec![0; LEN].into())]);
    let start = Instant::now();
    let trickling = async {
        let mut bite = vec![0; 1 << 20];
        loop {
            // Half as fast as the slowest that is waited for.
            tokio::time::sleep(Duration::from_secs(32)).await;
            client.read_exact(&mut bite).await.unwrap();
        }
    };
    let flushed = tokio::select! {
        flushed = writer.flush() => flushed,
        () = trickling => unreachable!(),
    };
    assert_eq!(flushed, Err(EndCause::WriteTimeout));
    let most = timeout + Duration::from_secs(LEN as u64 / SLOWEST);
    assert!(start.elapsed() <= most + Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_source_that_ends_early_ends_the_session() {
    let broken = Endless { len: 300_000, broken_at: Some(200_000), ..Endless::default() };
    let sources: [Arc<dyn ByteSource>; 2] = [Arc::new(broken), Arc::new(InFile::new(300_000, 200_000))];
    for source in sources {
        let (server, mut client) = connection().await;
        let reading = tokio::spawn(async move {
            let mut received = Vec::new();
            client.read_to_end(&mut received).await.unwrap();
            received.len()
        });
        let mut writer = FrameWriter::new(&server, LONG);
        writer.push(vec![Piece::Source(source)]);
        assert_eq!(writer.flush().await, Err(EndCause::StorageRead));
        drop(server);
        assert!(reading.await.unwrap() <= 200_000, "nothing is made up");
    }
}

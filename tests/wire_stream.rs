//! A frame of any size passes through the codec in chunks: what is held does not grow with it.

#[path = "support/memory.rs"]
mod memory;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_util::codec::Decoder;
use tollgate::wire::frame::{Event, FrameCodec};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

const FRAME: usize = 200 * 1024 * 1024;
const PIPE: usize = 64 * 1024;

/// The n-th stretch of a frame: cheap to make, and none like another.
fn stretch(n: usize) -> [u8; 1024] {
    let mut bytes = [n as u8; 1024];
    bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
    bytes
}

/// An upstream that is nothing but bytes: one large frame, then a small one.
async fn upstream(mut pipe: DuplexStream) {
    pipe.write_all(&(FRAME as u32).to_be_bytes()).await.unwrap();
    for n in 0..FRAME / 1024 {
        pipe.write_all(&stretch(n)).await.unwrap();
    }
    pipe.write_all(&[0, 0, 0, 3, 1, 2, 3]).await.unwrap();
}

/// What stands between: frames in, the same frames out.
async fn pass(mut from: DuplexStream, mut to: DuplexStream) -> Vec<usize> {
    let mut codec = FrameCodec::new(i32::MAX as usize);
    let mut buffer = BytesMut::new();
    let mut frames = Vec::new();
    loop {
        match codec.decode(&mut buffer).unwrap() {
            Some(Event::Head(len)) => {
                frames.push(len);
                to.write_all(&(len as u32).to_be_bytes()).await.unwrap();
            }
            Some(Event::Chunk(chunk)) => to.write_all(&chunk).await.unwrap(),
            Some(Event::End) => {}
            None => {
                buffer.reserve(16 * 1024);
                if from.read_buf(&mut buffer).await.unwrap() == 0 {
                    assert!(codec.is_idle() && buffer.is_empty());
                    return frames;
                }
            }
        }
    }
}

/// Reads it all again and compares as it goes.
async fn client(mut pipe: DuplexStream) -> usize {
    let mut prefix = [0; 4];
    pipe.read_exact(&mut prefix).await.unwrap();
    assert_eq!(u32::from_be_bytes(prefix) as usize, FRAME);
    let mut bytes = [0; 1024];
    for n in 0..FRAME / 1024 {
        pipe.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes, stretch(n), "stretch {n}");
    }
    let mut rest = Vec::new();
    pipe.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, [0, 0, 0, 3, 1, 2, 3]);
    FRAME + rest.len()
}

#[test]
fn a_frame_of_200_megabytes_passes_in_a_few_hundred_kilobytes() {
    // One thread, so that the count of this thread is the count of all.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ((frames, received), held) = memory::most_held(|| {
        runtime.block_on(async {
            let (up, from) = duplex(PIPE);
            let (to, down) = duplex(PIPE);
            let (_, frames, received) = tokio::join!(upstream(up), pass(from, to), client(down));
            (frames, received)
        })
    });
    assert_eq!(frames, [FRAME, 3]);
    assert_eq!(received, FRAME + 7);
    assert!(held < 512 * 1024, "{held} bytes held");
}

#[test]
fn announced_lengths_reserve_nothing() {
    for announced in [0u32, 1, 1 << 20, 1 << 30, i32::MAX as u32] {
        let (result, held) = memory::most_held(|| {
            let mut buffer = BytesMut::from(&announced.to_be_bytes()[..]);
            FrameCodec::new(i32::MAX as usize).decode(&mut buffer).unwrap()
        });
        assert_eq!(result, Some(Event::Head(announced as usize)));
        assert!(held < 1024, "{held} bytes for {announced}");
    }
}

//! The bytes of a connection, cut as a network cuts them: however that is, the same frames come out, none larger than the limit.

use bytes::BytesMut;
use tokio_util::codec::Decoder;
use tollgate::wire::frame::{Event, FrameCodec, Gather};

const LIMIT: usize = 4096;

pub fn run(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else { return };
    let whole = frames(stream, stream.len().max(1));
    let pieces = frames(stream, usize::from(cut).max(1));
    assert_eq!(whole, pieces);
}

/// The frames in `stream`, fed `at_once` bytes at a time, and why it ended.
fn frames(stream: &[u8], at_once: usize) -> (Vec<Vec<u8>>, Option<String>) {
    let mut codec = FrameCodec::new(LIMIT);
    let (mut buf, mut frames) = (BytesMut::new(), Vec::new());
    let mut gather = Gather::default();
    let mut announced = 0;
    for piece in stream.chunks(at_once) {
        buf.extend_from_slice(piece);
        loop {
            match codec.decode(&mut buf) {
                Ok(Some(Event::Head(size))) => {
                    assert!(size <= LIMIT);
                    announced = size;
                }
                Ok(Some(Event::Chunk(chunk))) => gather.push(chunk),
                Ok(Some(Event::End)) => {
                    let frame = std::mem::take(&mut gather).finish();
                    assert_eq!(frame.len(), announced);
                    assert!(codec.is_idle());
                    frames.push(frame.to_vec());
                }
                Ok(None) => break,
                Err(error) => return (frames, Some(error.to_string())),
            }
        }
    }
    (frames, None)
}

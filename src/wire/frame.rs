//! Cuts a byte stream into Kafka frames: four bytes of length, then that many bytes. A frame comes as a head, chunks and an
//! end, so that one of any size passes through bounded memory; `Gather` puts the chunks of one that must be whole together.

use bytes::{Buf, Bytes, BytesMut};
use tokio_util::codec::Decoder;

/// What a stream yields.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A frame of this many payload bytes begins. They follow as chunks.
    Head(usize),
    /// The next bytes of the frame's payload, never more than are left of it.
    Chunk(Bytes),
    /// The frame is complete.
    End,
}

/// Why a stream cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("frame of {0} bytes; the limit is {1}")]
    TooLarge(usize, usize),
    #[error("frame length {0} is negative")]
    Negative(i32),
    #[error("{0}")]
    NotKafka(NotKafka),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Bytes that are another protocol's greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotKafka {
    #[error("the peer speaks TLS to a plaintext listener")]
    Tls,
    #[error("the peer speaks HTTP to a Kafka listener")]
    Http,
}

/// Length framing for one direction of a connection.
#[derive(Debug)]
pub struct FrameCodec {
    max: usize,
    /// Payload bytes still to come of the frame at hand.
    left: Option<usize>,
    first: bool,
}

impl FrameCodec {
    /// Refuses frames of more than `max` bytes.
    pub fn new(max: usize) -> Self {
        FrameCodec { max, left: None, first: true }
    }

    /// True between frames.
    pub fn is_idle(&self) -> bool {
        self.left.is_none()
    }
}

impl Decoder for FrameCodec {
    type Item = Event;
    type Error = FrameError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Event>, FrameError> {
        match self.left {
            Some(0) => {
                self.left = None;
                Ok(Some(Event::End))
            }
            Some(_) if src.is_empty() => Ok(None),
            Some(left) => {
                let take = left.min(src.len());
                self.left = Some(left - take);
                Ok(Some(Event::Chunk(src.split_to(take).freeze())))
            }
            None => {
                let Some(size) = frame_length(src, self.max, self.first)? else { return Ok(None) };
                self.first = false;
                src.advance(4);
                self.left = Some(size);
                Ok(Some(Event::Head(size)))
            }
        }
    }
}

/// The payload length of the frame at the front of `src`, once its prefix is there. `first` looks for other protocols' greetings.
pub fn frame_length(src: &[u8], max: usize, first: bool) -> Result<Option<usize>, FrameError> {
    let Some(prefix) = src.first_chunk::<4>().copied() else { return Ok(None) };
    if first && let Some(other) = greeting(prefix) {
        return Err(FrameError::NotKafka(other));
    }
    let len = i32::from_be_bytes(prefix);
    let size = usize::try_from(len).map_err(|_| FrameError::Negative(len))?;
    if size > max {
        return Err(FrameError::TooLarge(size, max));
    }
    Ok(Some(size))
}

/// As lengths these would announce more than 300 MB, far past any limit in use.
fn greeting(prefix: [u8; 4]) -> Option<NotKafka> {
    match &prefix {
        [0x16 | 0x15, 3, ..] => Some(NotKafka::Tls),
        b"GET " | b"POST" | b"PUT " | b"HEAD" | b"OPTI" | b"DELE" | b"HTTP" | b"CONN" => Some(NotKafka::Http),
        _ => None,
    }
}

/// Puts the chunks of a frame together. Memory grows with what arrived, never with what was announced; a frame that came
/// in one chunk is not copied.
#[derive(Debug, Default)]
pub struct Gather {
    first: Bytes,
    more: BytesMut,
}

impl Gather {
    pub fn push(&mut self, chunk: Bytes) {
        if self.first.is_empty() && self.more.is_empty() {
            self.first = chunk;
            return;
        }
        if self.more.is_empty() {
            self.more.reserve(self.first.len() + chunk.len());
            self.more.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.more.extend_from_slice(&chunk);
    }

    pub fn len(&self) -> usize {
        self.first.len() + self.more.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The frame's payload.
    pub fn finish(self) -> Bytes {
        if self.more.is_empty() { self.first } else { self.more.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(codec: &mut FrameCodec, src: &mut BytesMut) -> Result<Vec<Event>, FrameError> {
        let mut events = Vec::new();
        while let Some(event) = codec.decode(src)? {
            events.push(event);
        }
        Ok(events)
    }

    #[test]
    fn too_large_negative_and_foreign_bytes_are_refused() {
        let decode = |bytes: &[u8]| all(&mut FrameCodec::new(100), &mut BytesMut::from(bytes));
        assert!(matches!(decode(&[0, 0, 0, 101]), Err(FrameError::TooLarge(101, 100))));
        assert!(matches!(decode(&[0xff, 0xff, 0xff, 0xff]), Err(FrameError::Negative(-1))));
        assert!(matches!(decode(&[0x16, 3, 1, 2]), Err(FrameError::NotKafka(NotKafka::Tls))));
        assert!(matches!(decode(b"GET / HTTP/1.1"), Err(FrameError::NotKafka(NotKafka::Http))));
        assert!(decode(&[0, 0, 0]).is_ok_and(|events| events.is_empty()));
    }

    #[test]
    fn an_announced_length_reserves_nothing() {
        let mut codec = FrameCodec::new(1 << 30);
        let mut src = BytesMut::from(&[0x20, 0, 0, 0, 1, 2][..]);
        let events = all(&mut codec, &mut src).unwrap();
        assert_eq!(events, [Event::Head(0x2000_0000), Event::Chunk(Bytes::from_static(&[1, 2]))]);
        assert!(src.capacity() < 1024);
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            cuts in prop::collection::vec(1usize..200, 1..40),
        ) {
            let stream: Vec<u8> =
                frames.iter().flat_map(|f| [&(f.len() as u32).to_be_bytes()[..], f].concat()).collect();
            let mut codec = FrameCodec::new(1000);
            let (mut src, mut at, mut out) = (BytesMut::new(), 0, Vec::new());
            let mut gather = Gather::default();
            for cut in cuts.iter().cycle().take(stream.len() + 1) {
                let end = (at + cut).min(stream.len());
                src.extend_from_slice(&stream[at..end]);
                at = end;
                for event in all(&mut codec, &mut src).unwrap() {
                    match event {
                        Event::Head(_) => gather = Gather::default(),
                        Event::Chunk(chunk) => gather.push(chunk),
                        Event::End => out.push(std::mem::take(&mut gather).finish().to_vec()),
                    }
                }
            }
            prop_assert_eq!(out, frames);
            prop_assert!(codec.is_idle());
        }
    }
}

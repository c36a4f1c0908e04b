//! Where Kafka's frames begin and end in a stream: four bytes of length, and so many more.

/// What it knows of the stream so far.
#[derive(Default)]
pub(super) struct Frames {
    head: [u8; 4],
    /// Bytes of `head` that are there.
    got: usize,
    /// Bytes of the frame that are to come.
    left: u64,
}

/// The bytes at the front that belong to one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub bytes: usize,
    pub begins: bool,
    pub ends: bool,
}

impl Frames {
    /// At least one byte of what is not empty. What is no frame counts as one without end.
    pub fn part(&mut self, stream: &[u8]) -> Part {
        let begins = self.got == 0;
        let mut bytes = 0;
        for byte in stream.iter().take(self.head.len() - self.got) {
            if let Some(place) = self.head.get_mut(self.got) {
                *place = *byte;
            }
            self.got += 1;
            bytes += 1;
            if self.got == self.head.len() {
                self.left = u64::try_from(i32::from_be_bytes(self.head)).unwrap_or(u64::MAX);
            }
        }
        if self.got < self.head.len() {
            return Part { bytes, begins, ends: false };
        }
        let body = (stream.len() - bytes).min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= body as u64;
        let ends = self.left == 0;
        if ends {
            self.got = 0;
        }
        Part { bytes: bytes + body, begins, ends }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_the_stream_is_cut() {
        let stream = [0, 0, 0, 2, 7, 7, 0, 0, 0, 0, 0, 0, 0, 1, 7, 0];
        for cut in 1..=stream.len() {
            let (mut frames, mut at) = (Frames::default(), 0);
            let (mut begun, mut ended) = (Vec::new(), Vec::new());
            for chunk in stream.chunks(cut) {
                let mut rest = chunk;
                while !rest.is_empty() {
                    let part = frames.part(rest);
                    assert!(part.bytes > 0);
                    if part.begins {
                        begun.push(at);
                    }
                    at += part.bytes;
                    if part.ends {
                        ended.push(at);
                    }
                    rest = &rest[part.bytes..];
                }
            }
            assert_eq!((begun, ended), (vec![0, 6, 10, 15], vec![6, 10, 15]), "cut every {cut}");
        }
    }

    #[test]
    fn nonsense_is_one_frame() {
        let mut frames = Frames::default();
        assert_eq!(frames.part(&[255; 100]), Part { bytes: 100, begins: true, ends: false });
        assert_eq!(frames.part(&[0; 100]), Part { bytes: 100, begins: false, ends: false });
    }
}

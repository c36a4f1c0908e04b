//! Where Kafka's frames begin and end in a stream: four bytes of length, and so many more. On a TLS listener, where they cannot be
//! seen, those of TLS's records (RFC 8446 5.1): a type, a version and two bytes of length. No frame of Kafka that is taken begins so.

/// What it knows of the stream so far.
#[derive(Default)]
pub(super) struct Frames {
    head: [u8; 5],
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
        for byte in stream {
            if self.got == self.length() {
                break;
            }
            if let Some(place) = self.head.get_mut(self.got) {
                *place = *byte;
            }
            self.got += 1;
            bytes += 1;
            if self.got == self.length() {
                let [a, b, c, d, e] = self.head;
                self.left = match self.is_record() {
                    true => u64::from(u16::from_be_bytes([d, e])),
                    false => u64::try_from(i32::from_be_bytes([a, b, c, d])).unwrap_or(u64::MAX),
                };
            }
        }
        if self.got < self.length() {
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

    /// Of the head, as far as it is known.
    fn length(&self) -> usize {
        if self.is_record() { 5 } else { 4 }
    }

    fn is_record(&self) -> bool {
        self.got >= 2 && matches!(self.head, [20..=23, 3, ..])
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
    fn records_of_tls_are_found_too() {
        let mut stream = vec![22, 3, 1, 0, 2, 7, 7, 20, 3, 3, 0, 0, 23, 3, 3, 1, 0];
        stream.extend([9; 256]);
        for cut in 1..20 {
            let (mut frames, mut at, mut ended) = (Frames::default(), 0, Vec::new());
            for mut rest in stream.chunks(cut) {
                while !rest.is_empty() {
                    let part = frames.part(rest);
                    at += part.bytes;
                    if part.ends {
                        ended.push(at);
                    }
                    rest = &rest[part.bytes..];
                }
            }
            assert_eq!(ended, [7, 12, 273], "cut every {cut}");
        }
    }

    #[test]
    fn nonsense_is_one_frame() {
        let mut frames = Frames::default();
        assert_eq!(frames.part(&[255; 100]), Part { bytes: 100, begins: true, ends: false });
        assert_eq!(frames.part(&[0; 100]), Part { bytes: 100, begins: false, ends: false });
    }
}

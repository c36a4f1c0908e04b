//! Frames that lie: cut, damaged, with counts and lengths past all measure. Whatever they say, decoding is an error or a
//! message, and takes no more memory than a small multiple of their size.

#[path = "support/memory.rs"]
mod memory;

use std::{fs, path::Path};

use bytes::Bytes;
use tollgate::wire::{
    ApiKey, ErrorCode, Request, RequestBody, Response, WireError,
    read::memory_limit,
    table::{APIS, ApiInfo},
};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// A frame of Kafka's own classes to start from, without its length prefix.
struct Seed {
    info: &'static ApiInfo,
    version: i16,
    request: bool,
    frame: Vec<u8>,
}

impl Seed {
    fn read(&self, frame: Bytes) -> Result<Option<RequestBody>, WireError> {
        if self.request {
            let mut request = Request::parse(frame)?;
            request.body()?;
            request.into_body().map(Some)
        } else {
            Response::parse(self.info.key, self.version, frame).map(|_| None)
        }
    }

    /// Decodes and drops; true when it was a message.
    fn try_on(&self, frame: Vec<u8>, worst: &mut Worst) -> bool {
        let len = frame.len();
        let frame = Bytes::from(frame);
        let (read, held) = memory::most_held(|| self.read(frame));
        let at = || format!("{} {} request {}", self.info.name, self.version, self.request);
        assert!(held <= memory_limit(len), "{held} bytes for {len} bytes of {}", at());
        worst.note(held, len, at);
        read.is_ok()
    }
}

/// The most memory for a byte of input that was met, past what any frame may take.
#[derive(Default)]
struct Worst {
    ratio: usize,
    what: String,
}

impl Worst {
    fn note(&mut self, held: usize, len: usize, what: impl Fn() -> String) {
        let ratio = held.saturating_sub(memory_limit(0)) / len.max(1);
        if ratio > self.ratio {
            *self = Worst { ratio, what: what() };
        }
    }
}

fn seeds(variant: &str) -> Vec<Seed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/frames/frames.txt");
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let unhex = |text: &str| {
        (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap()).collect()
    };
    text.lines()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .filter(|words| words[3] == variant)
        .map(|words| Seed {
            info: ApiKey(words[0].parse().unwrap()).info().unwrap(),
            version: words[1].parse().unwrap(),
            request: words[2] == "request",
            frame: unhex(words[4]),
        })
        .collect()
}

/// The newest version of each api, and the newest without compact lengths.
fn two_versions_each(seeds: Vec<Seed>) -> Vec<Seed> {
    let wanted = |seed: &Seed| {
        seed.version == seed.info.max_version || seed.version == seed.info.flexible_from.saturating_sub(1)
    };
    seeds.into_iter().filter(wanted).collect()
}

/// Lengths and counts that no frame can keep, in each of their forms on the wire.
const LIES: [&[u8]; 6] = [
    &[0x7f, 0xff],
    &[0x80, 0x00],
    &[0x7f, 0xff, 0xff, 0xff],
    &[0x80, 0x00, 0x00, 0x00],
    &[0xff, 0xff, 0xff, 0xff, 0x0f],
    &[0xff, 0xff, 0xff, 0xff, 0xff],
];

#[test]
fn truncated_frames_are_refused() {
    let mut worst = Worst::default();
    for seed in seeds("full") {
        assert!(seed.try_on(seed.frame.clone(), &mut worst));
        for len in 0..seed.frame.len() {
            assert!(!seed.try_on(seed.frame[..len].to_vec(), &mut worst), "{} cut at {len}", seed.info.name);
        }
    }
}

#[test]
fn lengths_that_lie_take_no_memory() {
    let mut worst = Worst::default();
    for seed in seeds("full") {
        for at in 0..seed.frame.len() {
            for lie in LIES {
                let mut frame = seed.frame.clone();
                let end = (at + lie.len()).min(frame.len());
                frame[at..end].copy_from_slice(&lie[..end - at]);
                seed.try_on(frame, &mut worst);
            }
        }
    }
}

/// A count that the bytes left could keep if every element were one byte, followed by the shortest elements there are.
#[test]
fn many_small_elements_take_a_bounded_multiple() {
    const FILL: usize = 8 * 1024;
    let elements: [&[u8]; 3] = [&[1], &[0], &[1, 1, 0]];
    let fills = elements.map(|element| element.repeat(FILL / element.len()));
    let mut worst = Worst::default();
    for seed in two_versions_each(seeds("full")) {
        for at in 8..seed.frame.len() {
            // As many elements as a third of the bytes that follow, or nearly all: compact and plain.
            for count in [FILL / 3, FILL - 64] {
                let compact = [count as u8 | 0x80, (count >> 7) as u8];
                let plain = (count as u32).to_be_bytes();
                for fill in &fills {
                    seed.try_on([&seed.frame[..at], &compact, fill].concat(), &mut worst);
                    seed.try_on([&seed.frame[..at], &plain, fill].concat(), &mut worst);
                }
            }
        }
    }
    // The measure is not idle: elements far larger than their bytes were met.
    assert!(worst.ratio >= 10, "{} by {}", worst.ratio, worst.what);
}

/// What was decoded from lies can be asked and answered like anything else.
#[test]
fn damaged_requests_can_be_answered() {
    let mut state = 0x1234_5678_9abc_def1u64;
    let mut draw = move |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as usize
    };
    let mut messages = 0;
    for seed in seeds("full").into_iter().filter(|seed| seed.request) {
        for _ in 0..60 {
            let mut frame = seed.frame.clone();
            for _ in 0..=draw(3) {
                let at = 8 + draw(frame.len() - 8);
                match draw(4) {
                    0 => frame[at] ^= 1 << draw(8),
                    1 => frame[at] = draw(256) as u8,
                    2 => frame.insert(at, draw(4) as u8),
                    _ => drop(frame.remove(at)),
                }
            }
            let Ok(Some(mut body)) = seed.read(frame.into()) else { continue };
            messages += 1;
            let parts = body.parts(seed.version);
            body.whole(seed.version);
            if let Some(answer) = body.answer(seed.version, ErrorCode::KAFKA_STORAGE_ERROR) {
                let kept = body.merge(seed.version, &vec![None; parts.len()], Some(answer.clone()));
                assert_eq!(kept, Some(answer));
            }
            body.keep(&vec![false; parts.len()]);
        }
    }
    assert!(messages > 1000, "{messages} of the damaged frames were messages");
}

#[test]
fn apis_are_all_there() {
    let seeds = seeds("full");
    for info in APIS {
        assert!(seeds.iter().any(|seed| seed.info.key == info.key), "{}", info.name);
    }
}

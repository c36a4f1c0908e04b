//! Random messages for tests. What the schema macro declares can be sampled: version-gated fields only where the version has
//! them, null only where it is legal, so that writing a sample loses nothing.

use super::{
    payload::Payload,
    schema::Cx,
    types::{Sensitive, Str, Tags, Uuid},
};
use bytes::Bytes;

/// A type with random values that a version can carry.
pub trait Sample: Sized {
    fn sample(draw: &mut Draw, cx: Cx) -> Self;
}

/// Numbers that look random and follow from a seed (splitmix64), so that a failure can be met again.
pub struct Draw {
    state: u64,
    /// What every sensitive field says.
    secret: Option<&'static [u8]>,
}

/// Few, so that lists repeat them.
const TEXTS: [&str; 6] = ["a", "b", "orders", "audit", "", "grüße-✓"];

impl Draw {
    pub fn new(seed: u64) -> Self {
        Draw { state: seed, secret: None }
    }

    /// Every sensitive field says this, so that it can be looked for.
    pub fn with_secret(self, secret: &'static [u8]) -> Self {
        Draw { secret: Some(secret), ..self }
    }

    pub fn u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `n` - 1.
    pub fn below(&mut self, n: usize) -> usize {
        (self.u64() % n.max(1) as u64) as usize
    }

    /// True once in `n`.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// Zero, one below, small, or anything.
    fn integer(&mut self) -> i64 {
        match self.below(5) {
            0 => 0,
            1 => -1,
            2 | 3 => self.below(4) as i64,
            _ => self.u64() as i64,
        }
    }

    /// Harms a message: flipped bits, foreign bytes, a length set to something absurd, a cut, a repeated stretch.
    pub fn damage(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            let end = (at + 1 + self.below(8)).min(bytes.len());
            match (self.below(7), bytes.get_mut(at..end).filter(|b| !b.is_empty())) {
                (0, _) => bytes.truncate(at),
                (_, None) => bytes.push(self.u64() as u8),
                (1 | 2, Some(stretch)) => stretch[0] ^= 1 << self.below(8),
                (3, Some(stretch)) => stretch[0] = self.u64() as u8,
                (4, Some(stretch)) => stretch.fill(*[0xff, 0x7f, 0x80].get(self.below(3)).unwrap_or(&0)),
                (5, Some(stretch)) => stretch.fill(0),
                (_, Some(stretch)) => {
                    let again = stretch.to_vec();
                    bytes.splice(at..at, again);
                }
            }
        }
    }

    /// Tagged fields of a Kafka newer than this crate: their tags lie past those in use.
    pub fn unknown_tags(&mut self, cx: Cx) -> Tags {
        let mut tags = Tags::default();
        let mut tag = 10;
        while cx.flexible && self.once_in(4) {
            tag += 1 + self.below(200) as u32;
            let data = Bytes::sample(self, cx);
            tags.push(tag, data);
        }
        tags
    }
}

macro_rules! integers {
    ($($t:ident)*) => {$(
        impl Sample for $t {
            fn sample(draw: &mut Draw, _: Cx) -> Self {
                draw.integer() as $t
            }
        }
    )*};
}
integers!(i8 i16 u16 i32 i64);

impl Sample for f64 {
    fn sample(draw: &mut Draw, _: Cx) -> Self {
        draw.integer() as f64 / 2.0
    }
}

impl Sample for bool {
    fn sample(draw: &mut Draw, _: Cx) -> Self {
        draw.once_in(2)
    }
}

impl Sample for Uuid {
    fn sample(draw: &mut Draw, _: Cx) -> Self {
        Uuid([draw.below(4) as u8; 16])
    }
}

impl Sample for Str {
    fn sample(draw: &mut Draw, _: Cx) -> Self {
        match draw.below(12) {
            0 => Str::from("long ".repeat(30)),
            n => Str::from(TEXTS[n % TEXTS.len()]),
        }
    }
}

impl Sample for Bytes {
    fn sample(draw: &mut Draw, _: Cx) -> Self {
        // Long enough now and then to be handed on as a piece of its own.
        let len = match draw.below(20) {
            0 => 3000,
            1 => 200,
            n => n - 2,
        };
        (0..len).map(|_| draw.u64() as u8).collect()
    }
}

impl Sample for Sensitive {
    fn sample(draw: &mut Draw, cx: Cx) -> Self {
        Sensitive(match draw.secret {
            Some(secret) => Bytes::from_static(secret),
            None => Bytes::sample(draw, cx),
        })
    }
}

impl Sample for Payload {
    fn sample(draw: &mut Draw, cx: Cx) -> Self {
        if cx.nullable && draw.once_in(5) { Payload::Null } else { Payload::Bytes(Bytes::sample(draw, cx)) }
    }
}

impl<T: Sample> Sample for Option<T> {
    fn sample(draw: &mut Draw, cx: Cx) -> Self {
        let null = cx.nullable && draw.once_in(3);
        (!null).then(|| T::sample(draw, Cx { nullable: false, ..cx }))
    }
}

impl<T: Sample> Sample for Vec<T> {
    fn sample(draw: &mut Draw, cx: Cx) -> Self {
        // Seldom so many that the count's varint takes two bytes.
        let count = if draw.once_in(60) { 130 } else { draw.below(4) };
        (0..count).map(|_| T::sample(draw, cx)).collect()
    }
}

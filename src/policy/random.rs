//! Draws that can be made again: a draw is a hash of the seed, the rule, the event and the attempt.
//!
//! Nothing here keeps state, so neither thread interleaving nor other traffic can move a draw.

use siphasher::sip::SipHasher24;
use siphasher::sip128::{Hasher128, SipHasher24 as SipHasher128};
use std::hash::Hasher;
use std::time::Duration;

/// What an event is, so that a draw about it can be made again: see `identity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The subject's identity (`Subject::id`).
    pub subject: u128,
    /// Which event of this subject.
    pub ordinal: u64,
    /// How often this very event was met before.
    pub attempt: u32,
}

/// All draws one rule makes about one event. Each call takes the next number of the sequence.
#[derive(Debug, Clone)]
pub struct Draws {
    seed: u64,
    rule: u64,
    event: Event,
    index: u32,
}

impl Draws {
    pub fn new(seed: u64, rule: u64, event: Event) -> Self {
        Self { seed, rule, event, index: 0 }
    }

    /// Others of the same event, which go on by themselves: for what draws as bytes come.
    pub fn apart(&self, number: u64) -> Self {
        let rule = identity([self.rule.to_le_bytes().as_slice(), &number.to_le_bytes()]) as u64;
        Self { rule, index: 0, ..*self }
    }

    pub fn next_u64(&mut self) -> u64 {
        let mut hasher = SipHasher24::new_with_keys(self.seed, self.rule);
        hasher.write(&self.event.subject.to_le_bytes());
        hasher.write(&self.event.ordinal.to_le_bytes());
        hasher.write(&self.event.attempt.to_le_bytes());
        hasher.write(&self.index.to_le_bytes());
        self.index += 1;
        hasher.finish()
    }

    /// Uniform in [0, 1).
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// True with probability `p`, to the last bit that a `u64` draw can resolve.
    pub fn chance(&mut self, p: f64) -> bool {
        let draw = self.next_u64();
        match p {
            p if p >= 1.0 => true,
            p if p <= 0.0 => false,
            // 2^64 * p fits u128 exactly for every double in (0, 1)
            p => u128::from(draw) < (p * (1u128 << 64) as f64) as u128,
        }
    }

    /// Standard normal (Box and Muller).
    pub fn standard_normal(&mut self) -> f64 {
        // 1 - unit is in (0, 1], so the logarithm is finite
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// How long: a fixed time or one that is drawn.
#[derive(Debug, Clone, PartialEq)]
pub enum Distribution {
    Fixed(Duration),
    /// Every time from `from` to `to` alike.
    Uniform {
        from: Duration,
        to: Duration,
    },
    /// The bell curve, cut at zero and at the cap.
    Normal {
        mean: Duration,
        deviation: Duration,
    },
    /// At least `least`, with the heavy tail that queues have: `least / u^(1/shape)`.
    Pareto {
        least: Duration,
        shape: f64,
    },
}

/// No draw is longer: a heavy tail must not hold a response for ever.
pub const LONGEST: Duration = Duration::from_secs(3600);

impl Distribution {
    pub fn draw(&self, draws: &mut Draws) -> Duration {
        let seconds = match self {
            Self::Fixed(time) => return *time,
            Self::Uniform { from, to } => {
                from.as_secs_f64() + (to.as_secs_f64() - from.as_secs_f64()) * draws.unit()
            }
            Self::Normal { mean, deviation } => {
                mean.as_secs_f64() + deviation.as_secs_f64() * draws.standard_normal()
            }
            Self::Pareto { least, shape } => least.as_secs_f64() / (1.0 - draws.unit()).powf(1.0 / shape),
        };
        Duration::from_secs_f64(seconds.clamp(0.0, LONGEST.as_secs_f64()))
    }

    pub fn is_fixed(&self) -> bool {
        matches!(self, Self::Fixed(_))
    }
}

impl std::fmt::Display for Distribution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(time) => write!(f, "{time:?}"),
            Self::Uniform { from, to } => write!(f, "uniform({from:?}, {to:?})"),
            Self::Normal { mean, deviation } => write!(f, "normal({mean:?}, {deviation:?})"),
            Self::Pareto { least, shape } => write!(f, "pareto({least:?}, {shape})"),
        }
    }
}

/// A 128-bit identity of some fields. Each field is written with its length, so that no two lists of
/// fields run together into the same bytes.
pub fn identity<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> u128 {
    let mut hasher = SipHasher128::new_with_keys(0x746f_6c6c_6761_7465, 0);
    for field in fields {
        hasher.write(&(field.len() as u64).to_le_bytes());
        hasher.write(field);
    }
    hasher.finish128().as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(ordinal: u64) -> Draws {
        Draws::new(42, 7, Event { subject: 1, ordinal, attempt: 0 })
    }

    #[test]
    fn the_same_event_draws_the_same() {
        let twice: Vec<(u64, u64)> = (0..2).map(|_| (draws(3).next_u64(), draws(4).next_u64())).collect();
        assert_eq!(twice[0], twice[1]);
    }

    #[test]
    fn each_part_of_the_identity_matters() {
        let event = Event { subject: 1, ordinal: 2, attempt: 3 };
        let first = |seed, rule, event| Draws::new(seed, rule, event).next_u64();
        let all = [
            first(1, 1, event),
            first(2, 1, event),
            first(1, 2, event),
            first(1, 1, Event { subject: 9, ..event }),
            first(1, 1, Event { ordinal: 9, ..event }),
            first(1, 1, Event { attempt: 9, ..event }),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b), "draw {i} repeats");
        }
        let mut sequence = Draws::new(1, 1, event);
        assert_ne!(sequence.next_u64(), sequence.next_u64());
    }

    #[test]
    fn chance_is_precise() {
        for p in [0.001, 0.05, 0.5, 0.99] {
            let n = 200_000;
            let hits = (0..n).filter(|i| draws(*i).chance(p)).count() as f64;
            let (mean, deviation) = (n as f64 * p, (n as f64 * p * (1.0 - p)).sqrt());
            assert!((hits - mean).abs() < 4.0 * deviation, "p={p}: {hits} of {n}");
        }
        assert!((0..1000).all(|i| draws(i).chance(1.0)));
        assert!(!(0..1000).any(|i| draws(i).chance(0.0)));
    }

    #[test]
    fn distributions_have_their_shape() {
        let n = 50_000;
        let sample = |d: &Distribution| -> Vec<f64> {
            (0..n).map(|i| d.draw(&mut draws(i)).as_secs_f64() * 1000.0).collect()
        };
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let ms = Duration::from_millis;

        let uniform = sample(&Distribution::Uniform { from: ms(100), to: ms(300) });
        assert!(uniform.iter().all(|t| (100.0..300.0).contains(t)));
        assert!((mean(&uniform) - 200.0).abs() < 1.0);

        let normal = sample(&Distribution::Normal { mean: ms(200), deviation: ms(50) });
        assert!((mean(&normal) - 200.0).abs() < 1.0);
        let within = normal.iter().filter(|t| (150.0..250.0).contains(*t)).count() as f64 / n as f64;
        assert!((within - 0.6827).abs() < 0.01, "{within} within one deviation");

        let pareto = sample(&Distribution::Pareto { least: ms(10), shape: 2.0 });
        assert!(pareto.iter().all(|t| *t >= 10.0));
        let over = pareto.iter().filter(|t| **t > 100.0).count() as f64 / n as f64;
        assert!((over - 0.01).abs() < 0.003, "{over} over ten times the least");

        assert!(sample(&Distribution::Fixed(ms(7))).iter().all(|t| *t == 7.0));
    }

    #[test]
    fn no_draw_is_negative_or_endless() {
        let wild = Distribution::Normal { mean: Duration::ZERO, deviation: Duration::from_secs(1) };
        let tail = Distribution::Pareto { least: Duration::from_secs(1), shape: 0.05 };
        for i in 0..5_000 {
            wild.draw(&mut draws(i));
            assert!(tail.draw(&mut draws(i)) <= LONGEST);
        }
    }

    #[test]
    fn identities_keep_their_fields_apart() {
        assert_ne!(identity([b"ab".as_slice(), b"c"]), identity([b"a".as_slice(), b"bc"]));
        assert_ne!(identity([b"a".as_slice()]), identity([b"a".as_slice(), b""]));
    }

    /// Of two doubles next to each other, the draw itself decides.
    #[test]
    fn a_chance_is_taken_below_its_probability_and_not_at_it() {
        let whole = 2f64.powi(64);
        let event = (0..100_000).find(|n| draws(*n).next_u64().trailing_zeros() >= 11).unwrap();
        let drawn = draws(event).next_u64() as f64 / whole;
        assert!(!draws(event).chance(drawn));
        assert!(draws(event).chance(drawn.next_up()));
        assert!(!draws(event).chance(drawn.next_down()));
    }

    #[test]
    fn draws_apart_do_not_depend_on_what_was_drawn_before() {
        let mut drawn = draws(3);
        let before = drawn.apart(1).next_u64();
        drawn.next_u64();
        assert_eq!(drawn.apart(1).next_u64(), before);
        assert_ne!(drawn.apart(2).next_u64(), before);
    }

    #[test]
    fn a_normal_time_is_as_far_above_its_mean_as_the_draw_says() {
        let (mean, deviation) = (Duration::from_secs(100), Duration::from_secs(2));
        for n in 0..100 {
            let expected = 100.0 + 2.0 * draws(n).standard_normal();
            let drawn = Distribution::Normal { mean, deviation }.draw(&mut draws(n)).as_secs_f64();
            assert!((drawn - expected).abs() < 1e-6, "{drawn} {expected}");
        }
    }

    #[test]
    fn only_a_fixed_time_is_fixed() {
        let second = Duration::from_secs(1);
        assert!(Distribution::Fixed(second).is_fixed());
        assert!(!Distribution::Uniform { from: second, to: second }.is_fixed());
        assert!(!Distribution::Normal { mean: second, deviation: second }.is_fixed());
        assert!(!Distribution::Pareto { least: second, shape: 2.0 }.is_fixed());
    }
}

//! Faults of the connection itself, below any request: they strike bytes. A rule of `on_connect` gives them to a session when it
//! begins; the gateway's `link` carries them out between the client's socket and the session, as long as the rule is in force.
//!
//! What varies is drawn by the session (its listener, its address, and the how-manieth of them it is) and the place in the
//! stream: never by how the kernel happens to cut it.

use crate::policy::random::Distribution;
use std::fmt;
use std::time::Duration;

/// Which way bytes go: `Up` is from the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Up,
    Down,
    Both,
}

impl Way {
    pub fn from_name(name: &str) -> Option<Way> {
        match name {
            "up" => Some(Way::Up),
            "down" => Some(Way::Down),
            "both" => Some(Way::Both),
            _ => None,
        }
    }

    pub fn covers(self, other: Way) -> bool {
        self == other || self == Way::Both
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::Up => "up",
            Way::Down => "down",
            Way::Both => "both",
        })
    }
}

/// What is done to the bytes of a session.
#[derive(Debug, Clone, PartialEq)]
pub enum LinkFault {
    /// The client gets so many bytes, and then the end of the stream.
    CloseAfterBytes(u64),
    /// So many answers reach the client, and then the end of the stream.
    CloseAfterRequests(u64),
    /// The connection stands, and nothing ever comes of it, either way.
    HalfOpen,
    /// What is sent this way does not arrive.
    Blackhole(Way),
    /// The end of the connection arrives that much later.
    SlowClose(Duration),
    /// After so many bytes nothing more arrives, for a time or as long as the rule is there.
    Stall { after: u64, time: Option<Duration>, way: Way },
    /// Every frame arrives that much later. Drawn for each frame.
    Latency(Distribution, Way),
    /// Bytes a second, after so many that are free.
    Bandwidth { rate: u64, burst: u64, way: Way },
    /// Pieces of this size, each so long after the one before.
    Fragment { size: usize, gap: Duration, way: Way },
    /// One bit is turned in each byte with this probability.
    CorruptBytes(f64, Way),
}

impl LinkFault {
    /// The word that writes it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::CloseAfterBytes(_) | Self::CloseAfterRequests(_) => "close_after",
            Self::HalfOpen => "half_open",
            Self::Blackhole(_) => "blackhole",
            Self::SlowClose(_) => "slow_close",
            Self::Stall { .. } => "stall",
            Self::Latency(..) => "latency",
            Self::Bandwidth { .. } => "bandwidth",
            Self::Fragment { .. } => "fragment",
            Self::CorruptBytes(..) => "corrupt_bytes",
        }
    }

    /// Which ways it strikes.
    pub fn way(&self) -> Way {
        match self {
            // both the end a client makes and the one it is told
            Self::HalfOpen | Self::SlowClose(_) => Way::Both,
            Self::CloseAfterBytes(_) | Self::CloseAfterRequests(_) => Way::Down,
            Self::Blackhole(way)
            | Self::Stall { way, .. }
            | Self::Latency(_, way)
            | Self::Bandwidth { way, .. }
            | Self::Fragment { way, .. }
            | Self::CorruptBytes(_, way) => *way,
        }
    }

    /// Its arguments, as the journal names them.
    pub fn parameter(&self) -> String {
        match self {
            Self::CloseAfterBytes(n) => format!("bytes, {n}"),
            Self::CloseAfterRequests(n) => format!("requests, {n}"),
            Self::HalfOpen => String::new(),
            Self::Blackhole(way) => way.to_string(),
            Self::SlowClose(time) => format!("{time:?}"),
            Self::Stall { after, time: Some(time), way } => format!("{after}, {time:?}, {way}"),
            Self::Stall { after, time: None, way } => format!("{after}, {way}"),
            Self::Latency(time, way) => format!("{time}, {way}"),
            Self::Bandwidth { rate, burst, way } => format!("{rate}, {burst}, {way}"),
            Self::Fragment { size, gap, way } => format!("{size}, {gap:?}, {way}"),
            Self::CorruptBytes(p, way) => format!("{p}, {way}"),
        }
    }

    /// Whether something about it is drawn.
    pub fn draws(&self) -> bool {
        match self {
            Self::Latency(time, _) => !time.is_fixed(),
            Self::CorruptBytes(..) => true,
            _ => false,
        }
    }
}

impl fmt::Display for LinkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.word(), self.parameter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_one_or_both() {
        for way in [Way::Up, Way::Down, Way::Both] {
            assert_eq!(Way::from_name(&way.to_string()), Some(way));
        }
        assert_eq!(Way::from_name("sideways"), None);
        assert!(Way::Up.covers(Way::Up) && Way::Both.covers(Way::Up) && Way::Both.covers(Way::Down));
        assert!(!Way::Up.covers(Way::Down) && !Way::Down.covers(Way::Up));
    }

    #[test]
    fn what_varies_is_drawn() {
        let fixed = Distribution::Fixed(Duration::from_secs(1));
        let varies = Distribution::Uniform { from: Duration::ZERO, to: Duration::from_secs(1) };
        assert!(LinkFault::Latency(varies, Way::Up).draws());
        assert!(LinkFault::CorruptBytes(0.1, Way::Up).draws());
        assert!(!LinkFault::Latency(fixed, Way::Up).draws());
        assert!(!LinkFault::HalfOpen.draws());
    }
}

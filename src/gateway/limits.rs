//! Everything a stranger can grow, and how far.

use std::time::Duration;

/// Bounds on sessions, frames and time. Every value is enforced; 0 is not "unlimited" anywhere.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Largest request frame, in bytes (Kafka's `socket.request.max.bytes`).
    pub max_frame_bytes: usize,
    /// Largest frame of a client that has not authenticated yet.
    pub max_frame_bytes_unauthenticated: usize,
    /// Sessions of all listeners together.
    pub max_sessions: usize,
    /// TLS handshakes at a time: each may keep 130 KB of what a stranger sends.
    pub max_handshakes: usize,
    /// Sessions of one remote address.
    pub max_sessions_per_address: usize,
    /// Bytes of requests being gathered or waiting for their effects, all sessions together.
    pub request_memory_bytes: usize,
    /// Bytes of responses held back in one session; past it the session is not read.
    pub held_bytes_per_session: usize,
    /// The same for all sessions together.
    pub held_bytes: usize,
    /// A response that must be held back, or looked into, waits so long for memory; then its session ends.
    pub memory_timeout: Duration,
    /// Exchanges of one session whose answers are still owed; past it the session is not read.
    pub max_in_flight: usize,
    /// A frame must be complete this long after its first byte.
    pub frame_timeout: Duration,
    /// A session without a request for so long is closed (Kafka's `connections.max.idle.ms`).
    pub idle_timeout: Duration,
    /// A session that has not completed its TLS handshake, and its login on a listener with SASL, is closed by then.
    pub authentication_timeout: Duration,
    /// A client that takes no bytes for so long is closed.
    pub write_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_frame_bytes: 100 * 1024 * 1024,
            max_frame_bytes_unauthenticated: 64 * 1024,
            max_sessions: 20_000,
            max_handshakes: 2_000,
            max_sessions_per_address: 20_000,
            request_memory_bytes: 512 * 1024 * 1024,
            held_bytes_per_session: 16 * 1024 * 1024,
            held_bytes: 256 * 1024 * 1024,
            memory_timeout: Duration::from_secs(30),
            max_in_flight: 100,
            frame_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(600),
            authentication_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(60),
        }
    }
}

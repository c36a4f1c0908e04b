//! Why sessions end: a closed set, the label of a metric.

use std::fmt;

/// The cause of a session's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndCause {
    /// The client closed its side between frames.
    ClientClosed,
    /// The client closed its side in the middle of a frame.
    ClientClosedMidFrame,
    /// The operating system reported an error on the connection.
    Connection,
    FrameTooLarge,
    FrameTimeout,
    Idle,
    WriteTimeout,
    /// Another protocol's greeting.
    Tls,
    /// No TLS on a listener that speaks nothing else.
    PlaintextOnTls,
    /// The TLS handshake came to nothing.
    TlsHandshake,
    Http,
    /// Bytes that are no Kafka request.
    Malformed,
    UnknownApi,
    UnsupportedVersion,
    /// A request before authentication on a listener that wants it.
    Unauthenticated,
    AuthenticationFailed,
    AuthenticationTimeout,
    /// Its login was good for a time, and it did not log in again.
    LoginExpired,
    /// The upstream or a policy failed an exchange that has no response (acks=0): closing is all that can be said.
    NoPlaceForError,
    /// A record source could not be read while its response was being sent.
    StorageRead,
    /// No memory came free in time to gather a request.
    RequestMemory,
    /// No memory came free in time to hold a response.
    ResponseMemory,
    /// A rule's `disconnect` or `reset`.
    PolicyDisconnect,
    PolicyReset,
    /// Too many sessions, in all or of one address.
    TooManySessions,
    /// Its address opened more connections than its quota allows.
    ConnectionRate,
    /// The process is shutting down.
    Shutdown,
}

impl EndCause {
    pub const ALL: &[EndCause] = &[
        EndCause::ClientClosed,
        EndCause::ClientClosedMidFrame,
        EndCause::Connection,
        EndCause::FrameTooLarge,
        EndCause::FrameTimeout,
        EndCause::Idle,
        EndCause::WriteTimeout,
        EndCause::Tls,
        EndCause::PlaintextOnTls,
        EndCause::TlsHandshake,
        EndCause::Http,
        EndCause::Malformed,
        EndCause::UnknownApi,
        EndCause::UnsupportedVersion,
        EndCause::Unauthenticated,
        EndCause::AuthenticationFailed,
        EndCause::AuthenticationTimeout,
        EndCause::LoginExpired,
        EndCause::NoPlaceForError,
        EndCause::StorageRead,
        EndCause::RequestMemory,
        EndCause::ResponseMemory,
        EndCause::PolicyDisconnect,
        EndCause::PolicyReset,
        EndCause::TooManySessions,
        EndCause::ConnectionRate,
        EndCause::Shutdown,
    ];

    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            EndCause::ClientClosed => "client_closed",
            EndCause::ClientClosedMidFrame => "client_closed_mid_frame",
            EndCause::Connection => "connection_error",
            EndCause::FrameTooLarge => "frame_too_large",
            EndCause::FrameTimeout => "frame_timeout",
            EndCause::Idle => "idle",
            EndCause::WriteTimeout => "write_timeout",
            EndCause::Tls => "tls_on_plaintext",
            EndCause::PlaintextOnTls => "plaintext_on_tls",
            EndCause::TlsHandshake => "tls_handshake",
            EndCause::Http => "http",
            EndCause::Malformed => "malformed",
            EndCause::UnknownApi => "unknown_api",
            EndCause::UnsupportedVersion => "unsupported_version",
            EndCause::Unauthenticated => "unauthenticated",
            EndCause::AuthenticationFailed => "authentication_failed",
            EndCause::AuthenticationTimeout => "authentication_timeout",
            EndCause::LoginExpired => "login_expired",
            EndCause::NoPlaceForError => "no_place_for_error",
            EndCause::StorageRead => "storage_read",
            EndCause::RequestMemory => "request_memory",
            EndCause::ResponseMemory => "response_memory",
            EndCause::PolicyDisconnect => "policy_disconnect",
            EndCause::PolicyReset => "policy_reset",
            EndCause::TooManySessions => "too_many_sessions",
            EndCause::ConnectionRate => "connection_rate",
            EndCause::Shutdown => "shutdown",
        }
    }

    /// Whether we close a connection that the peer still has open, and may still be reading.
    pub fn leaves_a_peer(self) -> bool {
        !matches!(
            self,
            EndCause::ClientClosed
                | EndCause::ClientClosedMidFrame
                | EndCause::Connection
                | EndCause::WriteTimeout
        )
    }

    /// Whether the peer did something that deserves a line in the log at its ordinary level.
    pub fn is_notable(self) -> bool {
        !matches!(
            self,
            EndCause::ClientClosed
                | EndCause::Shutdown
                | EndCause::ConnectionRate
                // the log has said more of them already
                | EndCause::TlsHandshake
                | EndCause::PlaintextOnTls
                | EndCause::Idle
                | EndCause::PolicyDisconnect
                | EndCause::PolicyReset
        )
    }
}

impl fmt::Display for EndCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

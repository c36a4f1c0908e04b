//! Between clients and an upstream: accepts sessions, cuts their bytes into requests, lets the policies decide about each
//! exchange, and sends the answers back in order and in time. It knows upstreams only by the trait in `upstream`; it must not
//! know the embedded broker, files, or scripts.
//!
//! One request, end to end: `listener` accepts, `session` runs three loops in one task. `read` gathers a frame; `pipeline` runs
//! the request stage (security, then chaos) and submits what is left; `in_flight` keeps the order; the pipeline's response
//! stage runs as answers become ready; `release` says how long rules hold one back; `write` sends each when it is its turn.
//! Records that rules route to other topics go there first (`dead_letter`).
//! `socket` is the client's connection, plain or TLS. Where faults strike the connection itself, `link` stands between the client's socket and the session.

mod auth;
pub mod budget;
mod dead_letter;
pub mod end;
mod in_flight;
pub mod limits;
pub mod link;
pub mod listener;
pub mod metrics;
mod mute;
mod off_worker;
mod pipeline;
mod read;
pub mod registry;
mod release;
mod session;
mod socket;
pub mod upstream;
mod write;

pub use auth::SaslConfig;
pub use end::EndCause;
pub use limits::Limits;
pub use listener::{Gateway, Listener, ListenerConfig};
pub use upstream::{Caller, Submitted, Upstream};

//! Tollgate: a Kafka-protocol gateway with a durable Kafka-compatible broker inside. This page is the map.
//!
//! A client connects as if to a Kafka broker. Every request and every response passes the policies, which let it through,
//! change it, refuse it or harm it on purpose; what is left of it is carried out by an upstream, today the broker in the
//! same process. Data goes one way:
//!
//! ```text
//! client bytes -> frame -> Request (header read, body opaque until someone asks)
//!    -> security rules -> chaos rules -> verdict: per part forward | answer(code); for the whole: release time, lose, end
//!    -> Upstream::submit (the forwarded parts) -> Broker::handle
//!    -> Response (opaque until someone asks), answered parts merged in, in request order
//!    -> security rules -> chaos rules -> in-order, timed release -> client bytes
//! ```
//!
//! A frame that no rule asks about is not decoded, and a large one is streamed: record batches go from file to socket as the
//! producer made them. Security rules come before chaos rules, in both directions, and fail closed; chaos fails open.
//!
//! # Words
//!
//! A *listener* is an address clients connect to; a *session* one connection, from accept to close; an *exchange* one
//! request and its response (none with acks=0); a *part* the smallest thing of an exchange that gets an answer of its own: a
//! partition, a group, a resource; an *upstream* where exchanges go. A *policy* is a script, a *rule* one statement of it, its
//! *selectors* say what it applies to, its *triggers* when it fires, its *actions* what it does; a *fault* is an action that
//! harms, an *injection* one firing of it, the *journal* the record of injections. A *verdict* is what the rules decided about
//! one exchange, a *plan* the rules that can concern one principal and client id.
//!
//! # Rooms, ground floor first
//!
//! - [`wire`]: Kafka's wire format. Frames, headers, every message of every version, record batches. Pure: no sockets, no
//!   async, nothing else of the crate. A new api begins here, as one file and one row of a table.
//! - [`storage`]: the durable log. Segments, indexes, group commit, recovery, retention, and the key-value store of the
//!   catalogue, all behind one trait that a simulator of power losses implements too. Knows record batches, no topics.
//! - [`broker`]: the embedded broker. One handler an api over the log; topics, groups, producers, fetch sessions. Knows no
//!   sockets and no policies.
//! - [`security`]: who is on the other side. SASL mechanisms, principals, users, secrets. Knows not what a principal may do.
//! - [`policy`]: what the scripts say. Rhai scripts build rules once; native code applies them. Selectors, triggers, actions
//!   and faults are a small file each; draws are hashes of what happened, never of a global generator.
//! - [`gateway`]: sockets, sessions and the pipeline above. Knows upstreams by a trait, never the broker.
//! - [`admin`]: metrics, health, what is in force and who is connected, over HTTP; and changes of the policies
//!   while the process runs. Knows nobody: it reads and asks the handles it is given.
//! - [`app`]: the program. Command line and configuration, what is built from them, reload, shutdown. The only room that
//!   joins others: where a lower room needs a higher one's service it states a trait, and `app` gives it.
//!
//! Lower rooms never import higher ones, and broker and gateway never each other: `tests/layering.rs` enforces it. How to add
//! an api, an action, a fault or a setting: `CONTRIBUTING.md`.
#![forbid(unsafe_code)]

pub mod admin;
pub mod app;
pub mod broker;
pub mod gateway;
pub mod policy;
pub mod security;
pub mod storage;
pub mod wire;

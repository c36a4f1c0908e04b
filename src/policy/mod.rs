//! What the scripts say: which exchanges are let through, changed, refused or harmed.
//!
//! A policy is a Rhai script. Run once when it is loaded (`script`), it builds rules of plain Rust data (`rule`,
//! `selector`, `trigger`, `action`, `fault`); a set of policies in force is a generation (`generation`), which
//! gives each client the rules that can concern it (`plan`). `evaluate` applies them to a request and to its
//! response and gives a `verdict`, which the gateway carries out:
//!
//! ```text
//! *.rhai -> load (watch) -> script -> rules -> generation -> plan (of one client) -> evaluate -> verdict
//!                                                      ^                        |
//!                               identity, random, state (what outlives a generation), journal, audit
//! ```
//!
//! Records on their way to dead-letter topics are remembered in `letters`; `schema` is what values are held against.
//! `testing` runs the tests of policy files, `tools` what people ask of policies, `capture` is recorded sessions that they are tried on, and
//! `import` makes policies of another gateway's.
//!
//! What is added and switched off while the process runs is in `control`; what is off is not in the generation.
//!
//! Security rules come strictly before chaos, in both directions, and fail closed; chaos rules fail open. A draw
//! is a hash of (seed, rule, event, attempt), never of a global generator: see `identity` and `random`.
//!
//! The room knows `wire` and `security`. It must not know sockets, sessions beyond [`generation::Who`], or where
//! requests go: what it needs of the upstream it asks through [`names::TopicIds`].

pub mod access;
pub mod acl;
pub mod action;
pub mod capture;
pub mod clock;
pub mod control;
mod cursor;
pub mod error;
pub mod evaluate;
pub mod fault;
pub mod generation;
pub mod glob;
pub mod identity;
pub mod import;
pub mod journal;
pub mod letters;
pub mod load;
mod lru;
pub mod names;
mod pause;
pub mod plan;
pub mod random;
pub mod replay;
pub mod rule;
pub mod schema;
pub mod script;
pub mod secrets;
pub mod selector;
pub mod sequences;
pub mod state;
pub mod template;
pub mod testing;
pub mod tools;
pub mod trigger;
pub mod verdict;
pub mod waits;
pub mod watch;

pub use error::LoadError;
pub use evaluate::{ExchangeContext, on_connect};
pub use generation::{Generation, Policies, Settings, Shared, Who};
pub use plan::{Plan, PlanSlot};
pub use verdict::{ConnectVerdict, End, Interest, Lose, Outcome, ResponseVerdict, Verdict};

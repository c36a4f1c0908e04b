//! The window for operators: metrics, health, what is in force, who is connected, over HTTP.
//!
//! The room reads; it changes nothing, and it imports no other room. What it shows comes through the handles it is
//! given ([`AdminHandles`]), which app fills with views of the rooms. It trusts its peers with the names it shows (users,
//! topics, client ids), so it listens on loopback unless told otherwise, and then refuses requests a web page made
//! a browser send.

pub mod collect;
pub mod handles;
pub mod memory;
mod policy;
mod process;
mod routes;
mod server;

pub use handles::{
    AdminHandles, LineCounts, PoliciesStatus, PoliciesView, PolicyCounts, PolicyStatus, Readiness,
    ReadinessView, RuleStatus, SessionStatus, SessionsPage, SessionsView,
};
pub use policy::PolicyCollector;
pub use process::ProcessCollector;
pub use server::{Limits, serve};

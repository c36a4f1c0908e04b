//! The window for operators: metrics, health, what is in force, who is connected, over HTTP. And the door for changes of the
//! policies while the process runs.
//!
//! The room imports no other room. What it shows and whom it asks for a change comes through the handles it is given
//! ([`AdminHandles`]), which app fills. One table of routes (`table`) is what is answered (`routes`) and what is described
//! (`openapi`). It trusts its peers with the names it shows (users, topics, client ids), so it listens on loopback unless
//! told otherwise, and then refuses requests a web page made a browser send. Who may make changes is in `guard`.

pub mod collect;
pub mod control;
mod guard;
pub mod handles;
pub mod memory;
mod openapi;
mod policy;
mod process;
mod routes;
mod server;
mod table;
pub mod toxiproxy;

pub use handles::{
    AdminHandles, Certificates, LineCounts, PoliciesStatus, PoliciesView, PolicyCounts, PolicyScript,
    PolicyStatus, Readiness, ReadinessView, RuleOfPolicy, RuleStatus, RulesStatus, SessionStatus,
    SessionsPage, SessionsView,
};
pub use policy::PolicyCollector;
pub use process::ProcessCollector;
pub use server::{Limits, serve};

//! What the scripts say.
pub mod action;
pub mod clock;
pub mod error;
pub mod fault;
pub mod glob;
pub mod identity;
mod lru;
pub mod random;
pub mod rule;
pub mod script;
pub mod secrets;
pub mod selector;
pub mod state;
pub mod template;
pub mod trigger;
pub mod verdict;

//! What the scripts say.
pub mod clock;
pub mod error;
pub mod glob;
pub mod identity;
mod lru;
pub mod random;
pub mod selector;
pub mod state;
pub mod trigger;

//! The program: what was typed ([`cli`], [`settings`], [`sources`]), what it comes to ([`config`]), and what is built from it.
//!
//! The only room that joins others, and the only one that reads variables, prints, or ends the process. Reading is kept
//! apart from doing: everything up to [`config::Config`] is pure.

pub mod config;
pub mod failure;
pub mod settings;
pub mod sources;
pub mod values;

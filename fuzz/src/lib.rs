//! What is fuzzed: a module a target, each one function of bytes that panics when something is wrong. `cargo fuzz` feeds
//! them (`scripts/fuzz`), and so does `cargo test` with the inputs that once showed a bug (`tests/fuzz_inputs.rs`).

pub mod capture;
pub mod config;
pub mod frames;
pub mod interceptors;
pub mod masks;
pub mod paths;
pub mod records;
pub mod recovery;
pub mod requests;
pub mod responses;
pub mod sasl;
pub mod users;

/// One target: its name, and what takes an input.
pub type Target = (&'static str, fn(&[u8]));

/// All of them, for who runs inputs by the target's name.
pub const TARGETS: &[Target] = &[
    ("capture", capture::run),
    ("config", config::run),
    ("frames", frames::run),
    ("interceptors", interceptors::run),
    ("masks", masks::run),
    ("paths", paths::run),
    ("records", records::run),
    ("recovery", recovery::run),
    ("requests", requests::run),
    ("responses", responses::run),
    ("sasl", sasl::run),
    ("users", users::run),
];

//! The embedded broker, asked as a client asks it: every request is encoded and parsed, every answer too, so that the
//! layouts of all versions are met. No sockets, and time moves by hand.

#[macro_use]
mod bench;
mod acls;
mod basics;
mod cluster;
mod configs;
mod differences;
mod disk_full;
mod fetch;
mod idempotence;
mod log_dirs;
mod offsets;
mod produce;
mod quotas;
mod resources;
mod restart;
mod scale;
mod scram;
mod sessions;
mod topics;
mod truncate;
mod versions;

//! Tollgate: a Kafka-protocol gateway with a durable Kafka-compatible broker inside.
#![deny(unsafe_code)]

pub mod wire;
pub mod storage;
pub mod broker;
pub mod security;
pub mod policy;
pub mod gateway;
pub mod admin;
pub mod app;

//! Tollgate: a Kafka-protocol gateway with a durable Kafka-compatible broker inside.
#![deny(unsafe_code)]

pub mod admin;
pub mod app;
pub mod broker;
pub mod gateway;
pub mod policy;
pub mod security;
pub mod storage;
pub mod wire;

//! Kafka wire format.
pub mod record;

//! The Kafka side of the HTTP API and the commands: posts prices, reads notifications and dead letters.

pub(crate) mod dead_letters;
pub(crate) mod intake;
pub(crate) mod outbox;

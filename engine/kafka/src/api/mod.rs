//! What the HTTP API and the commands use: prices in, notifications and dead letters out.

pub(crate) mod dead_letters;
pub(crate) mod intake;
pub(crate) mod outbox;

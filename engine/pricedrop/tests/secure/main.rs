//! The engine on servers that ask who it is: over TLS, by password, with no
//! more rights than docs/operations.md and schema/redis.md list, and with less.
#![allow(clippy::unwrap_used)]

mod less;
mod listing;
mod rig;
mod whole;

//! The engine on servers with authentication and TLS: with exactly the permissions that
//! docs/operations.md and schema/redis.md list, and with fewer.
#![allow(clippy::unwrap_used)]

mod documented_rights;
mod listed_rights;
mod missing_rights;
mod rig;

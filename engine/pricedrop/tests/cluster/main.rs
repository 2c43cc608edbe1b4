//! The binary on real servers: starting, refusing to start, stopping, and its commands. Which users
//! are notified is tested by `campaigns`.
#![allow(clippy::unwrap_used)]

mod archive;
mod channels;
mod delivering;
mod doctor;
mod formats;
mod migration;
#[path = "../providers/mod.rs"]
mod providers;
mod replay;
mod running;
mod starting;
mod support;
mod topics;

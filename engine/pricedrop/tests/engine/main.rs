//! The embedded engine as a user runs it: the process, its API, its commands.
#![allow(clippy::unwrap_used)]

mod api;
mod buckets;
mod commands;
mod damaged;
mod everyday;
mod guarding;
mod hostile_server;
mod inputs;
mod metrics;
mod stopping;
mod support;

//! The binary as a user has it: a running engine, its API, its commands.
#![allow(clippy::unwrap_used)]

mod api;
mod buckets;
mod commands;
mod guarding;
mod metrics;
mod stopping;
mod support;

//! Tests of delivery: the binary with its shipped channels, and servers with faults.
#![allow(missing_docs, clippy::unwrap_used)]

mod browser;
mod channels;
mod chat;
mod console;
mod crashes;
mod mail;
mod memory;
#[path = "../providers/mod.rs"]
mod providers;
mod push;
mod secrets;
mod sms;
mod support;
mod swap;
mod webhook;

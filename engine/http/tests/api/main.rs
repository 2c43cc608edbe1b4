//! Responses of the API: every route over given ports, with statuses and bodies. Each test
//! serves an API of its own on a free loopback port.
#![allow(clippy::unwrap_used)]

mod bodies;
mod dlq;
mod encodings;
mod engine;
mod fakes;
mod guard;
mod notifications;
mod prices;
mod recipients;
mod rig;
mod slow;
mod unavailable;
mod watches;

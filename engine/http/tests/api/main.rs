//! What the API answers: every route over the ports it is given, with statuses and bodies.
//! Each test serves an API of its own on a free port of loopback.
#![allow(clippy::unwrap_used)]

mod away;
mod bodies;
mod dlq;
mod engine;
mod fakes;
mod guard;
mod notifications;
mod prices;
mod recipients;
mod rig;
mod watches;

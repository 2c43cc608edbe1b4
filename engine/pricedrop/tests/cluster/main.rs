//! The binary on real servers: starting, refusing, stopping, and what its
//! commands and its doctor say. What is told to whom is proven elsewhere.
#![allow(clippy::unwrap_used)]

mod archive;
mod channels;
mod delivering;
mod doctor;
mod formats;
mod moving;
#[path = "../providers/mod.rs"]
mod providers;
mod replay;
mod running;
mod starting;
mod support;
mod topics;

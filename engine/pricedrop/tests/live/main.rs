//! A running embedded engine compared with `pricedrop simulate`, both as processes
//! that read the same files.

#![allow(missing_docs, clippy::unwrap_used)]

mod archive;
mod equals_simulate;
mod files;
mod killed_engine;
mod reloads;
mod simulate;

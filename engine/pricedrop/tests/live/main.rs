//! The running engine and its offline twin, as processes: files in, answers
//! compared.

#![allow(missing_docs, clippy::unwrap_used)]

mod archive;
mod equals_simulate;
mod files;
mod mortal;
mod reloads;
mod simulate;

//! The running engine and its offline twin, as processes: files in, answers
//! compared.

#![allow(missing_docs, clippy::unwrap_used)]

mod equals_simulate;
mod files;
mod reloads;
mod simulate;

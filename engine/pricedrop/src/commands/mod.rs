//! One file per command.

pub mod buckets;
pub mod config;
pub mod dlq;
mod import;
mod listing;
pub mod notifications;
pub mod plugin;
pub mod recipient;
pub mod simulate;
pub mod watch;

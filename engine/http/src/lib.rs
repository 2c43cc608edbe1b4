//! The HTTP API of the engine: posting prices; watches, recipients, notifications and dead letters;
//! health and metrics.
//!
//! ```text
//! guard.rs (access) ──▶ routes.rs ──▶ prices · watches · recipients ·
//!                                     notifications · dlq · engine
//!                                         │
//!                         Api: the model's ports, and the engine as a whole (api.rs)
//! ```
//!
//! Invariant: a write is answered only after its port says that it is durable. No adapter is named
//! here: the binary passes an [`Api`] of ports.

mod api;
mod body;
mod connections;
mod dlq;
mod encoding;
mod engine;
mod guard;
mod metrics;
mod notifications;
mod options;
mod pages;
mod prices;
mod problem;
mod recipients;
mod routes;
mod server;
mod state;
mod watches;

pub use api::Api;
pub use body::{read_recipient, read_watch};
pub use options::{Error, Options};
pub use problem::ProblemBody;
pub use server::{Bound, bind};

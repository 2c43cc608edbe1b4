//! The HTTP API of the engine: prices in, watches and recipients, what was
//! told, what died, health and metrics.
//!
//! ```text
//! guard.rs (who may ask) ──▶ routes.rs ──▶ prices · watches · recipients ·
//!                                          notifications · dlq · engine
//!                                              │
//!                              Api: the model's ports, and the engine as a whole (api.rs)
//! ```
//!
//! It names no adapter: the binary hands it an [`Api`] of ports. A write is
//! answered when its port says that it is durable.

mod api;
mod body;
mod dlq;
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
pub use problem::Problem;
pub use server::{Bound, bind};

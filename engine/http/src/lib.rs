//! The HTTP API of the engine: prices in, watches and recipients, what was
//! told, what died, health and metrics.
//!
//! ```text
//! guard.rs (who may ask) ──▶ routes.rs ──▶ prices · watches · recipients ·
//!                                          notifications · dead_letters · engine
//!                                              │
//!                              Api: the model's seams, and three of its own (seams.rs)
//! ```
//!
//! It names no adapter: the binary hands it an [`Api`] of seams. A write is
//! answered when its seam says that it is durable.

mod body;
mod dead_letters;
mod engine;
mod guard;
mod metrics;
mod notifications;
mod pages;
mod prices;
mod problem;
mod recipients;
mod routes;
mod seams;
mod server;
mod watches;

pub use body::{read_recipient, read_watch};
pub use metrics::{Figure, Measure, MeasureKind};
pub use problem::Problem;
pub use seams::{
    Api, Engine, IntakeError, MigrateError, NewRecord, Outbox, Posted, PriceIntake, Reason, Severity,
};
pub use server::{Bound, Error, Options, bind};

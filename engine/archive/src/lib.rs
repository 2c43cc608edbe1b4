//! The archive: copies the records of topics to objects in a bucket, and verifies and reads them.
//!
//! Invariant: each record is archived exactly once, whatever process is killed.
//!
//! ```text
//! topic ─▶ Archiver ─▶ object::Builder ─▶ Chain::append ─▶ bucket
//!                                                            │
//!                            status · verify · replay ◀─ Reader
//! ```
//!
//! This crate does not know Kafka or the embedded store: both implement
//! [`pricedrop_model::archive::ArchiveSource`].

mod archiver;
mod assigned;
mod bucket;
mod chain;
mod error;
mod metrics;
mod name;
mod object;
mod pause;
mod read;
mod record;

pub use archiver::{Archiver, Limits};
pub use bucket::{AccessKey, Bucket, Options};
pub use chain::{Appended, Chain, LastRecord, Link, LinkedObject};
pub use error::Error;
pub use metrics::{Metrics, Snapshot};
pub use name::{Range, Source};
pub use object::{Builder, Closed, Object};
pub use read::{Finding, PartitionStatus, Reader};
pub use record::Line;

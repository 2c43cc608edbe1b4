//! The archive: records of topics as chains of objects in a bucket, complete and exactly
//! once, whatever is killed.
//!
//! ```text
//! topic ─▶ Archiver ─▶ object::Builder ─▶ Chain::append ─▶ bucket
//!                                                            │
//!                            status · verify · replay ◀─ Reader
//! ```
//!
//! Nothing here knows Kafka or the embedded store: they implement
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

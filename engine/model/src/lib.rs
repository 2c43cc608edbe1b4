//! Data types and ports: the plain types of every stage, and the traits (ports) between the core
//! and its adapters.
//!
//! ```text
//!  Record ──▶ Update ──▶ ProductState ──▶ FanOut ──▶ Notification ──▶ Message
//!  (bytes)   (parsed)   (per product)   (one drop)   (one user)    (one address)
//! ```
//!
//! Invariant: prices, names, currencies and times are parsed once, here; afterwards their types
//! admit only valid values. Invariant: nothing here does I/O, and only `SystemClock` reads a clock.
//! Adapters and the plugin runtime do not belong here.

pub mod access;
pub mod archive;
pub mod backoff;
pub mod breaker;
pub mod cache;
pub mod cause;
pub mod channel;
pub mod dead_letter_id;
pub mod dispatch;
pub mod engine;
pub mod entries;
pub mod fan_out;
pub mod floor;
pub mod foreign_format;
pub mod health;
pub mod histogram;
pub mod intake;
pub mod limits;
pub mod migration;
pub mod names;
pub mod notification;
pub mod plugin;
pub mod ports;
pub mod price;
pub mod retry_index;
pub mod rules;
pub mod state;
pub mod sync;
pub mod time;
pub mod update;
pub mod watch;

pub use cause::Cause;
pub use fan_out::{Cursor, FanOut, FanOutBlock, ReadPath};
pub use floor::{Floor, LedgerEntry};
pub use names::{BucketId, Currency, Partition, Position, ProductId, UserId};
pub use notification::{Notification, NotificationId};
pub use price::Price;
pub use rules::{FirstPrice, Hysteresis, Mode, Rules};
pub use state::{Evaluated, OnceRange, Pending, ProductState, StateKey};
pub use time::{Clock, EventTime, WallTime};
pub use update::{Priced, Record, Unreadable, Update};
pub use watch::{Removal, ViewTime, Watch, WatchPage, WatchRow, WriteTime};

//! The plugin host: loads WebAssembly plugins from a folder, enforces their contracts and limits,
//! replaces them while they are in use, and rolls back a new generation that fails.
//!
//! Invariant: plugins do no I/O. A channel says what to send; `engine/outbound` sends it.
//!
//! ```text
//!  folder ──▶ reload ──▶ host ──▶ load ──▶ wrap, cache, contract, settings,
//!  (events,   (when)     (which   (checks) sidecar, load_check, cases
//!   stats)                serves)
//!                          │                        plugin ──▶ store, wasi, log
//!  callers ◀── Plugins ────┘ ◀── registry, last_good  │        (one instance)
//!                                   ▲                 ▼
//!                                   └── roll back ── health
//! ```
//!
//! Calls run on the caller's thread. It needs [`limits::STACK_BYTES`] of free stack, and must not
//! run asynchronous tasks.

pub mod error;
pub mod limits;

mod access_check;
mod cache;
mod cases;
mod check;
mod contract;
mod digest;
mod engine;
mod files;
mod folder;
mod health;
mod host;
mod last_good;
mod load;
mod load_check;
mod loaded;
mod log;
mod meta;
mod metrics;
mod options;
mod plugin;
mod preview;
mod probation;
mod registry;
mod reload;
mod samples;
mod settings;
mod sidecar;
mod status;
mod store;
mod wasi;
mod wrap;

pub use access_check::AccessCheck;
pub use check::{Report, check};
pub use error::{Error, LoadError};
pub use host::Host;
pub use limits::Limits;
pub use options::Options;
pub use preview::{Preview, preview};
pub use reload::Watching;

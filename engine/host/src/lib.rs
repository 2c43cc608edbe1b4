//! The host of plugins: loads them from a folder, holds them to their
//! contracts and limits, swaps them while they are in use, and goes back to
//! the one before when a new one fails. Plugins do no I/O; what a channel
//! wants sent is sent by somebody else.
//!
//! ```text
//!  folder ──▶ reload ──▶ host ──▶ load ──▶ wrap, cache, contract, settings,
//!  (hints,    (when?)   (which    (may it    sidecar, load_check, cases
//!   marks)               serves?)  serve?)
//!                          │                      plugin ──▶ store, wasi, log
//!  callers ◀── Plugins ────┘ ◀── slots, last_good   │        (one instance)
//!                                   ▲               ▼
//!                                   └─── gives way ─ health
//! ```
//!
//! Calls run on the caller's thread, which must have [`limits::STACK_BYTES`]
//! of stack to spare and not be one that drives asynchronous tasks.

pub mod error;
pub mod limits;

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
mod reload;
mod samples;
mod settings;
mod sidecar;
mod slots;
mod status;
mod store;
mod wasi;
mod wrap;

pub use check::{Report, check};
pub use error::{Error, Refusal};
pub use host::Host;
pub use limits::Limits;
pub use options::Options;
pub use preview::{Preview, preview};
pub use reload::Watching;

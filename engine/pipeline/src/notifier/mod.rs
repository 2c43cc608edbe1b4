//! From an update to its fan-out: reads records, decides, looks up watchers,
//! commits, answers.
//!
//! ```text
//! source ─▶ waiting ─▶ stale? ─▶ throttle ─▶ evaluate ─▶ read, tell ─▶ prepared ─▶ commit ─▶ settled
//!             ▲                      │                      │                        │
//!             │         pending, due timers      unfinished fan-outs                 │
//!             └── put back, both batches ◀── nothing happened ◀──────────────────────┤
//!                 restore  ◀──── outcome unknown, partitions moved ◀─────────────────┘
//! ```
//!
//! While one batch commits, the next is decided, from the states as the first
//! leaves them. Both run in one task and share nothing: no lock, no thread.
//!
//! | File | What it owns |
//! |---|---|
//! | `run` | the loop, and what follows a failure |
//! | `cycle` | the ports; what lies between two batches |
//! | `intake`, `input_progress` | records that wait; fan-outs, timers and offsets |
//! | `prepared` | a decided batch until it is committed |
//! | `batch` | one batch while it is decided |
//! | `record_queue`, `states`, `budget`, `decided` | a batch's records, states, room and results |
//! | `throttle`, `fan_out_reader`, `prefetch` | the throttling policy; the view of watches; its hints |
//!
//! Invariant: what a cycle changes lives in its [`batch::Batch`] until it is
//! decided, and in one prepared batch until the commit has it. At most one batch
//! is prepared. A cycle that fails leaves nothing behind but records put back;
//! a commit that fails takes the batch decided beside it along.
//!
//! Invariant: nothing is told of a record before its commit, and nothing waits
//! but for its own: a prepared batch is committed as soon as the input has
//! nothing more at hand, and answered while the next is still being decided.

mod batch;
mod budget;
mod cycle;
mod decided;
mod error;
mod fan_out_reader;
mod input_progress;
mod intake;
mod metrics;
mod options;
mod prefetch;
mod prepared;
mod record_queue;
mod run;
mod states;
mod throttle;
mod trouble;

pub use error::Stop;
pub use metrics::Metrics;
pub use options::Options;
pub use run::Notifier;
pub use trouble::Trouble;

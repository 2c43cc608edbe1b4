//! Turns updates into notifications: reads records, decides which users each price drop notifies,
//! commits the result, and reports the outcome of each record.
//!
//! ```text
//! source ─▶ waiting ─▶ stale? ─▶ throttle ─▶ evaluate ─▶ read, tell ─▶ prepared ─▶ commit ─▶ settled
//!             ▲                      │                      │                        │
//!             │          held updates, timers      unfinished fan-outs               │
//!             └── put back, both batches ◀── nothing was committed ◀─────────────────┤
//!                 restore  ◀──── outcome unknown, or partitions reassigned ◀─────────┘
//! ```
//!
//! While one batch commits, the next is decided, from the states that the first one produces. Both
//! run in one task and share no mutable data, so there are no locks.
//!
//! | File | What it owns |
//! |---|---|
//! | `run` | the loop, and the reaction to failures |
//! | `cycle` | the ports, and what is kept between two batches |
//! | `intake`, `input_progress` | waiting records; unfinished fan-outs, timers and offsets |
//! | `prepared` | a decided batch until it is committed |
//! | `batch` | one batch while it is decided |
//! | `record_queue`, `states`, `budget`, `decided` | a batch's records, states, limits and results |
//! | `throttle`, `fan_out_reader`, `prefetch` | the throttling policy; reading watches; hints for that |
//!
//! Invariant: the changes of a cycle are in its [`batch::Batch`] until it is decided, then in the
//! prepared batch until the commit has them. At most one batch is prepared. If deciding fails,
//! its records are put back; if a commit fails, also those of the batch that was decided meanwhile.
//!
//! Invariant: the outcome of a record is reported only after its commit. A prepared batch is
//! committed at once if the input has no more records at hand, and its records are answered
//! while the next batch is still being decided.

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

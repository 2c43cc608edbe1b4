//! Who is told: the rules of the engine, pure. No async, no clock, no I/O, no
//! map of the world: one product's state, one update, one watch at a time.
//!
//! ```text
//! update ─▶ accept ─▶ (throttle) ─▶ evaluate ─▶ lookup ─▶ Teller ─▶ finish ─▶ state
//!           stale?     hold, skip     a drop?    which     who is    last, floor,
//!                                               watches?    told?    ledger, ranges
//! ```
//!
//! Invariant: `last`, floor, ledger and once-ranges change only in [`evaluate`]
//! for a price that is no drop, and in [`finish`] for one that is. So a fan-out
//! that is interrupted and resumed any number of times decides as if it had run
//! at once.

mod evaluate;
mod lookup;
mod stale;
mod tell;
mod throttle;

pub use evaluate::{Evaluation, evaluate, finish};
pub use lookup::{Lookup, lookup};
pub use stale::accept;
pub use tell::{Silence, Teller, Verdict};
pub use throttle::{hold, release};

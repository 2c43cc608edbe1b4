//! Decides which watches fire at a new price, and which users are notified. Pure functions: no async,
//! no clock, no I/O. They get one product's state, one update, one watch at a time.
//!
//! ```text
//! update ─▶ accept ─▶ (throttle) ─▶ evaluate ─▶ lookup ─▶ Matcher ─▶ finish ─▶ state
//!           stale?     hold, skip     a drop?    which     which     last, floor,
//!                                               watches?   users?    ledger, ranges
//! ```
//!
//! Invariant: `last`, floor, ledger and once-ranges change only in [`evaluate`] if the price is no
//! drop, and only in [`finish`] if it is one. So a fan-out that is interrupted and resumed any
//! number of times decides as if it had run at once.

mod evaluate;
mod lookup;
mod matcher;
mod stale;
mod throttle;

pub use evaluate::{Evaluation, evaluate, finish};
pub use lookup::{Lookup, lookup};
pub use matcher::{Decision, Matcher, Silence};
pub use stale::accept;
pub use throttle::{hold, release};

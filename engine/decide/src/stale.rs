//! Whether an update is stale, that is, older than one that was already accepted.

use pricedrop_model::{ProductState, Update};

/// Accepts an update and stores its sequence and time, or returns false because it is stale.
///
/// An update with a sequence is stale if its sequence is not above the last one, whatever its time.
/// An update without a sequence is stale if its `occurredAt` is before the latest `occurredAt`. The
/// timestamp of the record never makes an update stale.
pub fn accept(state: &mut ProductState, update: &Update) -> bool {
    let stale = match (update.sequence, update.occurred_at) {
        (Some(sequence), _) => state.sequence.is_some_and(|last| sequence <= last),
        (None, Some(at)) => state.occurred_at.is_some_and(|latest| at < latest),
        (None, None) => false,
    };
    if stale {
        return false;
    }
    state.sequence = update.sequence.or(state.sequence);
    state.occurred_at = state.occurred_at.max(update.occurred_at);
    true
}

//! Whether an update is older than what was already seen.

use pricedrop_model::{ProductState, Update};

/// Takes an update in, or says that it is stale.
///
/// A sequence decides where there is one: a newer one wins whatever its time
/// says. Without a sequence `occurredAt` decides, where there is one. A record's
/// timestamp never makes an update stale.
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

//! Folds the held updates of a product into one pending record, and returns what is evaluated when
//! the throttling policy releases them.

use pricedrop_model::plugin::Release;
use pricedrop_model::{Pending, Priced, ProductState, WallTime};

/// Adds an update to the held ones. The policy is asked about them at `due`.
pub fn hold(state: &mut ProductState, priced: Priced, now: WallTime, due: WallTime) {
    state.pending = Some(match state.pending.take() {
        None => Pending {
            first: priced.price,
            lowest: priced.clone(),
            last: priced,
            count: 1,
            since: now,
            due,
            released: false,
        },
        Some(mut pending) => {
            if priced.price < pending.lowest.price {
                pending.lowest = priced.clone();
            }
            pending.last = priced;
            pending.count = pending.count.saturating_add(1);
            pending.due = due;
            pending.released = false;
            pending
        }
    });
}

/// Applies the policy's decision on held updates that are due. Returns the update to evaluate now,
/// if any. If that is the lowest, the latest stays pending until the fan-out of the lowest is
/// finished.
pub fn release(state: &mut ProductState, release: Release) -> Option<Priced> {
    let mut pending = state.pending.take()?;
    match release {
        Release::Discard => None,
        Release::Last => Some(pending.last),
        Release::Hold(due) => {
            state.pending = Some(Pending { due, ..pending });
            None
        }
        Release::Lowest if pending.lowest.position == pending.last.position => Some(pending.last),
        Release::Lowest => {
            let lowest = std::mem::replace(&mut pending.lowest, pending.last.clone());
            state.pending = Some(Pending { first: pending.last.price, count: 1, released: true, ..pending });
            Some(lowest)
        }
    }
}

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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use pricedrop_model::{EventTime, Partition, Position};

    use super::*;

    fn priced(price: &str, offset: i64) -> Priced {
        Priced {
            price: price.parse().unwrap(),
            position: Position { partition: Partition(0), offset },
            original: None,
            event_time: EventTime(offset),
            occurred_at: None,
            title: None,
            url: None,
        }
    }

    /// Returns a state that holds these prices.
    fn holding(prices: &[&str]) -> ProductState {
        let mut state = ProductState::default();
        for (at, price) in (0..).zip(prices) {
            hold(&mut state, priced(price, at), WallTime(at), WallTime(100 + at));
        }
        state
    }

    #[test]
    fn held_updates_are_folded_into_first_last_and_the_first_of_the_lowest() {
        let pending = holding(&["10", "8", "8", "9"]).pending.unwrap();
        assert_eq!((pending.first, pending.last.position.offset), ("10".parse().unwrap(), 3));
        assert_eq!(pending.lowest.position.offset, 1);
        assert_eq!((pending.count, pending.since, pending.due), (4, WallTime(0), WallTime(103)));
        assert!(!pending.released);
    }

    #[test]
    fn a_release_returns_what_is_evaluated_and_keeps_what_is_not() {
        let mut state = holding(&["8", "9"]);
        assert_eq!(release(&mut state, Release::Hold(WallTime(500))), None);
        assert_eq!(state.pending.as_ref().unwrap().due, WallTime(500));
        assert_eq!(release(&mut state, Release::Lowest), Some(priced("8", 0)));
        let rest = state.pending.clone().unwrap();
        assert!(rest.released && rest.count == 1 && rest.first == "9".parse().unwrap());
        assert_eq!(release(&mut state, Release::Last), Some(priced("9", 1)));
        assert_eq!((state.pending.is_none(), release(&mut state, Release::Last)), (true, None));
        let mut lowest_is_last = holding(&["9", "8"]);
        assert_eq!(release(&mut lowest_is_last, Release::Lowest), Some(priced("8", 1)));
        assert_eq!(lowest_is_last.pending, None);
        let mut discarded = holding(&["9"]);
        assert_eq!((release(&mut discarded, Release::Discard), discarded.pending), (None, None));
    }

    #[test]
    fn an_update_after_a_release_is_held_again() {
        let mut state = holding(&["8", "9"]);
        release(&mut state, Release::Lowest);
        hold(&mut state, priced("7", 2), WallTime(2), WallTime(200));
        let pending = state.pending.unwrap();
        assert!(!pending.released && pending.count == 2 && pending.lowest.position.offset == 2);
    }
}

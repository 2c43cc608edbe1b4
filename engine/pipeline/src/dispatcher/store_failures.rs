//! Failures of stores while calls are retried: each reason is logged once, and their number when the
//! stores answer again.

use std::collections::BTreeMap;
use std::sync::Mutex;

use pricedrop_model::sync::lock;

/// Maximum number of reasons that are kept. Further ones are only counted.
const REASONS: usize = 64;

/// The failures since the last call that succeeded after a failure.
#[derive(Default)]
pub(super) struct StoreFailures(Mutex<BTreeMap<String, u64>>);

impl StoreFailures {
    /// Counts a failed call, and logs its reason if that is new.
    pub(super) fn failed(&self, reason: &str) {
        let mut failures = lock(&self.0);
        if let Some(count) = failures.get_mut(reason) {
            *count += 1;
            return;
        }
        if failures.len() < REASONS {
            failures.insert(reason.to_owned(), 1);
        }
        tracing::warn!(reason, "a store of the dispatcher fails; its calls are retried");
    }

    /// A call succeeded that had failed before: logs the number of failures, and forgets them.
    pub(super) fn recovered(&self) {
        let failures: u64 = std::mem::take(&mut *lock(&self.0)).into_values().sum();
        if failures > 0 {
            tracing::info!(failures, "the store of the dispatcher answers again");
        }
    }
}

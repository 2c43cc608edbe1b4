//! The queue of current prices to be written: the latest of each product, currency and partition.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard};

use pricedrop_model::StateKey;
use pricedrop_model::ports::PriceRow;
use pricedrop_model::sync::lock;
use tokio::sync::Notify;

use super::limits::{PRICES_AT_ONCE, PRICES_WAITING};

/// Rows to be written, the latest of each key.
#[derive(Default)]
pub(super) struct PriceQueue {
    rows: Mutex<HashMap<StateKey, PriceRow>>,
    changed: Notify,
    closed: AtomicBool,
}

impl PriceQueue {
    fn rows(&self) -> MutexGuard<'_, HashMap<StateKey, PriceRow>> {
        lock(&self.rows)
    }

    /// Adds rows unless newer ones are queued. Returns how many were dropped because the queue is
    /// full.
    pub(super) fn add(&self, rows: impl IntoIterator<Item = PriceRow>) -> u64 {
        let (mut waiting, mut left_out) = (self.rows(), 0);
        for row in rows {
            let has_room = waiting.len() < PRICES_WAITING;
            match waiting.get_mut(&row.key) {
                Some(known) if stamp(known) > stamp(&row) => {}
                Some(known) => *known = row,
                None if has_room => drop(waiting.insert(row.key.clone(), row)),
                None => left_out += 1,
            }
        }
        drop(waiting);
        self.changed.notify_one();
        left_out
    }

    /// Closes the queue: `take` returns nothing from now on.
    pub(super) fn close(&self) {
        self.closed.store(true, Relaxed);
        self.changed.notify_one();
    }

    /// Waits for rows, then takes up to `PRICES_AT_ONCE`. Returns none after `close`.
    pub(super) async fn take(&self) -> Vec<PriceRow> {
        while !self.closed.load(Relaxed) {
            let keys: Vec<StateKey> = self.rows().keys().take(PRICES_AT_ONCE).cloned().collect();
            if !keys.is_empty() {
                let mut rows = self.rows();
                return keys.iter().filter_map(|key| rows.remove(key)).collect();
            }
            self.changed.notified().await;
        }
        Vec::new()
    }
}

/// How many commits with the same offset get different timestamps.
const REVISIONS: i64 = 1 << 10;

pub(super) fn stamp(row: &PriceRow) -> i64 {
    row.next_offset.saturating_mul(REVISIONS) + i64::from(row.revision).min(REVISIONS - 1)
}

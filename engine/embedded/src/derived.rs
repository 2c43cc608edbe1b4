//! Rows that follow from other rows. A salvaged store computes them anew, because rows of different
//! tables may be missing.
//!
//! | Table | Computed from |
//! |---|---|
//! | `products` | watches: counts and times. Their indexes are built again in the background |
//! | `index`, `dead_indexes` | nothing: empty |
//! | `unfinished` | states with held updates or an unfinished fan-out |
//! | `due` | retries |
//! | `forgettable` | leases and confirmations |

use std::collections::BTreeMap;

use fjall::Slice;
use pricedrop_model::ProductState;
use pricedrop_model::dispatch::Retry;

use super::limits::{BLOCK_NOTIFICATIONS, CONFIRMATION_MS};
use super::rows::{self, ProductRow, WatchValue};
use super::store::Store;
use super::tables::Table;
use super::txn::{NEXT_DEAD_LETTER, NEXT_NOTIFICATION};
use super::{commit, keys, leases, retries};

/// A row to write.
pub(super) type Row = (Table, Slice, Option<Slice>);

/// Computes the rows while the others are copied.
#[derive(Default)]
pub(super) struct Derived {
    products: BTreeMap<Vec<u8>, ProductRow>,
    next_notification: i64,
    next_dead_letter: i64,
}

impl Derived {
    /// The tables whose rows are computed.
    pub(super) const TABLES: [Table; 6] = [
        Table::Products,
        Table::Index,
        Table::DeadIndexes,
        Table::Unfinished,
        Table::Due,
        Table::Forgettable,
    ];

    /// Takes note of a copied row, and returns the row that follows from it alone. A row that cannot be
    /// decoded has none.
    pub(super) fn add(&mut self, table: Table, key: &Slice, value: &Slice) -> Option<Row> {
        let row = |table, key: Vec<u8>, value: Vec<u8>| Some((table, key.into(), Some(value.into())));
        match table {
            Table::Watches => {
                self.watch(key, value);
                None
            }
            Table::Outbox => {
                self.next_notification = keys::split_number(key).ok()? + BLOCK_NOTIFICATIONS as i64;
                None
            }
            Table::DeadLetters => {
                self.next_dead_letter = keys::split_number(key).ok()? + 1;
                None
            }
            Table::States => {
                let flags = commit::pending(&ProductState::decode(value).ok()?);
                (flags != 0).then(|| row(Table::Unfinished, key.to_vec(), vec![flags]))?
            }
            Table::Retries => {
                let retry: Retry = rows::from_json(value).ok()?;
                row(Table::Due, retries::due_key(&retry), key.to_vec())
            }
            Table::Leases => {
                row(Table::Forgettable, leases::forget_key(key, value, CONFIRMATION_MS)?, Vec::new())
            }
            _ => None,
        }
    }

    fn watch(&mut self, key: &Slice, value: &Slice) {
        let Ok(value) = WatchValue::decode(value) else { return };
        let Ok((product, _, _)) = keys::split_watch(key) else { return };
        let row = self.products.entry(keys::product(&product)).or_default();
        *row.count(value.mode) += 1;
        row.last_changed = row.last_changed.max(value.updated_at.0);
    }

    /// Returns the rows that follow from all rows together.
    pub(super) fn finish(self, new: &Store) -> fjall::Result<Vec<Row>> {
        let product = |(key, row): (Vec<u8>, ProductRow)| {
            (Table::Products, key.into(), Some(rows::encode(&row).into()))
        };
        let mut rows: Vec<Row> = self.products.into_iter().map(product).collect();
        // If the counters are missing, the next offsets must not be used a second time.
        for (key, least) in
            [(NEXT_NOTIFICATION, self.next_notification), (NEXT_DEAD_LETTER, self.next_dead_letter)]
        {
            if least > 0 && new.get(Table::Meta, key)?.is_none() {
                rows.push((Table::Meta, key.into(), Some(keys::number(least).into())));
            }
        }
        Ok(rows)
    }
}

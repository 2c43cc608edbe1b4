//! The dead-letter log.

use std::sync::Arc;

use async_trait::async_trait;
use pricedrop_model::dispatch::{DeadItem, DeadLetters};
use pricedrop_model::ports::Error;

use super::shared::Inner;
use super::store::Table;
use super::topics::ArchivedTopic;
use super::txn::{NEXT_DEAD_LETTER, Txn};
use super::{archive, keys, rows};

/// The dead letters of the store.
#[derive(Clone)]
pub struct EmbeddedDeadLetters(Arc<Inner>);

impl EmbeddedDeadLetters {
    pub(super) fn new(inner: Arc<Inner>) -> EmbeddedDeadLetters {
        EmbeddedDeadLetters(inner)
    }
}

/// Adds items under the next numbers.
pub(super) fn append(txn: &mut Txn<'_>, items: impl Iterator<Item = DeadItem>, is_archived: bool) {
    let first = txn.counters.next_dead_letter;
    for mut item in items {
        item.number = txn.counters.next_dead_letter;
        txn.counters.next_dead_letter += 1;
        let json = rows::to_json(&item);
        if is_archived {
            archive::keep_dead_letter(txn, &item, &json);
        }
        txn.put(Table::DeadLetters, keys::number(item.number), json);
    }
    if txn.counters.next_dead_letter > first {
        let next = keys::number(txn.counters.next_dead_letter);
        txn.append(Table::Meta, NEXT_DEAD_LETTER, next);
    }
}

#[async_trait]
impl DeadLetters for EmbeddedDeadLetters {
    async fn add(&self, items: Vec<DeadItem>) -> Result<(), Error> {
        let is_archived = self.0.shared.archives(ArchivedTopic::DeadLetters);
        let added = self.0.writer().write(move |txn| {
            append(txn, items.into_iter(), is_archived);
            Ok(())
        });
        Ok(added.await?)
    }

    async fn list(&self, after: Option<i64>, most: usize) -> Result<Vec<DeadItem>, Error> {
        let from = keys::number(after.map_or(0, |after| after.saturating_add(1)));
        self.0.shared.store.read(|store| {
            let rows = fjall::Readable::range(&store.snapshot(), store.table(Table::DeadLetters), from..);
            rows.take(most).map(|guard| Ok(rows::from_json(&guard.value()?)?)).collect()
        })
    }

    async fn get(&self, number: i64) -> Result<Option<DeadItem>, Error> {
        self.0.shared.store.read(|store| {
            let stored = store.get(Table::DeadLetters, &keys::number(number))?;
            Ok(stored.map(|bytes| rows::from_json(&bytes)).transpose()?)
        })
    }

    async fn remove(&self, number: i64) -> Result<(), Error> {
        let removed = self.0.writer().write(move |txn| {
            txn.remove(Table::DeadLetters, keys::number(number));
            Ok(())
        });
        Ok(removed.await?)
    }
}

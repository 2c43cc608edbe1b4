//! Stores dead letters, as a log with one topic and one partition.

use std::sync::Arc;

use async_trait::async_trait;
use pricedrop_model::dispatch::{DeadLetter, DeadLetterId, DeadLetters, NewDeadLetter};
use pricedrop_model::ports::Error;

use super::shared::Inner;
use super::store_handle::ReadError;
use super::tables::Table;
use super::topics::{ArchivedTopic, DEAD_LETTER_TOPIC, PARTITION};
use super::txn::{NEXT_DEAD_LETTER, Txn};
use super::{archive, keys, rows};

/// The dead letters of the store.
#[derive(Clone)]
pub struct EmbeddedDeadLetters {
    inner: Arc<Inner>,
    topic: Arc<str>,
}

impl EmbeddedDeadLetters {
    pub(super) fn new(inner: Arc<Inner>) -> EmbeddedDeadLetters {
        EmbeddedDeadLetters { inner, topic: DEAD_LETTER_TOPIC.into() }
    }

    fn id(&self, offset: i64) -> DeadLetterId {
        DeadLetterId { topic: self.topic.clone(), partition: PARTITION, offset }
    }

    /// Returns the offset in an id, or `None` if the id names another topic or partition.
    fn offset(&self, id: &DeadLetterId) -> Option<i64> {
        (*id == self.id(id.offset)).then_some(id.offset)
    }

    /// Returns the first offset whose id sorts after `after`, or `None` if there is none.
    fn first_after(&self, after: Option<&DeadLetterId>) -> Option<i64> {
        match after {
            Some(after) if *after >= self.id(0) => self.offset(after)?.checked_add(1),
            _ => Some(0),
        }
    }
}

/// Appends dead letters at the next offsets.
pub(super) fn append(txn: &mut Txn<'_>, letters: impl Iterator<Item = NewDeadLetter>, is_archived: bool) {
    let first = txn.counters.next_dead_letter;
    for letter in letters {
        let offset = txn.counters.next_dead_letter;
        txn.counters.next_dead_letter += 1;
        let json = rows::to_json(&letter);
        if is_archived {
            archive::keep_dead_letter(txn, offset, letter.at, &json);
        }
        txn.put(Table::DeadLetters, keys::number(offset), json);
    }
    if txn.counters.next_dead_letter > first {
        let next = keys::number(txn.counters.next_dead_letter);
        txn.append(Table::Meta, NEXT_DEAD_LETTER, next);
    }
}

#[async_trait]
impl DeadLetters for EmbeddedDeadLetters {
    async fn add(&self, letters: Vec<NewDeadLetter>) -> Result<(), Error> {
        let is_archived = self.inner.shared.archives(ArchivedTopic::DeadLetters);
        let added = self.inner.writer().write(move |txn| {
            append(txn, letters.into_iter(), is_archived);
            Ok(())
        });
        Ok(added.await?)
    }

    async fn list(&self, after: Option<&DeadLetterId>, most: usize) -> Result<Vec<DeadLetter>, Error> {
        let Some(from) = self.first_after(after) else { return Ok(Vec::new()) };
        self.inner.shared.store.read(|store| {
            let table = store.table(Table::DeadLetters);
            let rows = fjall::Readable::range(&store.snapshot(), table, keys::number(from)..);
            let letter = |guard: fjall::Guard| {
                let (key, value) = guard.into_inner()?;
                Ok(rows::from_json::<NewDeadLetter>(&value)?.with_id(self.id(keys::split_number(&key)?)))
            };
            rows.take(most).map(letter).collect::<Result<_, ReadError>>()
        })
    }

    async fn get(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, Error> {
        let Some(offset) = self.offset(id) else { return Ok(None) };
        self.inner.shared.store.read(|store| {
            let stored = store.get(Table::DeadLetters, &keys::number(offset))?;
            let letter = stored.map(|bytes| rows::from_json::<NewDeadLetter>(&bytes)).transpose()?;
            Ok(letter.map(|letter| letter.with_id(id.clone())))
        })
    }

    async fn remove(&self, id: &DeadLetterId) -> Result<(), Error> {
        let Some(offset) = self.offset(id) else { return Ok(()) };
        let removed = self.inner.writer().write(move |txn| {
            txn.remove(Table::DeadLetters, keys::number(offset));
            Ok(())
        });
        Ok(removed.await?)
    }
}

//! Parses input records, and queues them per partition in log order until a batch takes them.

use std::collections::{BTreeMap, VecDeque};

use pricedrop_model::{Partition, ProductId, Record, Rules, StateKey, Unreadable, Update};

/// A parsed record.
pub struct Incoming {
    /// The record as it is in the log.
    pub record: Record,
    /// Its content, or why it is no update.
    pub parsed: Result<Parsed, Unreadable>,
}

/// The content of a record.
pub enum Parsed {
    /// A new price.
    Update(Update),
    /// A tombstone: forget this product's state.
    Tombstone(ProductId),
}

impl Incoming {
    /// Parses a record. Its price is rounded to `round_decimals`.
    pub fn read(record: Record, round_decimals: Option<u8>) -> Incoming {
        let parsed = match &record.value {
            Some(value) => Update::parse(value, round_decimals).map(Parsed::Update),
            None => read_tombstone(record.key.as_deref()).map(Parsed::Tombstone),
        };
        Incoming { record, parsed }
    }

    /// Whether it is an update whose record key is not its product id.
    pub fn is_key_mismatch(&self) -> bool {
        let Ok(Parsed::Update(update)) = &self.parsed else { return false };
        self.record.key.as_deref() != Some(update.product.as_str().as_bytes())
    }

    /// The product of an update or tombstone.
    pub fn product(&self) -> Option<&ProductId> {
        match self.parsed.as_ref().ok()? {
            Parsed::Update(update) => Some(&update.product),
            Parsed::Tombstone(product) => Some(product),
        }
    }
}

fn read_tombstone(key: Option<&[u8]>) -> Result<ProductId, Unreadable> {
    let text = key.and_then(|key| std::str::from_utf8(key).ok());
    text.and_then(|text| ProductId::new(text).ok()).ok_or(Unreadable::TombstoneKey)
}

/// Returns the key of the state that an update changes. If the update names no currency, the key
/// has the currency of the rules.
pub fn state_key(partition: Partition, update: &Update, rules: &Rules) -> StateKey {
    let currency = update.currency.unwrap_or(rules.currency);
    StateKey { partition, product: update.product.clone(), currency }
}

/// Records that wait for a batch.
pub struct Waiting {
    round_decimals: Option<u8>,
    queues: BTreeMap<Partition, VecDeque<Incoming>>,
    records: usize,
    /// The partition that was first in the last `take`.
    first: Option<Partition>,
}

impl Waiting {
    /// Creates an empty queue. Prices are rounded to `round_decimals`.
    pub fn new(round_decimals: Option<u8>) -> Waiting {
        Waiting { round_decimals, queues: BTreeMap::new(), records: 0, first: None }
    }

    /// The number of waiting records.
    pub fn len(&self) -> usize {
        self.records
    }

    /// Partitions with at least this many waiting records.
    pub fn full(&self, records: usize) -> Vec<Partition> {
        let full = self.queues.iter().filter(|(_, queue)| queue.len() >= records);
        full.map(|(partition, _)| *partition).collect()
    }

    /// Adds records after those that wait.
    pub fn push(&mut self, records: Vec<Record>) {
        self.records += records.len();
        for record in records {
            self.queues
                .entry(record.position.partition)
                .or_default()
                .push_back(Incoming::read(record, self.round_decimals));
        }
    }

    /// Takes up to `most` records, of every partition in turn. Stops in a partition at a record that
    /// `must_wait`, so that its order is kept.
    pub fn take(&mut self, most: usize, must_wait: impl Fn(Partition, &ProductId) -> bool) -> Vec<Incoming> {
        let mut queues: Vec<_> = self.queues.iter_mut().filter(|(_, queue)| !queue.is_empty()).collect();
        // Rotate the first partition, because there may be no capacity for all.
        let turn = queues.iter().position(|(partition, _)| Some(**partition) > self.first).unwrap_or(0);
        queues.rotate_left(turn);
        self.first = queues.first().map(|(partition, _)| **partition);
        let mut taken = Vec::new();
        while !queues.is_empty() && taken.len() < most {
            queues.retain_mut(|(partition, queue)| {
                let waits =
                    |next: &Incoming| next.product().is_some_and(|product| must_wait(**partition, product));
                let taken_one = taken.len() < most && queue.front().is_some_and(|next| !waits(next));
                taken.extend(taken_one.then(|| queue.pop_front()).flatten());
                taken_one
            });
        }
        self.records -= taken.len();
        taken
    }

    /// Puts records back before all others of their partitions, because they were not committed.
    pub fn put_back(&mut self, records: Vec<Incoming>) {
        self.records += records.len();
        for incoming in records.into_iter().rev() {
            self.queues.entry(incoming.record.position.partition).or_default().push_front(incoming);
        }
    }

    /// Removes all records.
    pub fn clear(&mut self) {
        *self = Waiting::new(self.round_decimals);
    }
}

//! Records on their way in: read once, kept per partition in log order until
//! a commit has taken them.

use std::collections::{BTreeMap, VecDeque};

use pricedrop_model::{Partition, ProductId, Record, Rules, StateKey, Unreadable, Update};

/// A record with what it says.
pub struct Incoming {
    /// As it lies in the log.
    pub record: Record,
    /// What it says, or why it says nothing.
    pub parsed: Result<Parsed, Unreadable>,
}

/// What a record says.
pub enum Parsed {
    /// A new price.
    Update(Update),
    /// Forget this product.
    Tombstone(ProductId),
}

impl Incoming {
    /// Reads a record.
    pub fn read(record: Record) -> Incoming {
        let parsed = match &record.value {
            Some(value) => Update::parse(value).map(Parsed::Update),
            None => read_tombstone(record.key.as_deref()).map(Parsed::Tombstone),
        };
        Incoming { record, parsed }
    }

    /// Whether it is an update whose key is not its product.
    pub fn is_key_mismatch(&self) -> bool {
        let Ok(Parsed::Update(update)) = &self.parsed else { return false };
        self.record.key.as_deref() != Some(update.product.as_str().as_bytes())
    }

    /// The product it is about.
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

/// Whose state an update changes; without a currency it has that of the rules.
pub fn state_key(partition: Partition, update: &Update, rules: &Rules) -> StateKey {
    let currency = update.currency.unwrap_or(rules.currency);
    StateKey { partition, product: update.product.clone(), currency }
}

/// Records waiting for a commit to take them.
#[derive(Default)]
pub struct Waiting {
    queues: BTreeMap<Partition, VecDeque<Incoming>>,
    records: usize,
    /// The partition that went first the last time.
    first: Option<Partition>,
}

impl Waiting {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.records
    }

    /// Partitions of which this many wait, or more.
    pub fn full(&self, records: usize) -> Vec<Partition> {
        let full = self.queues.iter().filter(|(_, queue)| queue.len() >= records);
        full.map(|(partition, _)| *partition).collect()
    }

    /// Adds records behind those that wait.
    pub fn push(&mut self, records: Vec<Record>) {
        self.records += records.len();
        for record in records {
            self.queues.entry(record.position.partition).or_default().push_back(Incoming::read(record));
        }
    }

    /// Takes the next records, of every partition in turn and until one that
    /// `must_wait`: what stands behind it in its partition waits with it.
    pub fn take(&mut self, most: usize, must_wait: impl Fn(Partition, &ProductId) -> bool) -> Vec<Incoming> {
        let mut queues: Vec<_> = self.queues.iter_mut().filter(|(_, queue)| !queue.is_empty()).collect();
        // Another one goes first each time: there may be no room for all.
        let turn = queues.iter().position(|(partition, _)| Some(**partition) > self.first).unwrap_or(0);
        queues.rotate_left(turn);
        self.first = queues.first().map(|(partition, _)| **partition);
        let mut taken = Vec::new();
        while !queues.is_empty() && taken.len() < most {
            queues.retain_mut(|(partition, queue)| {
                let waits =
                    |next: &Incoming| next.product().is_some_and(|product| must_wait(**partition, product));
                let goes = taken.len() < most && queue.front().is_some_and(|next| !waits(next));
                taken.extend(goes.then(|| queue.pop_front()).flatten());
                goes
            });
        }
        self.records -= taken.len();
        taken
    }

    /// Puts records back in front, because their commit did not happen.
    pub fn put_back(&mut self, records: Vec<Incoming>) {
        self.records += records.len();
        for incoming in records.into_iter().rev() {
            self.queues.entry(incoming.record.position.partition).or_default().push_front(incoming);
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Waiting::default();
    }
}

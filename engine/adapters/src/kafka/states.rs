//! The product states of the partitions that are ours, in memory, as they are
//! committed: encoded, for a million of them must fit.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Instant;

use pricedrop_model::seams::{Error, PriceRow};
use pricedrop_model::{Currency, Partition, ProductId, ProductState, StateKey};

/// The states of one product, encoded.
type Encoded = Vec<(Currency, Box<[u8]>)>;

/// All states of one partition.
#[derive(Default)]
pub struct PartitionStates {
    products: HashMap<ProductId, Encoded>,
    /// States with a held update or an unfinished fan-out.
    unfinished: BTreeSet<StateKey>,
    /// Products that tell at this moment.
    telling: BTreeSet<StateKey>,
}

impl PartitionStates {
    /// Remembers a stored state; none: it was forgotten.
    ///
    /// # Errors
    /// The bytes are no state.
    pub fn store(&mut self, key: &StateKey, bytes: Option<&[u8]>) -> Result<(), Error> {
        let state = bytes.map(ProductState::decode).transpose()?;
        self.remember(key, state.as_ref(), bytes);
        Ok(())
    }

    /// Remembers a state and its stored form.
    pub fn remember(&mut self, key: &StateKey, state: Option<&ProductState>, bytes: Option<&[u8]>) {
        let of_product = self.products.entry(key.product.clone()).or_default();
        of_product.retain(|(currency, _)| *currency != key.currency);
        match bytes {
            Some(bytes) => of_product.push((key.currency, bytes.into())),
            None if of_product.is_empty() => {
                self.products.remove(&key.product);
            }
            None => {}
        }
        let telling = state.is_some_and(|state| state.fan_out.is_some());
        let held = state.is_some_and(|state| state.pending.is_some());
        note(&mut self.telling, key, telling);
        note(&mut self.unfinished, key, telling || held);
    }

    /// The states of a product.
    ///
    /// # Errors
    /// Stored bytes are no state.
    pub fn of(
        &self,
        partition: Partition,
        product: &ProductId,
    ) -> Result<Vec<(StateKey, ProductState)>, Error> {
        let known = self.products.get(product).into_iter().flatten();
        let decode = |(currency, bytes): &(Currency, Box<[u8]>)| {
            let key = StateKey { partition, product: product.clone(), currency: *currency };
            Ok((key, ProductState::decode(bytes)?))
        };
        known.map(decode).collect()
    }

    /// States with a held update or an unfinished fan-out.
    ///
    /// # Errors
    /// Stored bytes are no state.
    pub fn unfinished(&self) -> Result<Vec<(StateKey, ProductState)>, Error> {
        let mut states = Vec::new();
        for key in &self.unfinished {
            let of_product = self.of(key.partition, &key.product)?;
            states.extend(of_product.into_iter().filter(|(one, _)| one == key));
        }
        Ok(states)
    }

    /// Whether a fan-out of this product is unfinished.
    pub fn is_telling(&self, product: &ProductId) -> bool {
        self.telling.iter().any(|key| key.product == *product)
    }

    /// The prices of all products, as far as they can be read.
    pub fn prices(&self, partition: Partition, next_offset: i64) -> impl Iterator<Item = PriceRow> {
        let states = self.products.iter().flat_map(|(product, states)| {
            states.iter().map(move |(currency, bytes)| (product.clone(), *currency, bytes))
        });
        states.filter_map(move |(product, currency, bytes)| {
            let state = ProductState::decode(bytes).ok()?;
            let key = StateKey { partition, product, currency };
            Some(PriceRow { key, next_offset, last: state.last, floor: state.floor })
        })
    }

    /// How many products have a state.
    pub fn len(&self) -> usize {
        self.products.len()
    }
}

fn note(set: &mut BTreeSet<StateKey>, key: &StateKey, belongs: bool) {
    match belongs {
        true => set.insert(key.clone()),
        false => set.remove(key),
    };
}

/// What is known of a partition that is ours.
pub struct Owned {
    /// Since when it is ours.
    pub epoch: u64,
    /// The next offset, as committed.
    pub next: i64,
    /// Its states.
    pub states: PartitionStates,
}

/// The partitions of a worker.
#[derive(Default)]
pub struct Holdings {
    /// Those that were taken over.
    pub owned: BTreeMap<Partition, Owned>,
    /// Those that wait for a person, and why.
    pub stopped: BTreeMap<Partition, String>,
    /// The member's version that this answers to; another one: restore.
    pub version: u64,
    /// When it was looked at.
    pub looked_at: Option<Instant>,
}

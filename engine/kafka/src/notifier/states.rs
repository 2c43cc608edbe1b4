//! The committed product states of the acquired partitions, in memory. They stay encoded, so that a
//! million of them fit.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use pricedrop_model::backoff::Backoff;
use pricedrop_model::ports::{Error, PriceRow};
use pricedrop_model::{Currency, Evaluated, Partition, ProductId, ProductState, StateKey, WallTime};

use crate::group::session::{Session, Sessions};
use crate::limits::{LOOK_AGAIN_MAX_MS, LOOK_AGAIN_MS, SHOWN_WITHIN_MS};

/// The encoded states of one product, by currency.
type Encoded = Vec<(Currency, Box<[u8]>)>;

/// All states of one partition.
#[derive(Default)]
pub struct PartitionStates {
    products: HashMap<ProductId, Encoded>,
    /// States with a held update or an unfinished fan-out.
    unfinished: BTreeSet<StateKey>,
    /// States whose fan-out is unfinished or may be.
    fanning_out: BTreeSet<StateKey>,
}

impl PartitionStates {
    /// Replaces a state by its stored form. `None` means it was deleted. Returns when it was evaluated
    /// last.
    ///
    /// # Errors
    /// The bytes cannot be decoded.
    pub fn store(&mut self, key: &StateKey, bytes: Option<&[u8]>) -> Result<Option<WallTime>, Error> {
        let state = bytes.map(ProductState::decode).transpose()?;
        self.remember(key, state.as_ref(), bytes);
        Ok(state.and_then(|state| state.last).map(|last| last.at))
    }

    /// Replaces a state and its stored form.
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
        let fanning_out = state.is_some_and(ProductState::holds_removals);
        let held = state.is_some_and(|state| state.pending.is_some());
        note(&mut self.fanning_out, key, fanning_out);
        note(&mut self.unfinished, key, fanning_out || held);
    }

    /// Notes that a fan-out of this state may be unfinished from now on.
    pub fn begin_fan_out(&mut self, key: &StateKey) {
        note(&mut self.fanning_out, key, true);
    }

    /// Decodes the states of a product.
    ///
    /// # Errors
    /// Stored bytes cannot be decoded.
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
    /// Stored bytes cannot be decoded.
    pub fn unfinished(&self) -> Result<Vec<(StateKey, ProductState)>, Error> {
        let mut states = Vec::new();
        for key in &self.unfinished {
            let of_product = self.of(key.partition, &key.product)?;
            states.extend(of_product.into_iter().filter(|(one, _)| one == key));
        }
        Ok(states)
    }

    /// Returns whether a fan-out of this product is unfinished or may be.
    pub fn has_open_fan_out(&self, product: &ProductId) -> bool {
        self.fanning_out.iter().any(|key| key.product == *product)
    }

    /// Decodes the last evaluation of a state.
    pub fn last(&self, key: &StateKey) -> Option<Evaluated> {
        let of_product = self.products.get(&key.product)?;
        let (_, bytes) = of_product.iter().find(|(currency, _)| *currency == key.currency)?;
        ProductState::decode(bytes).ok()?.last
    }

    /// Builds the row that is shown for a state.
    ///
    /// # Errors
    /// Stored bytes cannot be decoded.
    pub fn price(&self, key: &StateKey, next_offset: i64) -> Result<PriceRow, Error> {
        let of_product = self.of(key.partition, &key.product)?;
        let state = of_product.into_iter().find(|(one, _)| one == key).map(|(_, state)| state);
        let state = state.unwrap_or_default();
        let (last, floor) = (state.last, state.floor);
        Ok(PriceRow { key: key.clone(), next_offset, revision: ACQUIRED_REVISION, last, floor })
    }

    /// Returns the number of products that have a state.
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

/// The states that were stored last: their prices may be committed and not shown yet. A price is
/// shown soon after its commit, so the states of the last `SHOWN_WITHIN_MS` are enough.
#[derive(Default)]
pub struct Latest {
    keys: VecDeque<(Option<WallTime>, StateKey)>,
    /// The latest evaluation.
    at: Option<WallTime>,
}

impl Latest {
    /// Adds the next state of the changelog. A deleted state has no time.
    pub fn add(&mut self, key: StateKey, at: Option<WallTime>) {
        self.at = self.at.max(at);
        self.keys.push_back((at.or(self.at), key));
        let since = self.at.map(|at| WallTime(at.0.saturating_sub(SHOWN_WITHIN_MS)));
        while self.keys.front().is_some_and(|(at, _)| *at < since) {
            self.keys.pop_front();
        }
    }

    /// Returns the states, each once.
    pub fn keys(&self) -> BTreeSet<&StateKey> {
        self.keys.iter().map(|(_, key)| key).collect()
    }
}

/// What a notifier keeps of a partition that it serves.
pub struct Kept {
    /// The number of earlier commits with the partition's current offset.
    pub revision: u16,
    /// Its states.
    pub states: PartitionStates,
}

impl Kept {
    /// Returns the states of a partition that was just acquired.
    pub fn acquired(states: PartitionStates) -> Kept {
        Kept { revision: ACQUIRED_REVISION, states }
    }
}

/// Sets the offset of a commit.
pub fn advance(session: &mut Session<Kept>, next: i64) {
    let revision = &mut session.kept.revision;
    *revision = if next == session.next { revision.saturating_add(1) } else { 0 };
    session.next = next;
}

/// The first `revision` after an acquisition. Larger than those of the previous worker, unless
/// that worker also acquired the partition at the same offset.
const ACQUIRED_REVISION: u16 = 512;

/// The state of a worker.
pub struct WorkerState {
    /// Its partitions, each with its states.
    pub sessions: Sessions<Kept>,
    /// Partitions that the source has paused. A restore reads all partitions again.
    pub held_back: BTreeSet<Partition>,
    /// When stopped partitions are tried again, if there are any.
    pub look_again_at: Option<Instant>,
    looks: Backoff,
}

impl Default for WorkerState {
    fn default() -> WorkerState {
        let looks = Backoff::from_millis(LOOK_AGAIN_MS, LOOK_AGAIN_MAX_MS);
        WorkerState { sessions: Sessions::default(), held_back: BTreeSet::new(), look_again_at: None, looks }
    }
}

impl WorkerState {
    /// Plans the next try of stopped partitions. A try restarts unfinished fan-outs from their last
    /// commit, so tries become less frequent.
    pub fn retry_later(&mut self) {
        let waits = !self.sessions.stopped().is_empty();
        if !waits {
            self.looks.reset();
        }
        self.look_again_at = waits.then(|| Instant::now() + self.looks.next_pause());
    }
}

/// The state of a worker, shared by its parts.
pub(crate) type Shared = Arc<Mutex<WorkerState>>;

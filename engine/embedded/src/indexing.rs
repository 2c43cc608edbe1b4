//! Builds and deletes indexes by bucket, in bounded steps. Writes of watches update an unfinished
//! index too, so only the rows that later steps copy are missing from it.

use pricedrop_model::{Cause, ProductId};

use super::index::{self, BucketPolicies, Changed, ReadPolicies as _};
use super::keys;
use super::limits::STEP_ROWS;
use super::rows::{self, ProductRow};
use super::shared::Shared;
use super::store_handle::ReadError;
use super::tables::Table;
use super::txn::Txn;

/// The next step of building an index.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Create the index.
    Begin,
    /// Continue this index at this key of the watches.
    At(u64, Vec<u8>),
}

/// The result of one step.
pub(super) struct Built {
    /// The next step, or `None` if the build has ended.
    pub(super) next: Option<Step>,
    /// Whether the index is complete now.
    pub(super) complete: bool,
    /// Rows that this step indexed.
    pub(super) rows: u64,
}

impl Built {
    fn ended(complete: bool) -> Built {
        Built { next: None, complete, rows: 0 }
    }
}

fn product_row(txn: &Txn<'_>, product: &ProductId) -> Result<Option<ProductRow>, ReadError> {
    let stored = txn.get(Table::Products, &keys::product(product))?;
    Ok(stored.map(|bytes| rows::decode(&bytes)).transpose()?)
}

fn save(txn: &mut Txn<'_>, product: &ProductId, row: &ProductRow) {
    txn.put(Table::Products, keys::product(product), rows::encode(row));
}

/// Runs one step of building a product's index of a mapping. The build ends without an index if
/// the policy gives no answer.
pub(super) fn build_step(
    txn: &mut Txn<'_>,
    shared: &Shared,
    product: &ProductId,
    mapping: u32,
    step: Step,
) -> Result<Built, ReadError> {
    // A product without watches needs no index.
    let Some(mut row) = product_row(txn, product)? else { return Ok(Built::ended(true)) };
    let (index, from) = match step {
        Step::Begin if row.index_of(mapping).is_some() => return Ok(Built::ended(true)),
        Step::Begin => (begin(txn, &mut row, mapping), keys::product(product)),
        Step::At(index, from) => (index, from),
    };
    let Some(at) = row.indexes.iter().position(|slot| slot.index == index) else {
        return Ok(Built::ended(false));
    };
    let watches = txn.range(Table::Watches, &keys::product(product), &from, STEP_ROWS)?;
    let last = watches.last().map(|(key, _)| keys::next(key.to_vec()));
    let ended = watches.len() < STEP_ROWS;
    let mut changed = Vec::with_capacity(watches.len());
    for (key, value) in watches {
        let (_, threshold, user) = keys::split_watch(&key)?;
        changed.push(Changed { threshold, user: user.to_string(), value: Some(value) });
    }
    let policies_of_rows = BucketPolicies::now(txn, shared)?;
    let mut only = ProductRow { indexes: vec![row.indexes[at]], ..ProductRow::default() };
    index::update_indexes(txn, &policies_of_rows, product, &mut only, &changed);
    let followed = !only.indexes.is_empty();
    match followed {
        true => row.indexes[at].complete = ended,
        false => drop(row.indexes.remove(at)),
    }
    save(txn, product, &row);
    let next = last.filter(|_| followed && !ended).map(|key| Step::At(index, key));
    Ok(Built { next, complete: followed && ended, rows: changed.len() as u64 })
}

/// Creates an index in place of what an interrupted build left.
fn begin(txn: &mut Txn<'_>, row: &mut ProductRow, mapping: u32) -> u64 {
    let (left, kept): (Vec<_>, Vec<_>) = row.indexes.iter().partition(|slot| slot.mapping == mapping);
    for slot in left {
        index::drop_index(txn, slot);
    }
    row.indexes = kept;
    let slot = index::new_index(txn, mapping);
    row.indexes.push(slot);
    slot.index
}

/// Drops a product's indexes of other mappings than the active one.
pub(super) fn drop_inactive(txn: &mut Txn<'_>, product: &ProductId) -> Result<(), ReadError> {
    let Some(active) = txn.active_policy()? else { return Ok(()) };
    let Some(mut row) = product_row(txn, product)? else { return Ok(()) };
    let (kept, old): (Vec<_>, Vec<_>) = row.indexes.iter().partition(|slot| slot.mapping == active.mapping);
    if old.is_empty() {
        return Ok(());
    }
    for slot in old {
        index::drop_index(txn, slot);
    }
    row.indexes = kept;
    save(txn, product, &row);
    Ok(())
}

/// Returns the products with more watches than the threshold, and those that have an index
/// already.
pub(super) fn large_products(shared: &Shared) -> Result<Vec<ProductId>, pricedrop_model::ports::Error> {
    shared.store.read(|store| {
        let mut products = Vec::new();
        for guard in store.prefix(Table::Products, &[]) {
            let (key, value) = guard.into_inner()?;
            let row: ProductRow = rows::decode(&value)?;
            if row.watches() > shared.options.bucket_threshold || !row.indexes.is_empty() {
                let (name, _) = keys::take_name(&key)?;
                let product =
                    ProductId::new(&name).map_err(|error| super::error::Broken(Cause::of(error)))?;
                products.push(product);
            }
        }
        Ok(products)
    })
}

/// Deletes rows of dead indexes. Returns whether there may be more.
pub(super) fn delete_step(txn: &mut Txn<'_>) -> Result<bool, ReadError> {
    let Some((index, _)) = txn.range(Table::DeadIndexes, &[], &[], 1)?.pop() else { return Ok(false) };
    let dead = txn.range(Table::Index, &index, &index, STEP_ROWS)?;
    let more = dead.len() == STEP_ROWS;
    for (key, _) in dead {
        txn.remove(Table::Index, key);
    }
    if !more {
        txn.remove(Table::DeadIndexes, index);
    }
    Ok(true)
}

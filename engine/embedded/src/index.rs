//! Indexes by bucket as writes update them, and the policies that assign the buckets.
//!
//! An index belongs to one product and one mapping, and has its own number. The product's row
//! names its indexes. An index that no row names is dead, and is deleted in the background. So
//! one write drops an index: if its policy gives no answer, the product is read by the plain
//! range until the index is built again.
//!
//! There is no list of buckets that exist, because an ordered store finds the next one by
//! seeking.

use std::sync::Arc;

use fjall::Slice;
use pricedrop_model::plugin::{Bucketing, PolicyIdentity};
use pricedrop_model::{Price, ProductId};
use serde::{Deserialize, Serialize};

use super::error::Broken;
use super::keys;
use super::rows::{self, IndexSlot, ProductRow};
use super::shared::Shared;
use super::store::Store;
use super::store_handle::ReadError;
use super::tables::Table;
use super::txn::{NEXT_INDEX, Txn};

/// The active policy, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ActivePolicy {
    pub(super) name: String,
    pub(super) fingerprint: String,
    /// The number of its mapping. Policies with equal fingerprints share one.
    pub(super) mapping: u32,
}

impl ActivePolicy {
    pub(super) fn identity(self) -> PolicyIdentity {
        PolicyIdentity { name: self.name, fingerprint: self.fingerprint }
    }
}

/// Reads policies from the store, a snapshot, or a group of writes.
pub(super) trait ReadPolicies {
    /// Reads one row.
    fn policy_row(&self, key: &[u8]) -> Result<Option<Slice>, ReadError>;

    /// Returns the active policy.
    fn active_policy(&self) -> Result<Option<ActivePolicy>, ReadError> {
        Ok(self.policy_row(ACTIVE)?.map(|bytes| rows::decode(&bytes)).transpose()?)
    }

    /// Returns the mapping of a registered policy by its name.
    fn mapping_named(&self, name: &str) -> Result<Option<u32>, ReadError> {
        self.mapping_at(&[b"n/", name.as_bytes()].concat())
    }

    /// Returns the mapping with this fingerprint.
    fn mapping_like(&self, fingerprint: &str) -> Result<Option<u32>, ReadError> {
        self.mapping_at(&[b"f/", fingerprint.as_bytes()].concat())
    }

    /// Reads the number at a key.
    fn mapping_at(&self, key: &[u8]) -> Result<Option<u32>, ReadError> {
        let number = self.policy_row(key)?.map(|bytes| keys::split_number(&bytes)).transpose()?;
        let fits = |number| u32::try_from(number).map_err(|_| Broken("a mapping's number".into()));
        Ok(number.map(fits).transpose()?)
    }
}

const ACTIVE: &[u8] = b"active";
const NEXT_MAPPING: &[u8] = b"next-mapping";

impl ReadPolicies for Store {
    fn policy_row(&self, key: &[u8]) -> Result<Option<Slice>, ReadError> {
        Ok(self.get(Table::Policies, key)?)
    }
}

impl ReadPolicies for Txn<'_> {
    fn policy_row(&self, key: &[u8]) -> Result<Option<Slice>, ReadError> {
        self.get(Table::Policies, key)
    }
}

/// Registers a policy, which may become the active one. Returns its mapping.
pub(super) fn register(txn: &mut Txn<'_>, policy: &PolicyIdentity) -> Result<u32, ReadError> {
    let mapping = match txn.mapping_like(&policy.fingerprint)? {
        Some(mapping) => mapping,
        None => {
            let next = txn.mapping_at(NEXT_MAPPING)?.unwrap_or(1);
            txn.put(Table::Policies, NEXT_MAPPING, keys::number(i64::from(next) + 1));
            next
        }
    };
    for key in [[b"n/", policy.name.as_bytes()].concat(), [b"f/", policy.fingerprint.as_bytes()].concat()] {
        txn.put(Table::Policies, key, keys::number(mapping.into()));
    }
    Ok(mapping)
}

/// Makes a registered policy the active one.
pub(super) fn set_active(txn: &mut Txn<'_>, policy: &PolicyIdentity, mapping: u32) {
    let active = ActivePolicy { name: policy.name.clone(), fingerprint: policy.fingerprint.clone(), mapping };
    txn.put(Table::Policies, ACTIVE, rows::encode(&active));
}

/// A change of one watch, as its indexes need it.
pub(super) struct Changed {
    pub(super) threshold: Price,
    pub(super) user: String,
    /// `None` means deleted.
    pub(super) value: Option<Slice>,
}

/// The policies that can assign buckets now, by mapping.
pub(super) struct BucketPolicies(Vec<(u32, Arc<dyn Bucketing>)>);

impl BucketPolicies {
    /// Returns the loaded policy, and that of a migration in progress.
    pub(super) fn now(txn: &Txn<'_>, shared: &Shared) -> Result<BucketPolicies, ReadError> {
        let mut policies_of_rows = Vec::new();
        for policy in [shared.plugins().bucketing(), shared.migrating()].into_iter().flatten() {
            if let Some(mapping) = txn.mapping_like(&policy.identity().fingerprint)? {
                policies_of_rows.push((mapping, policy));
            }
        }
        Ok(BucketPolicies(policies_of_rows))
    }

    /// Returns the policy of a mapping.
    pub(super) fn of(&self, mapping: u32) -> Option<&Arc<dyn Bucketing>> {
        self.0.iter().find(|(known, _)| *known == mapping).map(|(_, policy)| policy)
    }
}

/// Applies changes to every index of a product. An index whose policy gives no answer is dropped,
/// because an incomplete index would hide watches.
pub(super) fn update_indexes(
    txn: &mut Txn<'_>,
    policies_of_rows: &BucketPolicies,
    product: &ProductId,
    row: &mut ProductRow,
    changes: &[Changed],
) {
    let slots = std::mem::take(&mut row.indexes);
    for slot in slots {
        match update_index(txn, policies_of_rows, product, slot, changes) {
            Ok(()) => row.indexes.push(slot),
            Err(reason) => {
                tracing::warn!(%product, reason, "dropping a bucket index; the product is read by range");
                drop_index(txn, slot);
            }
        }
    }
}

fn update_index(
    txn: &mut Txn<'_>,
    policies_of_rows: &BucketPolicies,
    product: &ProductId,
    slot: IndexSlot,
    changes: &[Changed],
) -> Result<(), String> {
    let policy = policies_of_rows.of(slot.mapping).ok_or("its policy is not loaded")?;
    let prices: Vec<Price> = changes.iter().map(|change| change.threshold).collect();
    let buckets = policy.buckets_of(product, &prices).map_err(|error| error.to_string())?;
    if buckets.len() != changes.len() {
        return Err("its policy gave another number of buckets than prices".into());
    }
    for (change, bucket) in changes.iter().zip(buckets) {
        let key = keys::indexed(slot.index, bucket, change.threshold, &change.user);
        match &change.value {
            Some(value) => txn.put(Table::Index, key, value.clone()),
            None => txn.remove(Table::Index, key),
        }
    }
    Ok(())
}

/// Marks an index to be deleted in the background.
pub(super) fn drop_index(txn: &mut Txn<'_>, slot: IndexSlot) {
    txn.put(Table::DeadIndexes, slot.index.to_be_bytes(), []);
}

/// Creates an empty index.
pub(super) fn new_index(txn: &mut Txn<'_>, mapping: u32) -> IndexSlot {
    let index = txn.counters.next_index;
    txn.counters.next_index += 1;
    let next = keys::number(txn.counters.next_index as i64);
    txn.append(Table::Meta, NEXT_INDEX, next);
    IndexSlot { mapping, index, complete: false }
}

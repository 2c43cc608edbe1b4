//! The index that a policy built, and the row that names the active index and the one being
//! built.

use pricedrop_model::plugin::PolicyIdentity;
use scylla::value::CqlValue;

use super::requests::Values;
use super::shards::index_name;

/// A policy and the index built with it. The name of an index is never used twice, so that
/// deleting an old index cannot harm a new one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct IndexBuild {
    pub(super) name: String,
    pub(super) fingerprint: String,
    pub(super) index: String,
}

impl IndexBuild {
    pub(super) fn identity(&self) -> PolicyIdentity {
        PolicyIdentity { name: self.name.clone(), fingerprint: self.fingerprint.clone() }
    }
}

/// The row of `bucketing_policies`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Policies {
    pub(super) revision: Option<i64>,
    pub(super) active: Option<IndexBuild>,
    pub(super) building: Option<IndexBuild>,
}

pub(super) type PolicyRow = (
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
);

pub(super) fn index_build(
    name: Option<String>,
    fingerprint: Option<String>,
    index: Option<String>,
) -> Option<IndexBuild> {
    Some(IndexBuild { name: name?, fingerprint: fingerprint?, index: index? })
}

fn index_values(build: Option<&IndexBuild>) -> [Option<CqlValue>; 3] {
    match build {
        Some(build) => {
            [&build.name, &build.fingerprint, &build.index].map(|it| Some(CqlValue::Text(it.clone())))
        }
        None => [None, None, None],
    }
}

impl Policies {
    /// Returns the indexes that every write must update.
    pub(super) fn kept(&self) -> impl Iterator<Item = &IndexBuild> {
        self.active.iter().chain(&self.building)
    }

    /// Returns the active index, if it was built with this policy.
    pub(super) fn active_named(&self, policy: &str) -> Option<&IndexBuild> {
        self.active.as_ref().filter(|active| active.name == policy)
    }

    /// Returns a new index for a policy, with a name that was never used.
    pub(super) fn new_index(&self, policy: &PolicyIdentity, shards: u32) -> IndexBuild {
        IndexBuild {
            name: policy.name.clone(),
            fingerprint: policy.fingerprint.clone(),
            index: index_name(&policy.name, self.revision.unwrap_or(0) + 1, shards),
        }
    }

    pub(super) fn values(&self, revision: i64) -> Values {
        let mut values = vec![Some(CqlValue::BigInt(revision))];
        values.extend(index_values(self.active.as_ref()));
        values.extend(index_values(self.building.as_ref()));
        values
    }
}

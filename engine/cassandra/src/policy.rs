//! The one row that says which policy's index is served and which is being
//! built. It is changed by compare-and-set alone.

use std::sync::Arc;

use pricedrop_model::plugin::{Bucketing, PolicyIdentity};
use pricedrop_model::ports::Error;
use pricedrop_model::sync::lock;
use pricedrop_model::{BucketId, Price, ProductId};
use scylla::value::{CqlValue, Row};

use super::Shared;
use super::error::misfit;
use super::limits::POLICY_CHANGES;
use super::requests::Values;
use super::schema::Table;
use super::shards::index_name;

/// A policy and the index it cuts. An index is built once and its name never
/// used again, so that deleting one cannot hurt a later one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) fingerprint: String,
    pub(super) index: String,
}

impl Slot {
    pub(super) fn identity(&self) -> PolicyIdentity {
        PolicyIdentity { name: self.name.clone(), fingerprint: self.fingerprint.clone() }
    }
}

/// The row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Policies {
    pub(super) revision: Option<i64>,
    pub(super) active: Option<Slot>,
    pub(super) building: Option<Slot>,
}

type PolicyRow = (
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
);

fn slot(name: Option<String>, fingerprint: Option<String>, index: Option<String>) -> Option<Slot> {
    Some(Slot { name: name?, fingerprint: fingerprint?, index: index? })
}

fn slot_values(slot: Option<&Slot>) -> [Option<CqlValue>; 3] {
    match slot {
        Some(slot) => [&slot.name, &slot.fingerprint, &slot.index].map(|it| Some(CqlValue::Text(it.clone()))),
        None => [None, None, None],
    }
}

impl Policies {
    /// The indexes that every write keeps.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Slot> {
        self.active.iter().chain(&self.building)
    }

    /// The active index, if this policy cut it.
    pub(super) fn active_named(&self, policy: &str) -> Option<&Slot> {
        self.active.as_ref().filter(|active| active.name == policy)
    }

    /// A new index for a policy.
    pub(super) fn new_slot(&self, policy: &PolicyIdentity, shards: u32) -> Slot {
        Slot {
            name: policy.name.clone(),
            fingerprint: policy.fingerprint.clone(),
            index: index_name(&policy.name, self.revision.unwrap_or(0) + 1, shards),
        }
    }

    fn values(&self, revision: i64) -> Values {
        let mut values = vec![Some(CqlValue::BigInt(revision))];
        values.extend(slot_values(self.active.as_ref()));
        values.extend(slot_values(self.building.as_ref()));
        values
    }
}

impl Shared {
    /// The policies whose indexes are kept: none where others write watches, or
    /// the index's tables are missing.
    pub(super) async fn policies(&self) -> Result<Policies, Error> {
        match self.options.external_writers {
            true => Ok(Policies::default()),
            false => self.policy_row().await,
        }
    }

    /// Reads the row.
    async fn policy_row(&self) -> Result<Policies, Error> {
        let Some(index) = &self.statements.index else { return Ok(Policies::default()) };
        let broken = |error: &dyn std::fmt::Display| misfit(self.requests.name(Table::Policies), error);
        let rows = self.requests.read(&index.policies, &Values::new()).await?;
        let row = rows.maybe_first_row::<PolicyRow>().map_err(|error| broken(&error))?;
        let policies = row.map(|(revision, n, f, i, b_n, b_f, b_i)| Policies {
            revision,
            active: slot(n, f, i),
            building: slot(b_n, b_f, b_i),
        });
        let policies = policies.unwrap_or_default();
        *lock(&self.known_policies) = Some(policies.clone());
        Ok(policies)
    }

    /// The row as it was last read.
    pub(super) async fn known_policies(&self) -> Result<Policies, Error> {
        let known = lock(&self.known_policies).clone();
        match known {
            Some(known) => Ok(known),
            None => self.policies().await,
        }
    }

    /// Changes the row; `change` answers what it becomes, or why not. The row
    /// as it is then.
    pub(super) async fn change_policies(
        &self,
        mut change: impl FnMut(&Policies) -> Result<Policies, Error> + Send,
    ) -> Result<Policies, Error> {
        let statement = &self.index()?.change_policies;
        for _ in 0..POLICY_CHANGES {
            let before = self.policy_row().await?;
            let after = change(&before)?;
            if after == before {
                return Ok(after);
            }
            let revision = before.revision.unwrap_or(0) + 1;
            let mut values = after.values(revision);
            values.push(before.revision.map(CqlValue::BigInt));
            let answer = self.requests.compare_and_set(statement, &values).await;
            // Whatever became of it, the row says: an unknown outcome too.
            let now = self.policy_row().await?;
            let landed = Policies { revision: now.revision, ..after } == now;
            match answer {
                Ok(rows) if applied(&rows) || landed => return Ok(now),
                Ok(_) => {}
                Err(_) if landed => return Ok(now),
                Err(error @ Error::Broken(_)) => return Err(error),
                Err(error) => tracing::debug!(%error, "changing the policy row again"),
            }
        }
        Err(Error::Unavailable("others keep changing the policy row; try again".into()))
    }

    /// Gives up the index where others write watches: from now on it has gaps.
    /// A policy that is made active later gets a new one.
    pub(super) async fn retire_index(&self) {
        if !self.options.external_writers || self.statements.index.is_none() {
            return;
        }
        let none = |before: &Policies| Ok(Policies { active: None, building: None, ..before.clone() });
        if let Err(error) = self.change_policies(none).await {
            tracing::warn!(%error, "external_writers is on, and the index by bucket could not be given up: do not turn it off again before that");
        }
    }

    /// The loaded policy that cuts an index: the serving one, or one that is
    /// being moved to.
    pub(super) fn policy_of(&self, slot: &Slot) -> Option<Arc<dyn Bucketing>> {
        let migrating = lock(&self.migrating).clone();
        let serving = lock(&self.plugins).bucketing();
        let loaded = [serving, migrating].into_iter().flatten();
        loaded.into_iter().find(|policy| policy.identity().fingerprint == slot.fingerprint)
    }
}

/// The first column of an answer to a compare-and-set.
fn applied(rows: &scylla::response::query_result::QueryRowsResult) -> bool {
    let row = rows.maybe_first_row::<Row>().ok().flatten();
    row.and_then(|row| row.columns.into_iter().next().flatten()) == Some(CqlValue::Boolean(true))
}

/// The buckets of some prices; none: the policy is not loaded or gave no answer
/// of its contract.
pub(super) async fn cut(
    policy: Option<Arc<dyn Bucketing>>,
    product: &ProductId,
    prices: Vec<Price>,
) -> Option<Vec<BucketId>> {
    cut_each(policy, vec![(product.clone(), prices)]).await.pop().flatten()
}

/// The same of several products. Plugins compute, so it runs where blocking is
/// allowed, all of it at one go.
pub(super) async fn cut_each(
    policy: Option<Arc<dyn Bucketing>>,
    asked: Vec<(ProductId, Vec<Price>)>,
) -> Vec<Option<Vec<BucketId>>> {
    let none = vec![None; asked.len()];
    let Some(policy) = policy else { return none };
    let one = move |(product, prices): &(ProductId, Vec<Price>)| {
        let buckets = policy.buckets_of(product, prices).ok()?;
        (buckets.len() == prices.len()).then_some(buckets)
    };
    let cut = tokio::task::spawn_blocking(move || asked.iter().map(one).collect());
    cut.await.unwrap_or(none)
}

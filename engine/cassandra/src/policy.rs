//! Reads and changes the row that names the active index and the one being built, and asks
//! policies for buckets. The row is changed by compare-and-set only.

use std::sync::Arc;

use pricedrop_model::plugin::Bucketing;
use pricedrop_model::ports::Error;
use pricedrop_model::sync::lock;
use pricedrop_model::{BucketId, Price, ProductId};
use scylla::value::{CqlValue, Row};

use super::error::misfit;
use super::index_build::{IndexBuild, Policies, PolicyRow, index_build};
use super::limits::POLICY_CHANGES;
use super::requests::Values;
use super::shared::Shared;
use super::tables::Table;

impl Shared {
    /// Returns the policies whose indexes are kept. There are none with `external_writers`, or if
    /// the tables of the index are missing.
    pub(super) async fn policies(&self) -> Result<Policies, Error> {
        match self.options.external_writers {
            true => Ok(Policies::default()),
            false => self.policy_row().await,
        }
    }

    /// Reads the row.
    async fn policy_row(&self) -> Result<Policies, Error> {
        let Some(index) = &self.statements.index else { return Ok(Policies::default()) };
        let table = self.requests.name(Table::Policies);
        let rows = self.requests.read(&index.policies, &Values::new()).await?;
        let row = rows.maybe_first_row::<PolicyRow>().map_err(misfit(table))?;
        let policies = row.map(|(revision, n, f, i, b_n, b_f, b_i)| Policies {
            revision,
            active: index_build(n, f, i),
            building: index_build(b_n, b_f, b_i),
        });
        let policies = policies.unwrap_or_default();
        *lock(&self.known_policies) = Some(policies.clone());
        Ok(policies)
    }

    /// Returns the row as it was last read.
    pub(super) async fn known_policies(&self) -> Result<Policies, Error> {
        let known = lock(&self.known_policies).clone();
        match known {
            Some(known) => Ok(known),
            None => self.policies().await,
        }
    }

    /// Changes the row to what `change` returns, or fails with the error of `change`. Returns the
    /// row as stored after that.
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
            // The row itself shows the outcome, also if the answer was lost.
            let now = self.policy_row().await?;
            let landed = Policies { revision: now.revision, ..after } == now;
            match answer {
                Ok(rows) if applied(&rows) || landed => return Ok(now),
                Ok(_) => {}
                Err(_) if landed => return Ok(now),
                Err(error @ Error::Fatal(_)) => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, "the policy row was not changed; trying again")
                }
            }
        }
        Err(Error::Unavailable("other engines keep changing the policy row; try again".into()))
    }

    /// Makes no index active if there are external writers, because the index misses their rows
    /// from now on. A policy that becomes active later gets a new index.
    pub(super) async fn retire_index(&self) {
        if !self.options.external_writers || self.statements.index.is_none() {
            return;
        }
        let none = |before: &Policies| Ok(Policies { active: None, building: None, ..before.clone() });
        if let Err(error) = self.change_policies(none).await {
            tracing::warn!(%error, "external_writers is on, but the index by bucket could not be invalidated: do not turn external_writers off before this succeeds");
        }
    }

    /// Returns the loaded policy that built an index: the active one, or that of a running
    /// migration.
    pub(super) fn policy_of(&self, build: &IndexBuild) -> Option<Arc<dyn Bucketing>> {
        let migrating = lock(&self.migrating).clone();
        let serving = lock(&self.plugins).bucketing();
        let loaded = [serving, migrating].into_iter().flatten();
        loaded.into_iter().find(|policy| policy.identity().fingerprint == build.fingerprint)
    }
}

/// Returns whether a compare-and-set was applied: the first column of its answer.
fn applied(rows: &scylla::response::query_result::QueryRowsResult) -> bool {
    let row = rows.maybe_first_row::<Row>().ok().flatten();
    row.and_then(|row| row.columns.into_iter().next().flatten()) == Some(CqlValue::Boolean(true))
}

/// Returns the buckets of prices, or `None` if the policy is not loaded or did not return one
/// bucket for each price.
pub(super) async fn assign_bucket(
    policy: Option<Arc<dyn Bucketing>>,
    product: &ProductId,
    prices: Vec<Price>,
) -> Option<Vec<BucketId>> {
    assign_buckets(policy, vec![(product.clone(), prices)]).await.pop().flatten()
}

/// Returns the buckets of the prices of several products. Plugins are CPU-bound, so one blocking
/// task computes all of them.
pub(super) async fn assign_buckets(
    policy: Option<Arc<dyn Bucketing>>,
    asked: Vec<(ProductId, Vec<Price>)>,
) -> Vec<Option<Vec<BucketId>>> {
    let none = vec![None; asked.len()];
    let Some(policy) = policy else { return none };
    let one = move |(product, prices): &(ProductId, Vec<Price>)| {
        let buckets = policy.buckets_of(product, prices).ok()?;
        (buckets.len() == prices.len()).then_some(buckets)
    };
    let assigned = tokio::task::spawn_blocking(move || asked.iter().map(one).collect());
    assigned.await.unwrap_or(none)
}

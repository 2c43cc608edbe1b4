//! Stores which bucketing policy is active, and migrates to another one.
//!
//! A migration has four steps:
//! 1. It names the new index in the policy row. From then on every writer updates that index too,
//!    or clears its `verified_at` if it cannot.
//! 2. It builds and verifies the new index for each product that is read by bucket.
//! 3. It makes the new index the active one with one compare-and-set.
//! 4. It deletes the old index when no view can read it any more.
//!
//! Invariant: even if a migration is interrupted, the active index of a product is complete, or
//! the product is read by one range scan without an index.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pricedrop_model::ProductId;
use pricedrop_model::migration::Progress;
use pricedrop_model::plugin::{Bucketing, PolicyIdentity};
use pricedrop_model::ports::{Error, PolicyRegistry};
use pricedrop_model::sync::lock;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::value::{CqlTimestamp, CqlValue};

use super::cached_rows::Live;
use super::error::misfit;
use super::index_build::{IndexBuild, Policies};
use super::part::text;
use super::repair::Repair;
use super::requests::Values;
use super::shards::shards_of;
use super::shared::Shared;
use super::tables::Table;
use super::watches::CassandraWatches;
use super::write::at;

/// The bucketing policies of the keyspace.
#[derive(Clone)]
pub struct CassandraPolicies(Arc<Shared>);

/// The policies of the keyspace, and how many products each index has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The policy whose index is read.
    pub active: Option<PolicyIdentity>,
    /// The policy that a migration is building an index for.
    pub building: Option<PolicyIdentity>,
    /// Products that are read by bucket.
    pub verified: u64,
    /// Products with rows in the active index that are read by the plain range: small ones, and
    /// those that wait for a repair.
    pub unverified: u64,
    /// Products with rows in an index that is neither active nor being built.
    pub leftover: u64,
    /// Shards of each bucket of the active index.
    pub shards: u32,
    /// The configured number of shards. A migration to the same policy applies it.
    pub shards_wanted: u32,
}

/// One product in one index.
struct Kept {
    product: ProductId,
    index: String,
    verified: bool,
}

/// While this exists, writes of this process update the index of that policy too.
struct Migrating<'a>(&'a Shared);

impl Drop for Migrating<'_> {
    fn drop(&mut self) {
        // The policy that was moved to is the loaded one from now on. Until it is loaded, a write
        // only clears `verified_at`.
        *lock(&self.0.migrating) = None;
    }
}

impl CassandraPolicies {
    pub(super) fn new(shared: Arc<Shared>) -> CassandraPolicies {
        CassandraPolicies(shared)
    }

    /// Returns the watches of the same keyspace.
    pub(super) fn watches(&self) -> CassandraWatches {
        CassandraWatches::new(self.0.clone())
    }

    /// Returns the number of watches above which a product is read by bucket.
    pub(super) fn bucket_threshold(&self) -> u64 {
        self.0.options.bucket_threshold
    }

    /// Counts the products of every index.
    ///
    /// # Errors
    /// Cassandra is unreachable; try again.
    pub async fn status(&self) -> Result<Status, Error> {
        let policies = self.0.policies().await?;
        let mut status = Status {
            active: policies.active.as_ref().map(IndexBuild::identity),
            building: policies.building.as_ref().map(IndexBuild::identity),
            shards: policies.active.as_ref().map_or(1, |active| shards_of(&active.index)),
            shards_wanted: self.0.options.shards,
            ..Status::default()
        };
        let is = |build: &Option<IndexBuild>, kept: &Kept| {
            build.as_ref().is_some_and(|build| build.index == kept.index)
        };
        for kept in self.kept().await? {
            match (is(&policies.active, &kept), is(&policies.building, &kept)) {
                (true, _) if kept.verified => status.verified += 1,
                (true, _) => status.unverified += 1,
                (false, true) => {}
                (false, false) => status.leftover += 1,
            }
        }
        Ok(status)
    }

    /// Returns whether the number of shards of the active index differs from the configured one.
    ///
    /// # Errors
    /// Cassandra is unreachable; try again.
    pub async fn shards_differ(&self) -> Result<bool, Error> {
        let active = self.0.policies().await?.active;
        Ok(active.is_some_and(|active| shards_of(&active.index) != self.0.options.shards))
    }

    /// Builds or repairs a product's index, so that the product is read by bucket. Returns how
    /// many watches it has.
    ///
    /// # Errors
    /// Cassandra is unreachable, no policy is active, the active policy is not loaded here, or
    /// `external_writers` is set.
    pub async fn repair(&self, product: &ProductId) -> Result<u64, Error> {
        if self.0.options.external_writers {
            return Err(Error::Fatal(
                "with external_writers every product is read by plain range; no index is kept".into(),
            ));
        }
        let none = || Error::Fatal("no bucketing policy is active, or it is not loaded here".into());
        self.0.repair_active(product, true).await?.ok_or_else(none)
    }

    /// Builds this policy's index for every product that is read by bucket, and makes it the
    /// active one. Notifications are correct at every moment of the migration.
    ///
    /// # Errors
    /// Cassandra is unreachable, the policy does not answer, or another migration began meanwhile.
    /// The active policy stays active, and the migration can be repeated. With `external_writers`
    /// there is no index to migrate.
    pub async fn migrate(
        &self,
        policy: Arc<dyn Bucketing>,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<(), Error> {
        let shared = &self.0;
        if shared.options.external_writers {
            return Err(Error::Fatal(
                "with external_writers no index is kept, so there is nothing to move".into(),
            ));
        }
        *lock(&shared.migrating) = Some(policy.clone());
        let _migrating = Migrating(shared);
        let identity = policy.identity().clone();
        let shards = shared.options.shards;
        let policies = shared.change_policies(|before| Ok(begin(before, &identity, shards))).await?;
        let Some(build) = policies.building else {
            progress(Progress::Done);
            return Ok(());
        };
        let products = self.to_move(policies.active.as_ref()).await?;
        let mut watches = 0;
        for (done, product) in products.iter().enumerate() {
            progress(Progress::Building { products: done, of: products.len(), watches });
            watches += Repair { shared, product, build: &build, policy: policy.clone() }.run().await?;
        }
        for (done, product) in products.iter().enumerate() {
            progress(Progress::Verifying { products: done, of: products.len() });
            if !Live::read(shared, product, &build.index).await?.verified {
                // An engine without the policy has written to the product meanwhile.
                Repair { shared, product, build: &build, policy: policy.clone() }.run().await?;
            }
        }
        shared.change_policies(|before| cut_over(before, &build)).await?;
        progress(Progress::CutOver);
        tokio::time::sleep(Duration::from_millis(shared.options.drop_after_ms)).await;
        self.drop_leftover().await?;
        progress(Progress::Done);
        Ok(())
    }

    /// Returns the products that are read by bucket, or should be.
    async fn to_move(&self, active: Option<&IndexBuild>) -> Result<Vec<ProductId>, Error> {
        let mut products: BTreeSet<ProductId> = self.0.large_products.all().into_iter().collect();
        let served = |kept: &Kept| kept.verified && active.is_some_and(|active| active.index == kept.index);
        products.extend(self.kept().await?.into_iter().filter(served).map(|kept| kept.product));
        Ok(products.into_iter().collect())
    }

    /// Returns every product of every index.
    async fn kept(&self) -> Result<Vec<Kept>, Error> {
        let requests = &self.0.requests;
        let table = requests.name(Table::Live);
        let (mut all, mut state) = (Vec::new(), PagingState::start());
        loop {
            let (rows, next) = requests.page(&self.0.index()?.indexed, &Values::new(), state).await?;
            let rows = rows.rows::<(&str, String, Option<CqlTimestamp>)>().map_err(misfit(table))?;
            for row in rows {
                let (product, index, verified) = row.map_err(misfit(table))?;
                if let Ok(product) = ProductId::new(product) {
                    all.push(Kept { product, index, verified: verified.is_some() });
                }
            }
            match next {
                PagingStateResponse::HasMorePages { state: next } => state = next,
                PagingStateResponse::NoMorePages => return Ok(all),
            }
        }
    }

    /// Deletes every index that is neither active nor being built.
    async fn drop_leftover(&self) -> Result<(), Error> {
        let policies = self.0.policies().await?;
        let statements = self.0.index()?;
        for kept in self.kept().await? {
            if policies.kept().any(|build| build.index == kept.index) {
                continue;
            }
            let stamp = self.0.write_timestamps.next().write_time.0;
            let key = [text(kept.product.as_str()), text(&kept.index)];
            let live = Live::read(&self.0, &kept.product, &kept.index).await?;
            for bucket in &live.buckets {
                for shard in 0..shards_of(&kept.index) as i32 {
                    let mut values = [at(stamp), key.to_vec()].concat();
                    values.extend([Some(CqlValue::BigInt(bucket.0)), Some(CqlValue::Int(shard))]);
                    self.0.requests.write(&[(&statements.drop_bucket, values)]).await?;
                }
            }
            self.0.requests.write(&[(&statements.drop_live, [at(stamp), key.to_vec()].concat())]).await?;
        }
        Ok(())
    }
}

/// Returns the policy row at the start of a migration. A policy with the same fingerprint and
/// number of shards as the active one needs no migration.
fn begin(before: &Policies, policy: &PolicyIdentity, shards: u32) -> Policies {
    let mut after = before.clone();
    let like = |build: &Option<IndexBuild>| {
        let alike =
            |build: &IndexBuild| build.fingerprint == policy.fingerprint && shards_of(&build.index) == shards;
        build.as_ref().is_some_and(alike)
    };
    if like(&before.active) {
        after.building = None;
        if let Some(active) = &mut after.active {
            active.name.clone_from(&policy.name);
        }
    } else if !like(&before.building) {
        after.building = Some(before.new_index(policy, shards));
    }
    after
}

fn cut_over(before: &Policies, build: &IndexBuild) -> Result<Policies, Error> {
    if before.active.as_ref() == Some(build) {
        return Ok(before.clone());
    }
    if before.building.as_ref() != Some(build) {
        return Err(Error::Fatal("somebody else began to move to another policy; theirs goes on".into()));
    }
    Ok(Policies { active: Some(build.clone()), building: None, ..before.clone() })
}

#[async_trait]
impl PolicyRegistry for CassandraPolicies {
    async fn active(&self) -> Result<Option<PolicyIdentity>, Error> {
        Ok(self.0.policies().await?.active.as_ref().map(IndexBuild::identity))
    }

    async fn activate(&self, policy: &PolicyIdentity) -> Result<(), Error> {
        if self.0.options.external_writers || self.0.statements.index.is_none() {
            // No index is kept, whichever policy is loaded.
            return Ok(());
        }
        let change = |before: &Policies| {
            let mut after = before.clone();
            match &mut after.active {
                None => after.active = Some(before.new_index(policy, self.0.options.shards)),
                Some(active) if active.fingerprint == policy.fingerprint => {
                    active.name.clone_from(&policy.name)
                }
                Some(active) => {
                    return Err(Error::Fatal(format!(
                        "{} assigns other buckets than {}, which is active: move to it with `pricedrop buckets migrate`",
                        policy.name, active.name
                    ).into()));
                }
            }
            Ok(after)
        };
        self.0.change_policies(change).await.map(|_| ())
    }
}

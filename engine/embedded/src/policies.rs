//! Stores which bucketing policy is active, and migrates to another one.
//!
//! A migration builds the new index of every large product beside the old one. Meanwhile writes
//! update both, and reads use the old one. When all new indexes are built and compared with the
//! plain rows, one write makes the new policy the active one, and the old indexes are dropped.
//!
//! Invariant: even if a migration is interrupted, the active policy's index of a product is
//! complete, or the product is read by one range scan without an index.

use std::sync::Arc;

use async_trait::async_trait;
use pricedrop_model::migration::{IndexStatus, OnProgress, PolicyMigration, Progress, Repaired};
use pricedrop_model::plugin::{Bucketing, PolicyIdentity};
use pricedrop_model::ports::{Error, PolicyRegistry};
use pricedrop_model::sync::lock;
use pricedrop_model::{BucketId, ProductId};

use super::index::{self, ReadPolicies as _};
use super::indexing::{self, Step};
use super::limits::STEP_ROWS;
use super::shared::{Inner, Shared};
use super::tables::Table;
use super::{keys, rows};

/// The bucketing policies of the store.
#[derive(Clone)]
pub struct EmbeddedPolicies(Arc<Inner>);

/// While this exists, writes update the indexes of that policy too.
struct Migrating<'a> {
    shared: &'a Shared,
    done: bool,
}

impl<'a> Migrating<'a> {
    fn start(shared: &'a Shared, policy: &Arc<dyn Bucketing>) -> Migrating<'a> {
        *lock(&shared.migrating) = Some(policy.clone());
        Migrating { shared, done: false }
    }
}

impl Drop for Migrating<'_> {
    fn drop(&mut self) {
        // After a finished migration the policy stays here until it is loaded as the active one.
        // Otherwise writes would drop its indexes in between.
        if !self.done {
            *lock(&self.shared.migrating) = None;
        }
    }
}

impl EmbeddedPolicies {
    pub(super) fn new(inner: Arc<Inner>) -> EmbeddedPolicies {
        EmbeddedPolicies(inner)
    }

    /// Builds this policy's index for every large product, and makes it the active policy.
    /// Notifications are correct at every moment of the migration.
    ///
    /// # Errors
    /// The store is unavailable, or the policy gives no buckets or different ones each time. The
    /// policy that was active stays active.
    pub async fn migrate(
        &self,
        policy: Arc<dyn Bucketing>,
        mut progress: impl FnMut(Progress) + Send,
    ) -> Result<(), Error> {
        let shared = &self.0.shared;
        let mut migrating = Migrating::start(shared, &policy);
        let identity = policy.identity().clone();
        let registered = identity.clone();
        let mapping = self.0.writer().write(move |txn| index::register(txn, &registered)).await?;
        let products = indexing::large_products(shared)?;
        let mut watches = 0;
        for (done, product) in products.iter().enumerate() {
            progress(Progress::Building { products: done, of: products.len(), watches });
            watches += self.build(product, mapping).await?;
        }
        for (done, product) in products.iter().enumerate() {
            progress(Progress::Verifying { products: done, of: products.len() });
            verify(shared, product, mapping, &*policy)?;
        }
        let cut_over = self.0.writer().write(move |txn| {
            index::set_active(txn, &identity, mapping);
            Ok(())
        });
        cut_over.await?;
        migrating.done = true;
        progress(Progress::CutOver);
        self.drop_old(products).await?;
        progress(Progress::Done);
        Ok(())
    }

    /// Builds one product's index of a mapping. Returns how many rows it copied.
    async fn build(&self, product: &ProductId, mapping: u32) -> Result<u64, Error> {
        let (mut step, mut watches) = (Step::Begin, 0);
        loop {
            let (shared, product) = (self.0.shared.clone(), product.clone());
            let built =
                self.0.writer().write(move |txn| indexing::build_step(txn, &shared, &product, mapping, step));
            let built = built.await?;
            watches += built.rows;
            match built.next {
                Some(next) => step = next,
                None if built.complete => return Ok(watches),
                None => return Err(Error::Fatal("the policy gave no buckets; nothing is changed".into())),
            }
        }
    }

    async fn drop_old(&self, products: Vec<ProductId>) -> Result<(), Error> {
        for some in products.chunks(STEP_ROWS) {
            let some = some.to_vec();
            let dropped = self
                .0
                .writer()
                .write(move |txn| some.iter().try_for_each(|product| indexing::drop_inactive(txn, product)));
            dropped.await?;
        }
        self.0.shared.work.rescan();
        Ok(())
    }
}

/// Compares an index with the plain rows in one snapshot.
fn verify(shared: &Shared, product: &ProductId, mapping: u32, policy: &dyn Bucketing) -> Result<(), Error> {
    let broken =
        |what: &str| Error::Fatal(format!("product {product}: {what}; the old policy stays active").into());
    let missing = shared.store.read(|store| {
        let snapshot = store.snapshot();
        let prefix = keys::product(product);
        let Some(row) = fjall::Readable::get(&snapshot, store.table(Table::Products), &prefix)? else {
            return Ok(Some("")); // All its watches are gone meanwhile.
        };
        let row: rows::ProductRow = rows::decode(&row)?;
        let Some(index) = row.index_of(mapping) else { return Ok(Some("its index was dropped meanwhile")) };
        let plain = fjall::Readable::prefix(&snapshot, store.table(Table::Watches), &prefix);
        let mut indexed = 0;
        let mut last = BucketId(i64::MIN);
        let mut plain = plain.peekable();
        while plain.peek().is_some() {
            let mut some = Vec::with_capacity(STEP_ROWS);
            for guard in plain.by_ref().take(STEP_ROWS) {
                let (key, value) = guard.into_inner()?;
                some.push((keys::split_watch(&key)?, value));
            }
            let prices: Vec<_> = some.iter().map(|((_, threshold, _), _)| *threshold).collect();
            let Ok(buckets) = policy.buckets_of(product, &prices) else {
                return Ok(Some("the policy gave no buckets"));
            };
            for (((_, threshold, user), value), bucket) in some.into_iter().zip(buckets) {
                let key = keys::indexed(index, bucket, threshold, user.as_str());
                let found = fjall::Readable::get(&snapshot, store.table(Table::Index), key)?;
                if found.as_ref() != Some(&value) || bucket < last {
                    return Ok(Some("its index differs from its watches"));
                }
                (last, indexed) = (bucket, indexed + 1);
            }
        }
        let rows = fjall::Readable::prefix(&snapshot, store.table(Table::Index), index.to_be_bytes());
        let same = rows.count() == indexed;
        Ok((!same).then_some("its index has rows its watches have not"))
    })?;
    match missing {
        None | Some("") => Ok(()),
        Some(what) => Err(broken(what)),
    }
}

#[async_trait]
impl PolicyRegistry for EmbeddedPolicies {
    async fn active(&self) -> Result<Option<PolicyIdentity>, Error> {
        let active = self.0.shared.store.read(|store| store.active_policy())?;
        Ok(active.map(|active| active.identity()))
    }

    async fn activate(&self, policy: &PolicyIdentity) -> Result<(), Error> {
        let identity = policy.clone();
        let refused = self.0.writer().write(move |txn| {
            let active = txn.active_policy()?;
            if let Some(active) = active.filter(|active| active.fingerprint != identity.fingerprint) {
                return Ok(Some(active.name));
            }
            let mapping = index::register(txn, &identity)?;
            index::set_active(txn, &identity, mapping);
            Ok(None)
        });
        if let Some(active) = refused.await? {
            return Err(Error::Fatal(format!(
                "{} assigns other buckets than {active}, which is active: move to it with `pricedrop buckets migrate`",
                policy.name
            ).into()));
        }
        self.0.shared.work.rescan();
        Ok(())
    }
}

#[async_trait]
impl PolicyMigration for EmbeddedPolicies {
    /// Returns `None`: the embedded store does not count its indexes.
    async fn status(&self) -> Result<Option<IndexStatus>, Error> {
        Ok(None)
    }

    async fn migrate(&self, policy: Arc<dyn Bucketing>, progress: OnProgress<'_>) -> Result<(), Error> {
        EmbeddedPolicies::migrate(self, policy, progress).await
    }

    async fn repair(&self, _: Option<ProductId>, _: OnProgress<'_>) -> Result<Option<Repaired>, Error> {
        Ok(None)
    }
}

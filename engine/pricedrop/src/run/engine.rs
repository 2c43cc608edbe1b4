//! Implements the `Engine` port of the API: readiness, plugins and buckets.

use std::sync::Arc;

use async_trait::async_trait;
use pricedrop_archive::Metrics;
use pricedrop_model::ProductId;
use pricedrop_model::engine::{Buckets, BucketsError, Engine, Migrated};
use pricedrop_model::health::{Reason, Severity};
use pricedrop_model::migration::{PolicyMigration, Repaired};
use pricedrop_model::plugin;
use pricedrop_model::ports::Error;
use pricedrop_pipeline::dispatcher::BreakerState;
use pricedrop_pipeline::{dispatcher, notifier};

use super::plugins::Loaded;
use super::stores::Health;

/// The parts of the engine, for the API to inspect.
pub struct Status {
    /// The troubles of each notifier.
    pub notifiers: Vec<notifier::Trouble>,
    /// The metrics of the dispatcher.
    pub dispatcher: Arc<dispatcher::Metrics>,
    /// The metrics of the archiver.
    pub archive: Arc<Metrics>,
    /// The health of the stores.
    pub health: Arc<dyn Health>,
    /// The active bucketing policy, as stored.
    pub policies: Arc<dyn PolicyMigration>,
    /// The plugins.
    pub plugins: Loaded,
}

fn reason(part: impl Into<String>, severity: Severity, reason: impl Into<String>) -> Reason {
    Reason { part: part.into(), severity, reason: reason.into() }
}

#[async_trait]
impl Engine for Status {
    async fn reasons(&self) -> Vec<Reason> {
        let mut reasons = self.health.reasons();
        let troubles = self.notifiers.iter().filter_map(notifier::Trouble::get);
        reasons.extend(troubles.map(|why| reason("notifier", Severity::Error, why)));
        for provider in self.dispatcher.breakers() {
            let why = match provider.state {
                BreakerState::Failing => continue,
                BreakerState::Open => "its deliveries wait, other channels are not affected",
                BreakerState::HalfOpen => "one delivery tests whether it works again",
            };
            let why = format!("the provider fails ({}): {why}", provider.reason);
            reasons.push(reason(provider.name, Severity::Warning, why));
        }
        let archive = self.archive.reasons().into_iter();
        reasons.extend(archive.map(|why| reason("archive", Severity::Warning, why)));
        reasons.extend(self.plugins.warnings());
        reasons
    }

    async fn plugins(&self) -> plugin::Status {
        self.plugins.status()
    }

    async fn normalize(&self, channel: &str, addresses: Vec<String>) -> Vec<Result<String, String>> {
        self.plugins.normalize(channel, addresses).await
    }

    async fn buckets(&self) -> Result<Buckets, Error> {
        self.plugins.buckets(&*self.policies).await
    }

    async fn migrate_buckets(&self) -> Result<Migrated, BucketsError> {
        self.plugins.migrate(self.policies.clone()).await
    }

    async fn repair_buckets(&self, product: Option<ProductId>) -> Result<Repaired, BucketsError> {
        self.plugins.repair(self.policies.clone(), product).await
    }
}

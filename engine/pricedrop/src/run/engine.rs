//! The engine as the API sees it: well or not, and in figures.

use std::sync::Arc;

use async_trait::async_trait;
use pricedrop_adapters::embedded::{Embedded, PriceIntake};
use pricedrop_http::{Engine, Measure, MigrateError, Reason, Severity};
use pricedrop_model::seams::Error;
use pricedrop_pipeline::dispatcher::BreakerState;
use pricedrop_pipeline::{dispatcher, notifier};
use serde_json::Value;

use super::measures;
use super::plugins::Loaded;

/// Looks into every part.
pub struct Status {
    /// The notifier's.
    pub notifier: Arc<notifier::Counters>,
    /// The dispatcher's.
    pub dispatcher: Arc<dispatcher::Counters>,
    /// Where prices come in.
    pub intake: PriceIntake,
    /// The store.
    pub store: Embedded,
    /// The plugins.
    pub plugins: Loaded,
}

fn reason(part: impl Into<String>, severity: Severity, reason: impl Into<String>) -> Reason {
    Reason { part: part.into(), severity, reason: reason.into() }
}

#[async_trait]
impl Engine for Status {
    async fn reasons(&self) -> Vec<Reason> {
        let mut reasons = Vec::new();
        reasons.extend(self.store.down().map(|why| reason("store", Severity::Error, why)));
        reasons.extend(self.notifier.trouble().map(|why| reason("notifier", Severity::Error, why)));
        for (provider, state) in self.dispatcher.breakers() {
            let why = match state {
                BreakerState::Failing => continue,
                BreakerState::Open => "it fails: its deliveries wait, other channels go on",
                BreakerState::HalfOpen => "it failed, and one request is finding out whether it is back",
            };
            reasons.push(reason(provider, Severity::Warning, why));
        }
        reasons.extend(self.plugins.warnings());
        reasons
    }

    async fn plugins(&self) -> Value {
        self.plugins.status()
    }

    async fn buckets(&self) -> Result<Value, Error> {
        self.plugins.buckets(&self.store).await
    }

    async fn migrate_buckets(&self) -> Result<Value, MigrateError> {
        self.plugins.migrate(&self.store).await
    }

    async fn measures(&self) -> Vec<Measure> {
        let mut all = measures::of_notifier(&self.notifier);
        all.push(Measure::gauge(
            "input_offset",
            "Records below it are committed",
            self.intake.log_at() as f64,
        ));
        all.push(Measure::gauge(
            "intake_waiting",
            "Records waiting for the notifier",
            self.intake.waiting() as f64,
        ));
        all.extend(measures::of_dispatcher(&self.dispatcher));
        all.extend(self.plugins.measures());
        // A store that is away shows in /readyz.
        let disk = self.store.disk_bytes().ok();
        all.extend(disk.map(|bytes| Measure::gauge("disk_bytes", "The store on disk", bytes as f64)));
        all.extend(measures::resident());
        all
    }
}

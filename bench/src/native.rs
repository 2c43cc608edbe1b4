//! The default policies in native Rust, as the baseline for WASM.

use std::sync::Arc;

use pricedrop_host::{Host, Options};
use pricedrop_model::channel::Channel;
use pricedrop_model::plugin::{
    Answer, Arrival, Bucketing, Decision, Error, Plugins, PolicyIdentity, Release, Subject, Throttling,
};
use pricedrop_model::{BucketId, Price, ProductId, WallTime};

/// Bucketing by floor(price / 10).
pub struct Floor(PolicyIdentity);

impl Bucketing for Floor {
    fn identity(&self) -> &PolicyIdentity {
        &self.0
    }

    fn buckets_of(&self, _product: &ProductId, prices: &[Price]) -> Result<Vec<BucketId>, Error> {
        let bucket = |price: &Price| BucketId(price.units() / 10i64.pow(u32::from(price.scale()) + 1));
        Ok(prices.iter().map(bucket).collect())
    }

    fn report_breach(&self, product: &ProductId, what: &str) {
        panic!("{product}: {what}");
    }
}

/// Throttling that passes every update, but reads each.
pub struct Pass;

impl Throttling for Pass {
    fn decide(&self, arrivals: &[Arrival<'_>]) -> Vec<Result<Answer<Decision>, Error>> {
        arrivals.iter().map(|_| Ok(Answer { decision: Decision::Pass, saved: None })).collect()
    }

    fn due(&self, subjects: &[Subject<'_>], _now: WallTime) -> Vec<Result<Answer<Release>, Error>> {
        subjects.iter().map(|_| Ok(Answer { decision: Release::Last, saved: None })).collect()
    }
}

/// Both policies.
pub struct Native;

impl Plugins for Native {
    fn bucketing(&self) -> Option<Arc<dyn Bucketing>> {
        let identity = PolicyIdentity { name: "native".into(), fingerprint: "native".into() };
        Some(Arc::new(Floor(identity)))
    }
    fn throttling(&self) -> Option<Arc<dyn Throttling>> {
        Some(Arc::new(Pass))
    }
    fn channel(&self, _name: &str) -> Option<Arc<dyn Channel>> {
        None
    }
}

/// Returns a host with the shipped plugins, in WASM.
pub fn shipped() -> Arc<Host> {
    let options = Options {
        folder: pricedrop_harness::repository().join("plugins/dist"),
        bucketing: Some("bucketing-floor".into()),
        throttling: Some("throttling-coalesce".into()),
        reload: false,
        ..Options::default()
    };
    Arc::new(options.build().unwrap())
}

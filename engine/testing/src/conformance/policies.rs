//! The conformance suite for stores of the active bucketing policy.

use pricedrop_model::plugin::PolicyIdentity;
use pricedrop_model::ports::PolicyRegistry;

fn policy(name: &str, fingerprint: &str) -> PolicyIdentity {
    PolicyIdentity { name: name.into(), fingerprint: fingerprint.into() }
}

/// Before the first policy, none is active.
pub async fn the_first_policy_becomes_active<R: PolicyRegistry>(registry: R) {
    assert_eq!(registry.active().await.expect("answered"), None);
    registry.activate(&policy("floor@1+a", "f1")).await.expect("activated");
    assert_eq!(registry.active().await.expect("answered"), Some(policy("floor@1+a", "f1")));
}

/// A new version with the same fingerprint needs no migration.
pub async fn a_policy_that_cuts_alike_takes_over<R: PolicyRegistry>(registry: R) {
    registry.activate(&policy("floor@1+a", "f1")).await.expect("activated");
    registry.activate(&policy("floor@2+a", "f1")).await.expect("activated");
    assert_eq!(registry.active().await.expect("answered"), Some(policy("floor@2+a", "f1")));
}

/// With another fingerprint, watches would be looked for in the wrong buckets.
pub async fn a_policy_that_cuts_otherwise_is_refused<R: PolicyRegistry>(registry: R) {
    registry.activate(&policy("floor@1+a", "f1")).await.expect("activated");
    assert!(registry.activate(&policy("log@1+a", "f2")).await.is_err());
    assert_eq!(registry.active().await.expect("answered"), Some(policy("floor@1+a", "f1")));
}

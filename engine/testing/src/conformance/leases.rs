//! The conformance suite for implementations of the `Leases` port: leases and confirmations.

use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{Claim, Leases};
use pricedrop_model::time::{Clock as _, SystemClock};

/// Returns the current time, the end of a lease, and a later time. They are real times, because
/// stores delete leases that are over.
fn times() -> [WallTime; 3] {
    let now = SystemClock.now().0;
    [now, now + 60_000, now + 120_000].map(WallTime)
}

fn keys(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The second claim returns when the first lease ends, even within one call.
pub async fn only_one_claim_of_many_is_yours<L: Leases>(leases: L) {
    let [now, until, later] = times();
    let claims = leases.claim(&keys(&["a", "b", "a"]), now, until).await.expect("claimed");
    assert_eq!(claims, [Claim::Yours, Claim::Yours, Claim::Leased(until)]);
    let again = leases.claim(&keys(&["b", "c"]), WallTime(until.0 - 1), later).await.expect("claimed");
    assert_eq!(again, [Claim::Leased(until), Claim::Yours]);
}

/// The worker that held the lease may have crashed.
pub async fn a_lease_that_ended_can_be_claimed<L: Leases>(leases: L) {
    let [now, until, later] = times();
    leases.claim(&keys(&["a"]), now, until).await.expect("claimed");
    let claims = leases.claim(&keys(&["a"]), until, later).await.expect("claimed");
    assert_eq!(claims, [Claim::Yours]);
}

/// A confirmed delivery stays confirmed, even if it is released later.
pub async fn a_confirmation_outlives_its_lease<L: Leases>(leases: L) {
    let [now, until, later] = times();
    leases.claim(&keys(&["a"]), now, until).await.expect("claimed");
    leases.confirm(&keys(&["a"]), now).await.expect("confirmed");
    leases.release(&keys(&["a"])).await.expect("released");
    for at in [now, until, later] {
        let claims = leases.claim(&keys(&["a"]), at, WallTime(at.0 + 1)).await.expect("claimed");
        assert_eq!(claims, [Claim::Delivered]);
    }
}

/// Releasing a lease ends it, and no other.
pub async fn a_released_lease_can_be_claimed_at_once<L: Leases>(leases: L) {
    let [now, until, _] = times();
    leases.claim(&keys(&["a", "b"]), now, until).await.expect("claimed");
    leases.release(&keys(&["a", "unknown"])).await.expect("released");
    let claims = leases.claim(&keys(&["a", "b"]), now, until).await.expect("claimed");
    assert_eq!(claims, [Claim::Yours, Claim::Leased(until)]);
}

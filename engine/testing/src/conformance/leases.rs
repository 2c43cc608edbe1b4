//! What leases and confirmations promise.

use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{Claim, Leases};
use pricedrop_model::time::{Clock as _, SystemClock};

/// Now, a lease's end, and later: real times, for stores forget old ones.
fn times() -> [WallTime; 3] {
    let now = SystemClock.now().0;
    [now, now + 60_000, now + 120_000].map(WallTime)
}

fn keys(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The second claim is told how long the first lasts, within a call too.
pub async fn only_one_claim_of_many_is_yours<L: Leases>(leases: L) {
    let [now, until, later] = times();
    let claims = leases.claim(&keys(&["a", "b", "a"]), now, until).await.expect("claimed");
    assert_eq!(claims, [Claim::Yours, Claim::Yours, Claim::Leased(until)]);
    let again = leases.claim(&keys(&["b", "c"]), WallTime(until.0 - 1), later).await.expect("claimed");
    assert_eq!(again, [Claim::Leased(until), Claim::Yours]);
}

/// Whoever held it may be dead.
pub async fn a_lease_that_ended_can_be_claimed<L: Leases>(leases: L) {
    let [now, until, later] = times();
    leases.claim(&keys(&["a"]), now, until).await.expect("claimed");
    let claims = leases.claim(&keys(&["a"]), until, later).await.expect("claimed");
    assert_eq!(claims, [Claim::Yours]);
}

/// Delivered is delivered.
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

/// A failed attempt gives its lease back.
pub async fn a_released_lease_can_be_claimed_at_once<L: Leases>(leases: L) {
    let [now, until, _] = times();
    leases.claim(&keys(&["a", "b"]), now, until).await.expect("claimed");
    leases.release(&keys(&["a", "unknown"])).await.expect("released");
    let claims = leases.claim(&keys(&["a", "b"]), now, until).await.expect("claimed");
    assert_eq!(claims, [Claim::Yours, Claim::Leased(until)]);
}

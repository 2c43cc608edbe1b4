//! The watch cache, the leases and the retry index pass the conformance suites of their
//! ports on a real Redis.
#![allow(clippy::unwrap_used)]

mod rig;

use pricedrop_redis::{Redis, RedisLeases, RedisRetryIndex, RedisWatchCache};

mod cache {
    use super::*;

    async fn open() -> (RedisWatchCache, Redis) {
        let redis = rig::redis();
        (RedisWatchCache::new(&redis), redis)
    }

    pricedrop_testing::conform!(open, cache);
}

mod leases {
    use super::*;

    async fn open() -> (RedisLeases, Redis) {
        let redis = rig::redis();
        (RedisLeases::new(&redis), redis)
    }

    pricedrop_testing::conform!(open, leases);
}

mod retry_index {
    use super::*;

    async fn open() -> (RedisRetryIndex, Redis) {
        let redis = rig::redis();
        (RedisRetryIndex::new(&redis), redis)
    }

    pricedrop_testing::conform!(open, retry_index);
}

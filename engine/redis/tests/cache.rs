//! The cache, the leases and the index of retries keep the promises of their
//! ports on a real Redis.
#![allow(clippy::unwrap_used)]

mod rig;

use async_trait::async_trait;
use pricedrop_model::dispatch::{Retry, RetryQueue};
use pricedrop_model::ports::Error;
use pricedrop_model::retry_index::{Kept, Owned, RetryIndex};
use pricedrop_model::{Partition, WallTime};
use pricedrop_redis::{Redis, RedisLeases, RedisRetryIndex, RedisShelves};

const OWNED: [Owned; 1] = [Owned { partition: Partition(0), token: 1 }];

mod cache {
    use super::*;

    async fn open() -> (RedisShelves, Redis) {
        let redis = rig::redis();
        (RedisShelves::new(&redis), redis)
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

mod retries {
    use super::*;

    /// The index of one partition that nobody else owns.
    struct Queue(RedisRetryIndex);

    #[async_trait]
    impl RetryQueue for Queue {
        async fn put(&self, retries: Vec<Retry>) -> Result<(), Error> {
            assert_eq!(self.0.put(&OWNED, &retries).await?, []);
            Ok(())
        }

        async fn take(
            &self,
            channel: &str,
            now: WallTime,
            until: WallTime,
            most: usize,
        ) -> Result<Vec<Retry>, Error> {
            let taken = self.0.take(&OWNED, channel, now, until, most).await?;
            assert_eq!(taken.lost, []);
            Ok(taken.retries)
        }

        async fn remove(&self, retries: &[Retry]) -> Result<(), Error> {
            assert_eq!(self.0.remove(&OWNED, retries).await?, []);
            Ok(())
        }

        async fn waiting(&self) -> Result<Vec<(String, u64)>, Error> {
            let waiting = self.0.waiting(&OWNED).await?;
            assert_eq!(waiting.lost, []);
            Ok(waiting.by_channel)
        }
    }

    async fn open() -> (Queue, Redis) {
        let redis = rig::redis();
        let index = RedisRetryIndex::new(&redis);
        index.clear(OWNED[0]).await.unwrap();
        assert_eq!(index.seed(OWNED[0]).await.unwrap(), Kept::Done);
        (Queue(index), redis)
    }

    pricedrop_testing::conform!(open, retries);
}

//! Fakes of the ports that neither `pricedrop-memory` nor `pricedrop-testing` implements. They
//! return what a test sets, and fail when it says so.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use async_trait::async_trait;
use pricedrop_memory::MemoryWatches;
use pricedrop_model::dispatch::NotificationReader;
use pricedrop_model::engine::{Buckets, BucketsError, Engine, Migrated};
use pricedrop_model::health::Reason;
use pricedrop_model::intake::{IntakeError, NewRecord, Posted, PriceIntake};
use pricedrop_model::migration::Repaired;
use pricedrop_model::plugin::Status;
use pricedrop_model::ports::{Deleted, Error, WatchWriter, Written};
use pricedrop_model::{Partition, Price, ProductId, Removal, UserId, Watch};

/// The responses that a test sets, and the calls that the fakes received.
#[derive(Default)]
pub struct Fakes {
    /// Whether every port returns `Unavailable`.
    pub away: AtomicBool,
    /// The responses to posts of prices, in order.
    pub posts: Mutex<VecDeque<Result<Vec<Posted>, IntakeError>>>,
    /// The posts received: records, and the offset of the producer.
    pub posted: Mutex<Vec<(Vec<NewRecord>, Option<i64>)>>,
    /// The reasons why the engine is not ready.
    pub reasons: Mutex<Vec<Reason>>,
    /// Why buckets cannot be migrated; `None`: they can.
    pub refusal: Mutex<Option<String>>,
}

impl Fakes {
    fn open(&self) -> Result<(), Error> {
        match self.away.load(SeqCst) {
            true => Err(Error::Unavailable("away, as the test wishes".into())),
            false => Ok(()),
        }
    }

    fn moved<T>(&self, done: T) -> Result<T, BucketsError> {
        self.open()?;
        match self.refusal.lock().unwrap().clone() {
            Some(why) => Err(BucketsError::Refused(why)),
            None => Ok(done),
        }
    }
}

#[async_trait]
impl PriceIntake for Fakes {
    async fn post(&self, records: Vec<NewRecord>, offset: Option<i64>) -> Result<Vec<Posted>, IntakeError> {
        self.posted.lock().unwrap().push((records, offset));
        self.posts.lock().unwrap().pop_front().expect("an answer to this post")
    }
}

/// A log of three partitions, each with the same two lines.
#[async_trait]
impl NotificationReader for Fakes {
    async fn read(&self, partition: Partition, from: i64, most: usize) -> Result<(Vec<u8>, i64), Error> {
        self.open()?;
        let lines = (0..2).map(|offset| format!("{{\"partition\":{},\"at\":{offset}}}\n", partition.0));
        let page: Vec<String> = lines.skip(from as usize).take(most).collect();
        let next = from + page.len() as i64;
        Ok((page.concat().into_bytes(), next))
    }

    async fn partitions(&self) -> Result<usize, Error> {
        self.open().map(|()| 3)
    }
}

/// An engine that writes addresses of `mail` in lower case, and requires an `@` in them.
#[async_trait]
impl Engine for Fakes {
    async fn reasons(&self) -> Vec<Reason> {
        self.reasons.lock().unwrap().clone()
    }

    async fn plugins(&self) -> Status {
        Status { plugins: Vec::new(), active_policy: Some("range".into()), warnings: vec!["odd".into()] }
    }

    async fn normalize(&self, channel: &str, addresses: Vec<String>) -> Vec<Result<String, String>> {
        let canonical = |address: String| match (channel, address.contains('@')) {
            ("mail", true) => Ok(address.to_lowercase()),
            ("mail", false) => Err("it has no @".to_owned()),
            _ => Ok(address),
        };
        addresses.into_iter().map(canonical).collect()
    }

    async fn buckets(&self) -> Result<Buckets, Error> {
        let active = Some("range".into());
        self.open().map(|()| Buckets { active, staged: None, migration: None, indexes: None })
    }

    async fn migrate_buckets(&self) -> Result<Migrated, BucketsError> {
        self.moved(Migrated { active: "steps".into() })
    }

    /// Returns one repaired product, or, if a product is named, as many as its name has bytes.
    async fn repair_buckets(&self, product: Option<ProductId>) -> Result<Repaired, BucketsError> {
        let repaired = product.map_or(1, |product| product.as_str().len());
        self.moved(Repaired { repaired, watches: 7 })
    }
}

/// In-memory watches that can be made unavailable.
pub struct Watches {
    pub inner: MemoryWatches,
    pub fakes: std::sync::Arc<Fakes>,
}

#[async_trait]
impl WatchWriter for Watches {
    async fn put(&self, watches: Vec<Watch>) -> Result<Written, Error> {
        self.fakes.open()?;
        self.inner.put(watches).await
    }

    async fn delete(&self, product: &ProductId, threshold: Price, user: &UserId) -> Result<Deleted, Error> {
        self.fakes.open()?;
        self.inner.delete(product, threshold, user).await
    }

    async fn list(
        &self,
        product: Option<&ProductId>,
        after: Option<&Watch>,
        most: usize,
    ) -> Result<Vec<Watch>, Error> {
        self.fakes.open()?;
        self.inner.list(product, after, most).await
    }

    async fn remove_told(&self, removals: &[Removal]) -> Result<(), Error> {
        self.fakes.open()?;
        self.inner.remove_told(removals).await
    }
}

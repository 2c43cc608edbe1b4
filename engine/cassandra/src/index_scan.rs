//! Iterates over the rows of a product or its index one by one, to compare the two.

use std::collections::VecDeque;
use std::sync::Arc;

use pricedrop_model::plugin::Bucketing;
use pricedrop_model::ports::Error;
use pricedrop_model::{BucketId, Price, ProductId, WatchPage, WriteTime};

use super::page_stream::Query;
use super::part::Partition;
use super::policy::assign_bucket;
use super::rows::Bounds;
use super::shared::Shared;

/// The key of a row within its partition, and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) threshold: Price,
    pub(super) user: String,
    pub(super) write_time: WriteTime,
}

impl Key {
    pub(super) fn place(&self) -> (Price, &str) {
        (self.threshold, &self.user)
    }
}

fn keys(page: &WatchPage) -> impl Iterator<Item = Key> {
    page.iter().map(|row| Key {
        threshold: row.threshold,
        user: row.user.to_owned(),
        write_time: row.write_time,
    })
}

/// The rows of one partition.
pub(super) struct IndexScan {
    query: Query,
    rows: VecDeque<Key>,
    more: bool,
}

impl IndexScan {
    pub(super) fn new(shared: &Arc<Shared>, partition: Partition) -> Result<IndexScan, Error> {
        let query = Query::new(shared, partition, Bounds::ALL, None)?;
        Ok(IndexScan { query, rows: VecDeque::new(), more: true })
    }

    /// Returns the next row without taking it.
    pub(super) async fn peek(&mut self) -> Result<Option<&Key>, Error> {
        while self.rows.is_empty() && self.more {
            let mut page = WatchPage::default();
            self.more = self.query.next(&mut page).await?;
            self.rows.extend(keys(&page));
        }
        Ok(self.rows.front())
    }

    pub(super) async fn next(&mut self) -> Result<Option<Key>, Error> {
        self.peek().await?;
        Ok(self.rows.pop_front())
    }
}

/// A row of an index.
pub(super) struct Indexed {
    pub(super) key: Key,
    pub(super) bucket: BucketId,
    /// Whether it is in the bucket that the policy assigns to it.
    pub(super) in_place: bool,
}

/// The rows of a product's index, bucket by bucket.
pub(super) struct BucketIndexScan {
    shared: Arc<Shared>,
    policy: Arc<dyn Bucketing>,
    product: ProductId,
    index: String,
    buckets: VecDeque<BucketId>,
    current: Option<(BucketId, Query)>,
    rows: VecDeque<Indexed>,
}

impl BucketIndexScan {
    pub(super) fn new(
        shared: &Arc<Shared>,
        policy: &Arc<dyn Bucketing>,
        product: &ProductId,
        index: &str,
        buckets: &[BucketId],
    ) -> BucketIndexScan {
        BucketIndexScan {
            shared: shared.clone(),
            policy: policy.clone(),
            product: product.clone(),
            index: index.to_owned(),
            buckets: buckets.iter().copied().collect(),
            current: None,
            rows: VecDeque::new(),
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Indexed>, Error> {
        while self.rows.is_empty() {
            let (bucket, mut query) = match self.current.take() {
                Some(current) => current,
                None => {
                    let Some(bucket) = self.buckets.pop_front() else { return Ok(None) };
                    let partition = Partition::Bucket(self.product.clone(), self.index.clone(), bucket);
                    (bucket, Query::new(&self.shared, partition, Bounds::ALL, None)?)
                }
            };
            let mut page = WatchPage::default();
            if query.next(&mut page).await? {
                self.current = Some((bucket, query));
            }
            self.take(bucket, &page).await?;
        }
        Ok(self.rows.pop_front())
    }

    async fn take(&mut self, bucket: BucketId, page: &WatchPage) -> Result<(), Error> {
        let prices = page.iter().map(|row| row.threshold).collect();
        let buckets = assign_bucket(Some(self.policy.clone()), &self.product, prices).await;
        let buckets = buckets.ok_or_else(|| Error::Unavailable("the policy gave no buckets".into()))?;
        let rows = keys(page).zip(buckets).map(|(key, own)| Indexed { key, bucket, in_place: own == bucket });
        self.rows.extend(rows);
        Ok(())
    }
}

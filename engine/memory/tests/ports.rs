//! The in-memory stores pass the conformance suites of their ports.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use pricedrop_memory::MemoryWatches;
use pricedrop_model::plugin::{Bucketing, Error, PolicyIdentity};
use pricedrop_model::ports::{Scan, WatchStore as _};
use pricedrop_model::time::SystemClock;
use pricedrop_model::{BucketId, Floor, Price, ProductId};
use pricedrop_testing::clock::TestClock;
use pricedrop_testing::conformance::watches::{from_price, rows, watch};

/// Bucketing by floor(price / 10).
struct Tens(PolicyIdentity);

const TENS: &str = "tens@1";

impl Bucketing for Tens {
    fn identity(&self) -> &PolicyIdentity {
        &self.0
    }

    fn buckets_of(&self, _: &ProductId, prices: &[Price]) -> Result<Vec<BucketId>, Error> {
        let tens = |price: &Price| BucketId(price.to_string().parse::<f64>().unwrap() as i64 / 10);
        Ok(prices.iter().map(tens).collect())
    }

    fn report_breach(&self, product: &ProductId, what: &str) {
        panic!("{product}: {what}");
    }
}

/// Nothing has to outlive an in-memory store.
struct Nothing;

mod watches {
    use super::*;

    /// With a stopped clock: the store orders writes and views by itself.
    async fn fresh() -> (MemoryWatches, Nothing) {
        (MemoryWatches::new(Arc::new(TestClock::at(1_000)), None, usize::MAX), Nothing)
    }

    pricedrop_testing::conform!(fresh, watches);
    pricedrop_testing::conform!(fresh, exact_summaries);
}

mod watches_in_buckets {
    use super::*;

    fn tens() -> Tens {
        Tens(PolicyIdentity { name: TENS.into(), fingerprint: "every ten".into() })
    }

    /// Every product has a bucket index from its first summary on.
    async fn fresh() -> (MemoryWatches, Nothing) {
        (MemoryWatches::new(Arc::new(SystemClock), Some(Arc::new(tens())), 0), Nothing)
    }

    pricedrop_testing::conform!(fresh, watches);
    pricedrop_testing::conform!(fresh, exact_summaries);

    #[tokio::test]
    async fn a_scan_by_bucket_returns_the_rows_of_the_plain_range_for_any_page_size() {
        let (store, _keep) = fresh().await;
        for n in 0..100 {
            store.insert(watch("P", &format!("{}.5", (n * 37) % 60), &format!("u{n}")));
        }
        let product = ProductId::new("P").unwrap();
        let mut view = store.view().await.unwrap();
        assert!(view.summary(&product).await.unwrap().indexed);
        let plain = Scan { below: Floor::Drop(Price::parse("44").unwrap()), ..from_price(&product, "12.5") };
        let by_bucket = Scan { buckets: Some((TENS, BucketId(1))), ..plain.clone() };
        let expected = rows(&mut *view, plain, 1_000).await;
        assert!(expected.len() > 40, "{}", expected.len());
        for page_rows in [1, 7, 1_000] {
            assert_eq!(
                rows(&mut *view, by_bucket.clone(), page_rows).await,
                expected,
                "pages of {page_rows}"
            );
        }
    }
}

mod commits {
    use super::*;
    use pricedrop_memory::MemoryCommitter;

    async fn fresh() -> (MemoryCommitter, Nothing) {
        (MemoryCommitter::default(), Nothing)
    }

    pricedrop_testing::conform!(fresh, commits);
}

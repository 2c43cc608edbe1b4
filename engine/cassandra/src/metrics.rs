//! Metrics of Cassandra: the latency of reads, which products are read most, and what failed.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pricedrop_model::ProductId;
use pricedrop_model::histogram::SHORT_SECONDS;
use pricedrop_model::sync::lock;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use super::hottest::Hottest;
use super::limits::{HOT_PRODUCTS, HOT_PRODUCTS_SHOWN};

type ByTable = Family<[(&'static str, String); 1], Histogram, fn() -> Histogram>;

/// Metrics of the Cassandra adapters. Clones share them.
#[derive(Debug, Clone)]
pub struct Metrics {
    reads: ByTable,
    /// The histogram of each table, in the order of `Table::ALL`.
    tables: Vec<Histogram>,
    hottest: Arc<Mutex<Hottest>>,
    /// Attempts that failed and were repeated.
    pub retries: Counter,
    /// Rows that are not valid watches: a threshold outside the limits of a price, an unknown
    /// mode or currency, or an invalid user.
    pub unreadable_rows: Counter,
    /// Repeated writes of watches: too slow, hidden by a cache that could not be informed, or
    /// under a policy that changed meanwhile.
    pub watch_write_retries: Counter,
    /// Notified watches that could not be removed, because their row has no write time.
    pub not_removable: Counter,
    /// Current prices that were not written, because too many were queued.
    pub prices_dropped: Counter,
    /// Repairs of a product's active index. The builds of a migration are not counted.
    pub repairs: Counter,
    /// Background repairs that failed.
    pub failed_repairs: Counter,
}

impl Metrics {
    /// Creates metrics for tables with these names.
    pub(super) fn new(tables: impl IntoIterator<Item = String>) -> Metrics {
        let reads = ByTable::new_with_constructor(|| Histogram::new(SHORT_SECONDS));
        let table = |name| reads.get_or_create_owned(&[("table", name)]);
        Metrics {
            tables: tables.into_iter().map(table).collect(),
            reads,
            hottest: Arc::new(Mutex::new(Hottest::new(HOT_PRODUCTS))),
            retries: Counter::default(),
            unreadable_rows: Counter::default(),
            watch_write_retries: Counter::default(),
            not_removable: Counter::default(),
            prices_dropped: Counter::default(),
            repairs: Counter::default(),
            failed_repairs: Counter::default(),
        }
    }

    /// Registers the metrics.
    pub fn register(&self, registry: &mut Registry) {
        let help = "How long reads of a table took";
        registry.register("cassandra_read_seconds", help, self.reads.clone());
        for (name, help, counter) in [
            ("cassandra_retries", "Requests made again", &self.retries),
            ("unreadable_rows", "Rows of watches that are none", &self.unreadable_rows),
            (
                "watch_write_retries",
                "Watches written anew, as writing took long or the cache could not be invalidated",
                &self.watch_write_retries,
            ),
            ("not_removable", "Told watches whose row has no write time", &self.not_removable),
            ("prices_dropped", "Current prices not written because too many waited", &self.prices_dropped),
            ("bucket_repairs", "Indexes of products repaired", &self.repairs),
            ("bucket_repairs_failed", "Repairs of indexes that failed", &self.failed_repairs),
        ] {
            registry.register(name, help, counter.clone());
        }
        registry.register_collector(Box::new(HotProducts(self.hottest.clone())));
    }

    /// Returns how many read requests were made, over all tables.
    pub fn reads(&self) -> u64 {
        self.tables.iter().map(Histogram::count).sum()
    }

    /// Records one read request to a table, by the table's number.
    pub(super) fn read(&self, table: usize, took: Duration) {
        if let Some(histogram) = self.tables.get(table) {
            histogram.observe(took.as_secs_f64());
        }
    }

    /// Records one query of a product's watches.
    pub(super) fn product_read(&self, product: &ProductId) {
        lock(&self.hottest).count(product);
    }
}

/// Exports the most read products when metrics are collected.
#[derive(Debug)]
struct HotProducts(Arc<Mutex<Hottest>>);

impl Collector for HotProducts {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Reads of the products read most";
        let mut family = encoder.encode_descriptor("product_reads", help, None, MetricType::Gauge)?;
        for hot in lock(&self.0).sorted().iter().take(HOT_PRODUCTS_SHOWN) {
            let labels = [("product", hot.product.as_str())];
            ConstGauge::new(hot.reads).encode(family.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_duration_of_a_read_is_counted_for_its_table() {
        let metrics = Metrics::new(["t".to_owned(), "u".to_owned()]);
        metrics.read(1, Duration::from_millis(3));
        metrics.read(1, Duration::from_secs(60));
        assert_eq!((metrics.tables[0].count(), metrics.tables[1].count()), (0, 2));
        assert!((metrics.tables[1].sum() - 60.003).abs() < 1e-9);
        assert_eq!(metrics.reads(), 2);
    }
}

//! What reads cost and which products are read most, as plain numbers.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use pricedrop_model::ProductId;
use pricedrop_model::sync::lock;

use super::limits::HOT_PRODUCTS;

/// The upper bounds of the latency histogram's cells, microseconds; one more
/// cell holds what is above.
pub const LATENCY_BOUNDS_US: [u64; 14] = [
    250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000, 1_024_000,
    2_048_000,
];

/// The reads of one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableReads {
    /// Its configured name.
    pub table: String,
    /// Requests per cell of [`LATENCY_BOUNDS_US`], and those above.
    pub cells: [u64; LATENCY_BOUNDS_US.len() + 1],
    /// All of them together, microseconds.
    pub total_us: u64,
}

/// A product that is read often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotProduct {
    /// The product.
    pub product: ProductId,
    /// Its reads: never fewer than there were.
    pub reads: u64,
    /// At most so many of them are another product's.
    pub error: u64,
}

/// The numbers of the Cassandra adapters since the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    /// Reads by table.
    pub reads: Vec<TableReads>,
    /// The products read most, the most read first.
    pub hottest: Vec<HotProduct>,
    /// Attempts that failed and were made again.
    pub retries: u64,
    /// Rows that are no watches: a threshold outside the limits of a price, an
    /// unknown mode, no user.
    pub unreadable_rows: u64,
    /// Writes that were not in time, or hidden by a cache that could not be told,
    /// and written anew.
    pub rewrites: u64,
    /// Told watches that could not be removed, for their row has no write time.
    pub not_removable: u64,
    /// Prices left out of product_prices because too many were waiting.
    pub prices_left_out: u64,
    /// Indexes of products repaired.
    pub repairs: u64,
    /// Repairs that failed.
    pub failed_repairs: u64,
}

#[derive(Default)]
struct Histogram {
    cells: [AtomicU64; LATENCY_BOUNDS_US.len() + 1],
    total_us: AtomicU64,
}

/// Where the numbers are counted.
pub(super) struct Counters {
    tables: Vec<(String, Histogram)>,
    hot: Mutex<Hottest>,
    pub(super) retries: AtomicU64,
    pub(super) unreadable_rows: AtomicU64,
    pub(super) rewrites: AtomicU64,
    pub(super) not_removable: AtomicU64,
    pub(super) prices_left_out: AtomicU64,
    pub(super) repairs: AtomicU64,
    pub(super) failed_repairs: AtomicU64,
}

impl Counters {
    pub(super) fn new(tables: impl IntoIterator<Item = String>) -> Counters {
        Counters {
            tables: tables.into_iter().map(|name| (name, Histogram::default())).collect(),
            hot: Mutex::new(Hottest::new(HOT_PRODUCTS)),
            retries: AtomicU64::new(0),
            unreadable_rows: AtomicU64::new(0),
            rewrites: AtomicU64::new(0),
            not_removable: AtomicU64::new(0),
            prices_left_out: AtomicU64::new(0),
            repairs: AtomicU64::new(0),
            failed_repairs: AtomicU64::new(0),
        }
    }

    /// One request to a table, by its number.
    pub(super) fn read(&self, table: usize, took: Duration) {
        let Some((_, histogram)) = self.tables.get(table) else { return };
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let cell = LATENCY_BOUNDS_US.partition_point(|&bound| bound < us);
        histogram.cells[cell].fetch_add(1, Relaxed);
        histogram.total_us.fetch_add(us, Relaxed);
    }

    /// One read of a product's watches.
    pub(super) fn product_read(&self, product: &ProductId) {
        lock(&self.hot).count(product);
    }

    pub(super) fn figures(&self) -> Figures {
        let reads = self.tables.iter().map(|(name, histogram)| TableReads {
            table: name.clone(),
            cells: std::array::from_fn(|at| histogram.cells[at].load(Relaxed)),
            total_us: histogram.total_us.load(Relaxed),
        });
        Figures {
            reads: reads.collect(),
            hottest: lock(&self.hot).sorted(),
            retries: self.retries.load(Relaxed),
            unreadable_rows: self.unreadable_rows.load(Relaxed),
            rewrites: self.rewrites.load(Relaxed),
            not_removable: self.not_removable.load(Relaxed),
            prices_left_out: self.prices_left_out.load(Relaxed),
            repairs: self.repairs.load(Relaxed),
            failed_repairs: self.failed_repairs.load(Relaxed),
        }
    }
}

/// The Space-Saving sketch (Metwally, Agrawal, El Abbadi 2005): a newcomer takes
/// the place and the count of the least counted one.
struct Hottest {
    most: usize,
    counted: std::collections::HashMap<ProductId, (u64, u64)>,
    /// The same by count.
    least: std::collections::BTreeSet<(u64, ProductId)>,
}

impl Hottest {
    fn new(most: usize) -> Hottest {
        Hottest { most, counted: Default::default(), least: Default::default() }
    }

    fn count(&mut self, product: &ProductId) {
        let (reads, error) = match self.counted.get(product) {
            Some(&(reads, error)) => {
                self.least.remove(&(reads, product.clone()));
                (reads, error)
            }
            None if self.counted.len() < self.most => (0, 0),
            None => {
                let Some((reads, evicted)) = self.least.pop_first() else { return };
                self.counted.remove(&evicted);
                (reads, reads)
            }
        };
        self.counted.insert(product.clone(), (reads + 1, error));
        self.least.insert((reads + 1, product.clone()));
    }

    fn sorted(&self) -> Vec<HotProduct> {
        let counted = self.least.iter().rev();
        let hot = |(reads, product): &(u64, ProductId)| HotProduct {
            product: product.clone(),
            reads: *reads,
            error: self.counted.get(product).map_or(0, |(_, error)| *error),
        };
        counted.map(hot).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_most_read_product_is_found_among_many() {
        let mut hottest = Hottest::new(8);
        for turn in 0..1_000 {
            hottest.count(&ProductId::new(&format!("p{turn}")).unwrap());
            if turn % 3 == 0 {
                hottest.count(&ProductId::new("hot").unwrap());
            }
        }
        let first = &hottest.sorted()[0];
        assert_eq!(first.product.as_str(), "hot");
        assert!(first.reads >= 334 && first.reads - first.error <= 334, "{first:?}");
        assert_eq!(hottest.sorted().len(), 8);
    }

    #[test]
    fn a_read_falls_into_its_cell() {
        let counters = Counters::new(["t".to_owned()]);
        counters.read(0, Duration::from_micros(250));
        counters.read(0, Duration::from_millis(3));
        counters.read(0, Duration::from_secs(60));
        let reads = counters.figures().reads.remove(0);
        assert_eq!((reads.cells[0], reads.cells[4], reads.cells[14]), (1, 1, 1));
        assert_eq!(reads.total_us, 60_003_250);
    }
}

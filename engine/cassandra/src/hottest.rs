//! Counts which products are read most, in bounded memory.

use pricedrop_model::ProductId;

/// A product that is read often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HotProduct {
    /// The product.
    pub(super) product: ProductId,
    /// Its reads; never an underestimate.
    pub(super) reads: u64,
    /// By how many reads `reads` may be too high.
    pub(super) error: u64,
}

/// The Space-Saving sketch (Metwally, Agrawal, El Abbadi 2005): a new product replaces the one
/// with the lowest count, and inherits that count.
#[derive(Debug)]
pub(super) struct Hottest {
    most: usize,
    /// Reads and error of each product.
    counted: std::collections::HashMap<ProductId, (u64, u64)>,
    /// The same products, ordered by count.
    least: std::collections::BTreeSet<(u64, ProductId)>,
}

impl Hottest {
    pub(super) fn new(most: usize) -> Hottest {
        Hottest { most, counted: Default::default(), least: Default::default() }
    }

    pub(super) fn count(&mut self, product: &ProductId) {
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

    /// Returns the counted products, the most read first.
    pub(super) fn sorted(&self) -> Vec<HotProduct> {
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
}

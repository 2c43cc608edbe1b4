//! The million watches that the parts of the cluster benchmark use, on ten thousand products or on
//! one.

use pricedrop_model::{Mode, ProductId, Watch};

use crate::rig::{cents, watch};

/// Notifications of one round.
pub const TOLD: usize = 1_000_000;

/// How a million watches are distributed over products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Ten thousand products with a hundred watches each.
    Many,
    /// One product with a million watches.
    One,
}

impl Shape {
    /// Returns the name that is printed.
    pub fn name(self) -> &'static str {
        match self {
            Shape::Many => "10,000 x 100",
            Shape::One => "1 x 1,000,000",
        }
    }

    /// Returns the number of products.
    pub fn products(self) -> usize {
        match self {
            Shape::Many => 10_000,
            Shape::One => 1,
        }
    }

    /// Returns the number of a product in the store, which holds the products of both shapes.
    pub fn number(self, product: usize) -> usize {
        match self {
            Shape::Many => product,
            Shape::One => 10_000,
        }
    }

    /// Returns the id of a product.
    pub fn product(self, product: usize) -> ProductId {
        ProductId::new(&format!("P{}", self.number(product))).unwrap()
    }

    /// Returns a million watches, each of another user.
    pub fn watches(self) -> impl Iterator<Item = Watch> {
        let each = TOLD / self.products();
        (0..TOLD).map(move |user| {
            let threshold = cents(10_000 + (user % each) as i64);
            watch(self.number(user / each), threshold, user, Mode::EveryDrop)
        })
    }
}

//! A fan-out: all notifications of one evaluated drop.

use serde::{Deserialize, Serialize};

use crate::{
    BucketId, Currency, Floor, Hysteresis, LedgerEntry, Mode, Price, Priced, ProductId, UserId, ViewTime,
};

/// One drop whose watchers are being notified. It contains everything that its decisions depend on,
/// so that a fan-out interrupted between two chunks continues with the same decisions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FanOut {
    /// The new price, and its update.
    pub priced: Priced,
    /// The last evaluated price before; none if this is the product's first price.
    pub previous: Option<Price>,
    /// The product's floor before the drop.
    pub floor: Floor,
    /// The ledger's unexpired entry of this price before the drop.
    pub told_before: Option<LedgerEntry>,
    /// When the fan-out began. Every watch written up to then is visible to it.
    pub began: ViewTime,
    /// The rules' mode when the fan-out began.
    pub mode: Mode,
    /// The rules' hysteresis when the fan-out began.
    pub hysteresis: Hysteresis,
    /// How its watchers are read.
    pub path: ReadPath,
    /// The last watch of the committed chunks; none if no chunk was committed.
    pub cursor: Option<Cursor>,
    /// How many users the committed chunks notified.
    pub told: u64,
    /// Whether an `every-drop` watch was notified.
    pub told_every_drop: bool,
    /// Whether a `once` watch was notified.
    pub told_once: bool,
}

/// How the watchers of a fan-out are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadPath {
    /// By one range scan of the product.
    Plain,
    /// By bucket: the buckets of the product's index from `from` up, in ascending order.
    Buckets {
        /// The name of the policy that cut the buckets.
        policy: String,
        /// The bucket that contains the price.
        from: BucketId,
    },
}

/// The last row that a scan returned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Its bucket, if the scan reads by bucket.
    pub bucket: Option<BucketId>,
    /// Its threshold.
    pub threshold: Price,
    /// Its user.
    pub user: UserId,
}

/// The notifications of one fan-out, or of one chunk of it. What is the same for all of them is
/// stored once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FanOutBlock {
    /// The product.
    pub product: ProductId,
    /// The currency of its prices.
    pub currency: Currency,
    /// The new price, and its update.
    pub priced: Priced,
    /// The price before; none if this is the product's first price.
    pub previous: Option<Price>,
    /// The users to notify, in the order of the scan.
    pub told: ToldList,
}

/// Users to notify, each with the threshold that fired. All names share one buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldList {
    users: String,
    entries: Vec<(u32, Price)>,
}

impl ToldList {
    /// Adds a user at the end.
    pub fn push(&mut self, user: &str, watch_price: Price) {
        self.users.push_str(user);
        self.entries.push((self.users.len() as u32, watch_price));
    }

    /// Returns the number of users.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there are no users.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the length of all names together, in bytes.
    pub fn name_bytes(&self) -> usize {
        self.users.len()
    }

    /// Returns the users and the thresholds that fired, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Price)> {
        let mut start = 0;
        self.entries.iter().map(move |&(end, price)| {
            let user = &self.users[start..end as usize];
            start = end as usize;
            (user, price)
        })
    }

    /// Splits the list into lists of at most `size` users, in order.
    pub fn chunks(&self, size: usize) -> impl Iterator<Item = ToldList> {
        let mut rest = self.iter();
        std::iter::from_fn(move || {
            let mut part = ToldList::default();
            for (user, price) in rest.by_ref().take(size) {
                part.push(user, price);
            }
            (!part.is_empty()).then_some(part)
        })
    }
}

//! A fan-out: all notifications of one evaluated drop.

use serde::{Deserialize, Serialize};

use crate::{
    BucketId, Currency, Floor, Hysteresis, LedgerEntry, Mode, Price, Priced, ProductId, UserId, WallTime,
};

/// One drop on its way to its watchers. It carries everything its decisions
/// depend on, so that one interrupted between chunks goes on as it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FanOut {
    /// The price dropped to, and its update.
    pub priced: Priced,
    /// The price before; none: the first ever seen.
    pub previous: Option<Price>,
    /// The floor before.
    pub floor: Floor,
    /// The ledger's unexpired entry of this price, before.
    pub told_before: Option<LedgerEntry>,
    /// When it began: every watch updated up to here is visible to it.
    pub wall_time: WallTime,
    /// The rules' mode when it began.
    pub mode: Mode,
    /// The rules' hysteresis when it began.
    pub hysteresis: Hysteresis,
    /// How its watchers are read.
    pub path: ReadPath,
    /// The last watch considered in a committed chunk; none: not begun.
    pub cursor: Option<Cursor>,
    /// How many users were told in committed chunks.
    pub told: u64,
    /// Whether an every-drop watch was told.
    pub told_every_drop: bool,
    /// Whether a once-watch was told.
    pub told_once: bool,
}

/// How the watchers of a fan-out are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReadPath {
    /// One range scan of the product.
    Plain,
    /// The product's live buckets from this one on, in ascending order.
    Buckets {
        /// The policy they belong to.
        policy: String,
        /// The bucket of the price.
        from: BucketId,
    },
}

/// A place in a scan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The bucket, where the scan goes by bucket.
    pub bucket: Option<BucketId>,
    /// The threshold of the last row.
    pub threshold: Price,
    /// The user of the last row.
    pub user: UserId,
}

/// Notifications of one fan-out, or of one chunk of it: what is the same for
/// all of them once, and the users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FanOutBlock {
    /// The product.
    pub product: ProductId,
    /// Of its price.
    pub currency: Currency,
    /// The price and its update.
    pub priced: Priced,
    /// The price before.
    pub previous: Option<Price>,
    /// Who is told, in the order they are told.
    pub told: ToldList,
}

/// Users told, with the threshold that fired. All names share one buffer.
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

    /// How many users.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all names together.
    pub fn name_bytes(&self) -> usize {
        self.users.len()
    }

    /// Users and the thresholds that fired, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Price)> {
        let mut start = 0;
        self.entries.iter().map(move |&(end, price)| {
            let user = &self.users[start..end as usize];
            start = end as usize;
            (user, price)
        })
    }

    /// The same users in parts of at most `size`.
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

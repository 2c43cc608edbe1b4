//! Watches, and the pages in which stores hand them out.

use serde::{Deserialize, Serialize};

use crate::{Currency, Mode, Price, ProductId, UserId, WallTime};

/// A user's wish to hear of a product's price. A store holds one per product,
/// threshold and user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watch {
    /// Of this product.
    pub product_id: ProductId,
    /// At or below this price.
    pub price_watch_value: Price,
    /// For this user.
    pub user_id: UserId,
    /// When it fires; none: the rules' mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Of prices in this currency; none: the rules' currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// When it was last written; none reads as long ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<WallTime>,
}

/// The store's own version of a row, epoch microseconds: a removal carries the
/// one it saw, so that a row written anew meanwhile survives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WriteTime(pub i64);

/// A row to delete because its once-watch was told, unless written anew since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// The row's product.
    pub product: ProductId,
    /// The row's threshold.
    pub threshold: Price,
    /// The row's user.
    pub user: UserId,
    /// The version that was told.
    pub write_time: WriteTime,
}

/// One watch of a page, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchRow<'a> {
    /// At or below this price.
    pub threshold: Price,
    /// Its user; 1 to 256 bytes.
    pub user: &'a str,
    /// When it fires; none: the rules' mode.
    pub mode: Option<Mode>,
    /// Of prices in this currency; none: the rules' currency.
    pub currency: Option<Currency>,
    /// When it was last written; none reads as long ago.
    pub updated_at: Option<WallTime>,
    /// The version of the row.
    pub write_time: WriteTime,
}

/// Rows of one scan in ascending order of threshold, then user bytes (within
/// each bucket, where the scan goes by bucket). All user names share one
/// buffer, so that a row costs no allocation.
#[derive(Debug, Clone, Default)]
pub struct WatchPage {
    users: String,
    rows: Vec<PageRow>,
}

#[derive(Debug, Clone, Copy)]
struct PageRow {
    user_end: usize,
    threshold: Price,
    mode: Option<Mode>,
    currency: Option<Currency>,
    updated_at: Option<WallTime>,
    write_time: WriteTime,
}

impl WatchPage {
    /// Adds a row at the end.
    pub fn push(&mut self, row: WatchRow<'_>) {
        self.users.push_str(row.user);
        self.rows.push(PageRow {
            user_end: self.users.len(),
            threshold: row.threshold,
            mode: row.mode,
            currency: row.currency,
            updated_at: row.updated_at,
            write_time: row.write_time,
        });
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.users.clear();
        self.rows.clear();
    }

    /// The rows in order.
    pub fn iter(&self) -> impl Iterator<Item = WatchRow<'_>> {
        let mut start = 0;
        self.rows.iter().map(move |row| {
            let user = &self.users[start..row.user_end];
            start = row.user_end;
            WatchRow {
                threshold: row.threshold,
                user,
                mode: row.mode,
                currency: row.currency,
                updated_at: row.updated_at,
                write_time: row.write_time,
            }
        })
    }
}

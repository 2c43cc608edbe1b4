//! Watches, and the pages of watches that a store returns.

use serde::{Deserialize, Serialize};

use crate::{Currency, Mode, Price, ProductId, UserId, WallTime};

/// A watch: a user wants to be notified when a product's price is at or below a threshold. A store
/// holds at most one per product, threshold and user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Watch {
    /// The product.
    pub product_id: ProductId,
    /// The threshold: the watch fires at or below this price.
    pub price_watch_value: Price,
    /// The user.
    pub user_id: UserId,
    /// When it fires. `None` means as the rules say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The currency of the threshold. `None` means the rules' currency.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// When it was last written; none is treated as older than every drop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<WallTime>,
}

/// A row's version, in epoch microseconds, assigned by the store. A removal names the version that
/// was notified, so a row that was written again since is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WriteTime(pub i64);

/// A row to delete because its `once` watch was notified, unless it was written again since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// The row's product.
    pub product: ProductId,
    /// The row's threshold.
    pub threshold: Price,
    /// The row's user.
    pub user: UserId,
    /// The version of the row that was notified.
    pub write_time: WriteTime,
}

/// One watch of a page, borrowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchRow<'a> {
    /// The threshold: the watch fires at or below this price.
    pub threshold: Price,
    /// The user, 1 to 256 bytes.
    pub user: &'a str,
    /// When it fires. `None` means as the rules say.
    pub mode: Option<Mode>,
    /// The currency of the threshold. `None` means the rules' currency.
    pub currency: Option<Currency>,
    /// When it was last written; none is treated as older than every drop.
    pub updated_at: Option<WallTime>,
    /// The version of the row.
    pub write_time: WriteTime,
}

/// The moment of a view among the writes of watches. Decisions store it, to tell later which
/// versions of the watches they were made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WallTime", into = "WallTime")]
pub struct ViewTime {
    /// The wall time of the view.
    pub wall_time: WallTime,
    /// Of the writes at the same wall time, the last one that the view shows. It is not stored: in
    /// stores that outlive the process, a view shows all writes at its wall time.
    last_write: WriteTime,
}

impl ViewTime {
    /// The moment after this write, for a store that lets a write follow a view at the same wall time.
    pub fn after(wall_time: WallTime, last_write: WriteTime) -> ViewTime {
        ViewTime { wall_time, last_write }
    }

    /// Returns whether this version of a watch was written after the view.
    pub fn is_before(&self, row: &WatchRow<'_>) -> bool {
        row.updated_at.is_some_and(|at| (at, row.write_time) > (self.wall_time, self.last_write))
    }
}

impl From<WallTime> for ViewTime {
    fn from(wall_time: WallTime) -> ViewTime {
        ViewTime { wall_time, last_write: WriteTime(i64::MAX) }
    }
}

impl From<ViewTime> for WallTime {
    fn from(view: ViewTime) -> WallTime {
        view.wall_time
    }
}

/// Rows of one scan, ordered by threshold, then by the bytes of the user. If the scan reads by
/// bucket, each bucket has this order. All user names share one buffer, so a row needs no
/// allocation.
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

    /// Returns the number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Removes all rows and keeps the memory.
    pub fn clear(&mut self) {
        self.users.clear();
        self.rows.clear();
    }

    /// Returns the rows in order.
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

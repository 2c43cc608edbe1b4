//! The ports of the notifier: input, watches, current prices and the commit. The ports of the
//! dispatcher are in [`crate::dispatch`].
//!
//! ```text
//! UpdateSource ──records──▶ notifier ──Commit──▶ Committer ──▶ user_notifications
//!      ▲                      │   ▲                 │
//!      └────── outcomes ──────┘   └── WatchPage ◀── WatchStore (one WatchView a batch)
//! ```

use async_trait::async_trait;

use crate::plugin::PolicyIdentity;
use crate::state::DecodeError;
use crate::{
    BucketId, Cause, Cursor, FanOutBlock, Floor, Hysteresis, Partition, Position, Price, ProductId,
    ProductState, Record, Removal, StateKey, UserId, ViewTime, WallTime, Watch, WatchPage,
};

/// Why a store did not do what was asked. The variant says what a caller can do.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Temporary: try again. Nothing was done, unless the call says that the outcome is unknown.
    #[error(transparent)]
    Unavailable(Cause),
    /// Permanent: stop, until an operator has fixed the cause.
    #[error(transparent)]
    Fatal(Cause),
    /// Partitions were assigned or revoked: restore, and continue with those assigned now.
    #[error(transparent)]
    Rebalanced(Cause),
}

impl Error {
    /// Returns the cause without the variant.
    pub fn into_cause(self) -> Cause {
        match self {
            Error::Unavailable(cause) | Error::Fatal(cause) | Error::Rebalanced(cause) => cause,
        }
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Error {
        Error::Fatal(Cause::of(error))
    }
}

// ---------------------------------------------------------------- the input

/// The input: updates in log order per partition. The source and the committer of a worker share
/// one session: the committer commits the offsets of the records that the source returned.
#[async_trait]
pub trait UpdateSource: Send {
    /// Returns the next records: at least one, or none if `wait_ms` milliseconds passed without
    /// any. With a wait of 0 it returns what is at hand. `None` means that the input has ended for
    /// good. The notifier calls this continuously, even if it wants no records. Then `most` is 0,
    /// and the call only keeps the session alive.
    ///
    /// # Errors
    /// The input is unavailable; try again. Or partitions were assigned or revoked; restore.
    async fn next_batch(&mut self, most: usize, wait_ms: u64) -> Result<Option<Vec<Record>>, Error>;

    /// Pauses exactly these partitions, because enough of their records wait in memory, and resumes
    /// all others. The others can then use all of `most`.
    fn hold_back(&mut self, _partitions: &[Partition]) {}

    /// Reports the outcomes of records after their commit, once per record. The order may differ
    /// from the log, because other updates pass a long fan-out. Positions from before a restart are
    /// ignored.
    fn settled(&mut self, outcomes: Vec<(Position, Outcome)>);
}

/// The outcome of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was not an update, for this reason. It became a dead letter.
    Dead(String),
    /// It was a tombstone, and the state of its product was reset.
    Tombstone,
    /// It was older than an accepted update.
    Stale,
    /// The throttling policy holds it.
    Held,
    /// The throttling policy skipped it.
    Skipped,
    /// It was evaluated, and the price is not a drop.
    NotLower,
    /// It was evaluated, and the price is a drop.
    Drop {
        /// How many users were notified.
        told: u64,
        /// Whether the same price was notified within the deduplication window.
        told_before: bool,
    },
}

// ---------------------------------------------------------------- watches

/// The watches, as the notifier reads them.
#[async_trait]
pub trait WatchStore: Send + Sync {
    /// Opens a view at a wall time. Invariant: every watch updated up to that time is visible, and
    /// every watch written later has a later `updated_at`.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    async fn view(&self) -> Result<Box<dyn WatchView>, Error>;
}

/// The watches at one wall time. Later writes may be visible or not.
#[async_trait]
pub trait WatchView: Send {
    /// Returns the wall time of the view.
    fn wall_time(&self) -> WallTime;

    /// Returns the moment of the view among the writes.
    fn time(&self) -> ViewTime {
        self.wall_time().into()
    }

    /// Returns what is known of a product's watches without reading them.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    async fn summary(&mut self, product: &ProductId) -> Result<Summary, Error>;

    /// Prefetches the summaries and first pages of many products at once, because they will
    /// probably be scanned soon. It is only a hint: scans that were not announced may follow, and
    /// announced ones may not, or with another range or path. `below` is the floor of the product;
    /// `every-drop` watches above it are read too. `buckets` may still be none for a product that
    /// is then read by bucket.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    async fn prefetch(&mut self, _scans: &[Scan<'_>]) -> Result<(), Error> {
        Ok(())
    }

    /// Fills `page` with the next rows of a scan. It returns a cursor if there may be more rows.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    async fn scan(&mut self, scan: &Scan<'_>, page: &mut WatchPage) -> Result<Option<Cursor>, Error>;
}

/// What is known of a product's watches without reading them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How many watches there are. The number may be out of date.
    pub watches: u64,
    /// Whether there may be `every-drop` watches.
    pub every_drop: bool,
    /// Whether there may be `crossing` or `once` watches.
    pub crossing: bool,
    /// Whether there may be watches without a mode, which have the rules' mode.
    pub modeless: bool,
    /// When a watch of the product was last written, if known.
    pub last_changed: Option<WallTime>,
    /// Whether the active policy's index of this product is complete.
    pub indexed: bool,
}

/// A range of one product's watches.
#[derive(Debug, Clone)]
pub struct Scan<'a> {
    /// The product.
    pub product: &'a ProductId,
    /// Thresholds at or above this price.
    pub from: Price,
    /// Thresholds that this floor does not mark as spent: those below it.
    pub below: Floor,
    /// The hysteresis with which thresholds are compared with the floor.
    pub hysteresis: Hysteresis,
    /// The policy and first bucket to read. `None` means the plain range is read.
    pub buckets: Option<(&'a str, BucketId)>,
    /// Only rows after this one.
    pub after: Option<Cursor>,
    /// Maximum number of rows of a page.
    pub page_rows: usize,
}

/// The port for writing and listing watches. A change is durable when the call returns.
#[async_trait]
pub trait WatchWriter: Send + Sync {
    /// Writes watches, replacing existing ones. The store assigns `updated_at`; the value in the
    /// watch is ignored.
    ///
    /// # Errors
    /// The outcome is unknown; writing again is safe.
    async fn put(&self, watches: Vec<Watch>) -> Result<Written, Error>;

    /// Deletes a watch.
    ///
    /// # Errors
    /// The outcome is unknown; deleting again is safe.
    async fn delete(&self, product: &ProductId, threshold: Price, user: &UserId) -> Result<Deleted, Error>;

    /// Returns at most `most` watches after `after`, of one product or of all, ordered by product,
    /// threshold and user.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    async fn list(
        &self,
        product: Option<&ProductId>,
        after: Option<&Watch>,
        most: usize,
    ) -> Result<Vec<Watch>, Error>;

    /// Deletes rows of notified `once` watches. A row is kept if its version is not the one that
    /// was notified.
    ///
    /// # Errors
    /// The outcome is unknown; removing again is safe.
    async fn remove_told(&self, removals: &[Removal]) -> Result<(), Error>;
}

/// The result of writing watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The `updated_at` that the store assigned.
    pub updated_at: WallTime,
    /// From this time on, every drop sees the watches. `None` means the next drop does.
    pub effective_by: Option<WallTime>,
}

/// The result of deleting a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    /// Whether the watch existed.
    pub existed: bool,
    /// From this time on, no drop sees the watch. `None` means the next drop does not.
    pub effective_by: Option<WallTime>,
}

/// The bucketing policy whose indexes are read, stored for all instances.
#[async_trait]
pub trait PolicyRegistry: Send + Sync {
    /// Returns the active policy; none if no bucket was ever written.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    async fn active(&self) -> Result<Option<PolicyIdentity>, Error>;

    /// Makes a policy active. It must have the fingerprint of the active one, or be the first.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    async fn activate(&self, policy: &PolicyIdentity) -> Result<(), Error>;
}

// ---------------------------------------------------------------- current prices

/// The last evaluated price of a product, as it was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceRow {
    /// The product, currency and input partition.
    pub key: StateKey,
    /// The partition's next offset after the commit. Later rows have the same or a higher one.
    pub next_offset: i64,
    /// The order of rows with the same `next_offset`: later rows have higher numbers. There can be
    /// several, because a timer evaluates a held update without reading a record.
    pub revision: u16,
    /// The price, and when it was evaluated. `None` means a tombstone removed it.
    pub last: Option<crate::Evaluated>,
    /// Which `crossing` and `once` watches have fired.
    pub floor: Floor,
}

/// The port for publishing committed prices to the API and to the re-checks of the dispatcher.
pub trait PriceSink: Send + Sync {
    /// Queues rows to be written, keeping only the latest of each key. It does not wait.
    fn show(&self, rows: Vec<PriceRow>);
}

// ---------------------------------------------------------------- the commit

/// The results of one batch. All of them are committed, or none.
#[derive(Debug, Default)]
pub struct Commit {
    /// The notifications.
    pub fan_outs: Vec<FanOutBlock>,
    /// The new states, with their keys.
    pub states: Vec<(StateKey, ProductState)>,
    /// Rows of notified `once` watches. They are deleted soon after the commit, but not while a
    /// state of their product has an unfinished fan-out: a resumed fan-out reads its first rows
    /// again to find which users it notified.
    pub removals: Vec<Removal>,
    /// Records that are not updates. They become dead letters.
    pub rejected_records: Vec<RejectedRecord>,
    /// The next offset to read, of every partition of an update, a timer or a state in this commit.
    pub offsets: Vec<(Partition, i64)>,
}

/// A record that is not an update.
#[derive(Debug, Clone)]
pub struct RejectedRecord {
    /// The record.
    pub record: Record,
    /// Why it is not an update.
    pub reason: String,
}

/// Why a commit failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// Nothing was committed: commit again.
    #[error("nothing was committed: {0}")]
    NotCommitted(#[source] Cause),
    /// It may have been committed: restore, and continue from the stored offsets.
    #[error("the commit's outcome is unknown: {0}")]
    Unknown(#[source] Cause),
    /// Another worker owns the partitions now: restore.
    #[error("fenced: {0}")]
    Fenced(#[source] Cause),
}

/// The port through which the notifier commits. It has no other way to change anything durable.
#[async_trait]
pub trait Committer: Send {
    /// Returns the offsets to continue from, and the states with a held update or an unfinished
    /// fan-out. It is called first, after every commit with an unknown outcome, and after
    /// partitions were assigned or revoked. It returns nothing if no partition is assigned. The
    /// worker's source discards the records that it returned and that are not settled, and
    /// continues from these offsets.
    ///
    /// # Errors
    /// The store is unavailable; try again. Or partitions were assigned or revoked meanwhile.
    async fn restore(&mut self) -> Result<Restored, Error>;

    /// Returns the states of these products, in all currencies.
    ///
    /// # Errors
    /// The store is unavailable; try again.
    async fn load(
        &mut self,
        products: &[(Partition, ProductId)],
    ) -> Result<Vec<(StateKey, ProductState)>, Error>;

    /// Commits everything durably, or nothing.
    ///
    /// # Errors
    /// The variant says whether anything was committed.
    async fn commit(&mut self, commit: Commit) -> Result<(), CommitError>;
}

/// Where to continue after a start, a rebalance or a commit with an unknown outcome.
#[derive(Debug, Default)]
pub struct Restored {
    /// The next offset to read of each partition.
    pub offsets: Vec<(Partition, i64)>,
    /// States with a held update or an unfinished fan-out.
    pub unfinished: Vec<(StateKey, ProductState)>,
}

//! The ports of the notifier: input, watches, and the commit. Those of the
//! dispatcher stand in [`crate::dispatch`].
//!
//! ```text
//! UpdateSource ──records──▶ notifier ──Commit──▶ Committer ──▶ user_notifications
//!      ▲                      │   ▲                 │
//!      └────── outcomes ──────┘   └── WatchPage ◀── WatchStore (one View a batch)
//! ```

use async_trait::async_trait;

use crate::plugin::PolicyIdentity;
use crate::state::DecodeError;
use crate::{
    BucketId, Cause, Cursor, FanOutBlock, Floor, Hysteresis, Partition, Position, Price, ProductId,
    ProductState, Record, Removal, StateKey, UserId, WallTime, Watch, WatchPage,
};

/// Why a store did not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Try again: nothing was lost, nothing was done.
    #[error(transparent)]
    Unavailable(Cause),
    /// Do not try again before somebody looked.
    #[error(transparent)]
    Fatal(Cause),
    /// Partitions came or went: restore, and go on with those there are now.
    #[error(transparent)]
    Rebalanced(Cause),
}

impl Error {
    /// Why, whatever a caller can do about it.
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

/// Where updates come from, in log order per partition. Source and committer of a worker
/// are two halves of one session: what the source hands out, the committer settles.
#[async_trait]
pub trait UpdateSource: Send {
    /// The next records: at least one, or none when `wait_ms` passed without
    /// any; without a wait: those at hand. `None` when the input has ended for
    /// good. It is called all the time, and with `most` 0 where no record is
    /// wanted: then it only looks after the input.
    ///
    /// # Errors
    /// The input is away; try again. Or partitions came or went.
    async fn next_batch(&mut self, most: usize, wait_ms: u64) -> Result<Option<Vec<Record>>, Error>;

    /// Hands out nothing more of these partitions, and of the others again:
    /// enough of theirs wait. They take no room from others meanwhile.
    fn hold_back(&mut self, _partitions: &[Partition]) {}

    /// Tells what became of records, once it is committed: once each, not
    /// always in log order, for a long fan-out lets others pass. Positions
    /// from before a restart are ignored.
    fn settled(&mut self, outcomes: Vec<(Position, Outcome)>);
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was no update, for this reason.
    Dead(String),
    /// It forgot a product.
    Tombstone,
    /// It was older than one already seen.
    Stale,
    /// The throttle holds it.
    Held,
    /// The throttle skipped it.
    Skipped,
    /// It was evaluated, and no drop.
    NotLower,
    /// It was evaluated: a drop.
    Drop {
        /// How many users were told.
        told: u64,
        /// Whether the same price was told within the window.
        told_before: bool,
    },
}

// ---------------------------------------------------------------- watches

/// Watches as the notifier reads them.
#[async_trait]
pub trait WatchStore: Send + Sync {
    /// Opens a view: its wall time is such that every watch updated up to it
    /// is visible, and every watch written from now on is updated later.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn view(&self) -> Result<Box<dyn WatchView>, Error>;
}

/// Watches as they were, or newer, at one wall time.
#[async_trait]
pub trait WatchView: Send {
    /// The wall time of the view.
    fn wall_time(&self) -> WallTime;

    /// What is known of a product's watches without reading them.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn summary(&mut self, product: &ProductId) -> Result<Summary, Error>;

    /// Reads ahead what is probably scanned soon, many products at once: their
    /// summaries and first pages are then answered without a wait. A hint, and
    /// no more: there may be scans that were not announced, and announced ones
    /// that never come, with another range, or by another path. `below` is the
    /// product's floor, and every-drop watches are read above it too; without
    /// buckets it is not known yet whether the product is read by them.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn prefetch(&mut self, _scans: &[Scan<'_>]) -> Result<(), Error> {
        Ok(())
    }

    /// Fills `page` with the next rows of a scan; `Some` cursor: there may be
    /// more behind it.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn scan(&mut self, scan: &Scan<'_>, page: &mut WatchPage) -> Result<Option<Cursor>, Error>;
}

/// What is known of a product's watches without reading them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How many there are, as far as is known.
    pub watches: u64,
    /// Whether there may be every-drop watches.
    pub every_drop: bool,
    /// Whether there may be crossing or once watches.
    pub crossing: bool,
    /// Whether there may be watches without a mode: they take the rules'.
    pub modeless: bool,
    /// When one was last written, where that is known.
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
    /// Thresholds below this floor.
    pub below: Floor,
    /// How to read the floor.
    pub hysteresis: Hysteresis,
    /// By bucket of this policy, from this bucket on; none: the plain range.
    pub buckets: Option<(&'a str, BucketId)>,
    /// Rows behind this one.
    pub after: Option<Cursor>,
    /// At most this many rows a page.
    pub page_rows: usize,
}

/// Watches as people write them. Every change is durable when it is answered.
#[async_trait]
pub trait WatchWriter: Send + Sync {
    /// Writes watches; an existing one is replaced. `updated_at` is the
    /// store's, whatever the watch carries.
    ///
    /// # Errors
    /// Nothing is promised; writing again is safe.
    async fn put(&self, watches: Vec<Watch>) -> Result<Written, Error>;

    /// Deletes a watch.
    ///
    /// # Errors
    /// Nothing is promised; deleting again is safe.
    async fn delete(&self, product: &ProductId, threshold: Price, user: &UserId) -> Result<Deleted, Error>;

    /// A page of watches in order of product, threshold, user, behind `after`:
    /// of this product, or of all.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn list(
        &self,
        product: Option<&ProductId>,
        after: Option<&Watch>,
        most: usize,
    ) -> Result<Vec<Watch>, Error>;

    /// Deletes exactly the rows whose version is the one told.
    ///
    /// # Errors
    /// Nothing is promised; removing again is safe.
    async fn remove_told(&self, removals: &[Removal]) -> Result<(), Error>;
}

/// Watches that were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// When, by the store.
    pub updated_at: WallTime,
    /// Drops see them from here on at the latest; none: the next one does.
    pub effective_by: Option<WallTime>,
}

/// A watch that was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    /// Whether there was one.
    pub existed: bool,
    /// Drops miss it from here on at the latest; none: the next one does.
    pub effective_by: Option<WallTime>,
}

/// Which policy's buckets are being served, kept for the whole group.
#[async_trait]
pub trait PolicyRegistry: Send + Sync {
    /// The active policy; none: no bucket was ever written.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn active(&self) -> Result<Option<PolicyIdentity>, Error>;

    /// Makes a policy active that cuts as the active one does, or is the first.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn activate(&self, policy: &PolicyIdentity) -> Result<(), Error>;
}

// ---------------------------------------------------------------- current prices

/// The last evaluated price of a product, as it was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PriceRow {
    /// Whose price.
    pub key: StateKey,
    /// The offset its commit went on from: later rows have higher ones.
    pub next_offset: i64,
    /// Which of the rows of that offset: later ones have higher numbers. A timer
    /// may release a price without any record.
    pub turn: u16,
    /// The price and when; none: it was forgotten.
    pub last: Option<crate::Evaluated>,
    /// Which crossing watches are spent.
    pub floor: Floor,
}

/// Where committed prices are shown to the API and to re-checks.
pub trait PriceSink: Send + Sync {
    /// Writes rows soon, the latest of each key; never waits.
    fn show(&self, rows: Vec<PriceRow>);
}

// ---------------------------------------------------------------- the commit

/// What one batch decided: all of it becomes true, or none.
#[derive(Debug, Default)]
pub struct Commit {
    /// Notifications.
    pub fan_outs: Vec<FanOutBlock>,
    /// The new states.
    pub states: Vec<(StateKey, ProductState)>,
    /// Once-watches told. They are carried out soon, but not while a state of
    /// their product holds an unfinished fan-out: a resumed one re-reads its
    /// first rows to know whom it told.
    pub removals: Vec<Removal>,
    /// Records that are no updates. They become dead letters.
    pub rejected_records: Vec<RejectedRecord>,
    /// The next offset to read, of every partition whose update, timer or
    /// state the commit carries.
    pub offsets: Vec<(Partition, i64)>,
}

/// A record that is no update.
#[derive(Debug, Clone)]
pub struct RejectedRecord {
    /// The record.
    pub record: Record,
    /// Why.
    pub reason: String,
}

/// How a commit failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// Nothing happened: commit again.
    #[error("nothing was committed: {0}")]
    NotCommitted(#[source] Cause),
    /// It may have happened: restore, and go on from the stored position.
    #[error("the commit's outcome is unknown: {0}")]
    Unknown(#[source] Cause),
    /// The work belongs to somebody else now: restore.
    #[error("fenced off: {0}")]
    Fenced(#[source] Cause),
}

/// The heart: the one trait through which the notifier changes the world.
#[async_trait]
pub trait Committer: Send {
    /// The offsets to go on from, and the states that have something pending:
    /// a held update or an unfinished fan-out. Called first, after every commit
    /// whose outcome is unknown, and when partitions came or went; there may be
    /// none at all. The source of the same worker forgets every record that it handed
    /// out and that is not settled, and goes on from these offsets too.
    ///
    /// # Errors
    /// The store is away; try again. Or partitions came or went meanwhile.
    async fn restore(&mut self) -> Result<Restored, Error>;

    /// The states of these products, in all their currencies.
    ///
    /// # Errors
    /// The store is away; try again.
    async fn load(
        &mut self,
        products: &[(Partition, ProductId)],
    ) -> Result<Vec<(StateKey, ProductState)>, Error>;

    /// Makes all of it true, durably, or nothing.
    ///
    /// # Errors
    /// Says whether anything happened.
    async fn commit(&mut self, commit: Commit) -> Result<(), CommitError>;
}

/// Where to go on after a start or an unknown outcome.
#[derive(Debug, Default)]
pub struct Restored {
    /// The next offset of each partition.
    pub offsets: Vec<(Partition, i64)>,
    /// States with a held update or an unfinished fan-out.
    pub unfinished: Vec<(StateKey, ProductState)>,
}

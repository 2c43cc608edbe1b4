//! `pricedrop simulate`: runs the notifier, with the decision code and the plugins of the live
//! engine, over two files. Deterministic: the records set the clock, and no server is needed.

mod events;
#[cfg(test)]
mod histories;
mod watches;

use std::io::{BufRead, Write};
use std::sync::Arc;

use pricedrop_memory::{MemoryCommitter, MemoryWatches};
use pricedrop_model::notification::{Format, Renderer};
use pricedrop_model::plugin::Plugins;
use pricedrop_model::ports::{Commit, CommitError, Committer, Error as SeamError, Restored};
use pricedrop_model::{Cause, Partition, ProductId, ProductState, Rules, StateKey};
use pricedrop_pipeline::notifier;

use events::{Events, SimulatedClock};
pub use watches::{COLUMNS as WATCH_COLUMNS, Error as WatchError, read as read_watch};

/// The topic name from which notification ids are derived, the same as in a live engine.
const TOPIC: &str = "price_updates";

/// The settings of a simulation.
pub struct Simulation {
    /// The rules that decide which watches a price fires.
    pub rules: Rules,
    /// The bucketing and throttling plugins.
    pub plugins: Arc<dyn Plugins>,
    /// Products with more watches than this are read by bucket, if there is a bucketing policy.
    pub bucket_threshold: usize,
}

/// The counters of a simulation.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Stats {
    pub updates: u64,
    pub stale: u64,
    pub held: u64,
    pub skipped: u64,
    pub drops: u64,
    pub notifications: u64,
    /// Drops to a price that was notified within the deduplication window.
    pub deduplicated: u64,
    pub dead: u64,
    /// Watches that were read for decisions.
    pub rows_read: u64,
    pub bucket_reads: u64,
    /// Products read by bucket, the number of their buckets, and the watches of the fullest bucket.
    pub bucketed_products: usize,
    pub buckets: usize,
    pub fullest_bucket: usize,
}

/// Why a simulation ended before its input did.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file of watches is invalid.
    #[error(transparent)]
    Watches(#[from] WatchError),
    /// The notifications cannot be written, for example because the pipe was closed.
    #[error("cannot write the notifications: {0}")]
    Output(String),
    /// The notifier failed.
    #[error(transparent)]
    Stopped(#[from] notifier::Stop),
}

impl Simulation {
    /// Runs the updates over the watches. Notifications are written to `out`, one JSON object
    /// a line. Unreadable lines are passed to `complain` with their number.
    ///
    /// # Errors
    /// The watches are invalid, or the output cannot be written.
    pub async fn run(
        self,
        watches: impl BufRead + 'static,
        updates: impl BufRead + Send + 'static,
        out: impl Write + Send + 'static,
        complain: impl FnMut(u64, &str) + Send + 'static,
    ) -> Result<Stats, Error> {
        let clock = Arc::new(SimulatedClock::default());
        let store =
            Arc::new(MemoryWatches::new(clock.clone(), self.plugins.bucketing(), self.bucket_threshold));
        watches::load(watches, &store)?;
        let committer =
            Printing { inner: MemoryCommitter::default(), store: store.clone(), out, line: Vec::new() };
        let events = Events::new(updates, store.clone(), clock.clone(), self.rules.round_decimals, complain);
        let options = notifier::Options {
            rules: self.rules,
            batch_records: 1,
            commit_watches: usize::MAX,
            commit_ms: u64::MAX,
            idle_wait_ms: events::NO_TIMER_MS,
            audit_sample_rate: 0,
            look_ahead: false,
            ..notifier::Options::default()
        };
        let notifier =
            options.build(Box::new(events), Box::new(committer), store.clone(), self.plugins, clock);
        let metrics = notifier.metrics();
        let (_keep, never) = tokio::sync::watch::channel(false);
        notifier.run(never).await.map_err(|stop| {
            let notifier::Stop::Fatal(cause) = &stop;
            match cause.find::<OutputClosed>() {
                Some(OutputClosed(error)) => Error::Output(error.to_string()),
                None => Error::Stopped(stop),
            }
        })?;
        Ok(stats(&metrics, &store))
    }
}

fn stats(metrics: &notifier::Metrics, store: &MemoryWatches) -> Stats {
    let buckets = store.buckets();
    Stats {
        updates: metrics.records.get(),
        stale: metrics.stale.get(),
        held: metrics.held.get(),
        skipped: metrics.skipped.get(),
        drops: metrics.drops.get(),
        notifications: metrics.notifications.get(),
        deduplicated: metrics.deduplicated.get(),
        dead: metrics.dead.get(),
        rows_read: metrics.rows_read.get(),
        bucket_reads: metrics.bucket_reads.get(),
        bucketed_products: buckets.len(),
        buckets: buckets.iter().map(|(_, count, _)| count).sum(),
        fullest_bucket: buckets.iter().map(|(_, _, fullest)| *fullest).max().unwrap_or(0),
    }
}

/// The output was closed by its reader.
#[derive(Debug, thiserror::Error)]
#[error("output: {0}")]
struct OutputClosed(#[source] std::io::Error);

/// A committer that commits in memory and prints the notifications of each commit.
struct Printing<W> {
    inner: MemoryCommitter,
    store: Arc<MemoryWatches>,
    out: W,
    line: Vec<u8>,
}

#[async_trait::async_trait]
impl<W: Write + Send> Committer for Printing<W> {
    async fn restore(&mut self) -> Result<Restored, SeamError> {
        self.inner.restore().await
    }

    async fn load(
        &mut self,
        products: &[(Partition, ProductId)],
    ) -> Result<Vec<(StateKey, ProductState)>, SeamError> {
        // A closed output is the only failure here. It is reported by the next load.
        self.out.flush().map_err(|error| SeamError::Fatal(Cause::of(OutputClosed(error))))?;
        self.inner.load(products).await
    }

    async fn commit(&mut self, mut commit: Commit) -> Result<(), CommitError> {
        for block in &commit.fan_outs {
            let mut renderer = Renderer::new(block, TOPIC, Format::Full);
            self.line.clear();
            for (user, watch_price) in block.told.iter() {
                renderer.write(&mut self.line, user, watch_price);
                self.line.push(b'\n');
            }
            self.out.write_all(&self.line).map_err(|error| CommitError::NotCommitted(Cause::of(error)))?;
        }
        self.store.remove_versions(&commit.removals);
        commit.fan_outs.clear();
        commit.rejected_records.clear();
        commit.removals.clear();
        self.inner.commit(commit).await
    }
}

//! State that all adapters of the store share.

use std::fs::File;
use std::ops::Range;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;

use pricedrop_model::Record;
use pricedrop_model::plugin::{Bucketing, Plugins};
use pricedrop_model::sync::lock;
use tokio::sync::watch;

use super::options::Options;
use super::store_handle::StoreHandle;
use super::topics::ArchivedTopic;
use super::watch_clock::WatchClock;
use super::work::Work;
use super::writer::Writer;

/// Access to the records that were accepted but not committed yet.
pub(super) trait Uncommitted: Send + Sync {
    /// Hands out records again from the stored offset on. Those below it are durable.
    fn rewind(&self, stored: i64);

    /// Returns the records with these offsets; all of them, as long as none was committed.
    fn records(&self, offsets: Range<i64>) -> Vec<Record>;
}

/// State that the adapters and the writer's jobs share. It has no handle of the writer, so that a
/// job may keep it.
pub(crate) struct Shared {
    /// The random id of this store.
    pub(super) id: String,
    pub(super) store: Arc<StoreHandle>,
    pub(super) watch_clock: Arc<WatchClock>,
    pub(super) plugins: Mutex<Arc<dyn Plugins>>,
    /// The offset after the last notification written.
    pub(super) written: watch::Sender<i64>,
    /// The committed offset of the input.
    pub(super) committed: AtomicI64,
    pub(super) work: Work,
    /// The records that were accepted but not committed yet.
    pub(super) uncommitted: Mutex<Option<Weak<dyn Uncommitted>>>,
    /// The policy of a migration that is in progress.
    pub(super) migrating: Mutex<Option<Arc<dyn Bucketing>>>,
    pub(super) options: Options,
}

impl Shared {
    pub(super) fn plugins(&self) -> Arc<dyn Plugins> {
        lock(&self.plugins).clone()
    }

    /// Returns whether this topic is archived.
    pub(super) fn archives(&self, topic: ArchivedTopic) -> bool {
        self.options.archived.contains(&topic)
    }

    /// Sets the source of the records that were accepted but not committed yet.
    pub(super) fn set_uncommitted(&self, records: Weak<dyn Uncommitted>) {
        *lock(&self.uncommitted) = Some(records);
    }

    /// Returns the records with these offsets, if none of them is committed.
    pub(super) fn uncommitted(&self, offsets: Range<i64>) -> Vec<Record> {
        let holder = lock(&self.uncommitted).as_ref().and_then(Weak::upgrade);
        holder.map_or_else(Vec::new, |holder| holder.records(offsets))
    }

    /// Hands out records again from the stored offset on.
    pub(super) fn rewind(&self, stored: i64) {
        if let Some(holder) = lock(&self.uncommitted).as_ref().and_then(Weak::upgrade) {
            holder.rewind(stored);
        }
    }

    /// Returns the policy of a migration that is in progress.
    pub(super) fn migrating(&self) -> Option<Arc<dyn Bucketing>> {
        lock(&self.migrating).clone()
    }

    /// Wakes the readers of the outbox if it has grown.
    pub(super) fn publish(&self, next_notification: i64) {
        self.written.send_if_modified(|next| {
            let grows = next_notification > *next;
            *next = next_notification.max(*next);
            grows
        });
    }
}

pub(super) struct Inner {
    pub(super) writer: Option<Writer>,
    pub(super) shared: Arc<Shared>,
    /// Maintenance, then the writer that it uses.
    pub(super) threads: Vec<JoinHandle<()>>,
    /// Locks the data folder.
    pub(super) lock: File,
}

impl Inner {
    pub(super) fn writer(&self) -> &Writer {
        self.writer.as_ref().expect("only dropping takes the writer")
    }
}

/// Ends the threads and waits for them. Then the store is closed and the folder is free.
impl Drop for Inner {
    fn drop(&mut self) {
        self.writer.take();
        self.shared.work.stop();
        for thread in self.threads.drain(..) {
            // A thread that panicked has nothing left to finish.
            let _ = thread.join();
        }
    }
}

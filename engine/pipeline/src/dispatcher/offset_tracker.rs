//! Tracks which notifications are finished, to know the offset to commit in each partition: that
//! of the first unfinished one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use pricedrop_model::sync::lock;
use pricedrop_model::{Partition, Position};
use tokio::sync::Notify;

use super::options::SPAN_FACTOR;

/// The notifications that were read, per partition in order of offset, each with the number of
/// its unfinished deliveries.
///
/// When partitions are assigned or revoked, everything is forgotten and a new generation begins.
/// The log returns again what was not finished, so deliveries of an older generation that end
/// later are ignored.
pub(super) struct OffsetTracker {
    inner: Mutex<Inner>,
    changed: Notify,
    most_open: usize,
}

#[derive(Default)]
struct Inner {
    generation: u64,
    partitions: BTreeMap<Partition, PartitionOffsets>,
    entries: usize,
    open: usize,
}

/// The notifications of one partition.
#[derive(Default)]
struct PartitionOffsets {
    entries: VecDeque<Entry>,
    /// The next offset to commit; `None` if it is committed.
    next: Option<i64>,
}

struct Entry {
    offset: i64,
    /// How many deliveries are unfinished.
    deliveries: u32,
}

/// Identifies the notification of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TrackedPosition {
    pub(super) position: Position,
    pub(super) generation: u64,
}

impl OffsetTracker {
    /// Tracks at most `most_open` unfinished notifications.
    pub(super) fn new(most_open: usize) -> OffsetTracker {
        OffsetTracker { inner: Mutex::default(), changed: Notify::new(), most_open }
    }

    /// Adds a notification after all others of its partition. One without deliveries is finished
    /// at once.
    pub(super) fn track(&self, position: Position, deliveries: usize) -> TrackedPosition {
        let mut inner = self.lock();
        inner.entries += 1;
        inner.open += usize::from(deliveries > 0);
        let entry = Entry { offset: position.offset, deliveries: deliveries as u32 };
        inner.partitions.entry(position.partition).or_default().entries.push_back(entry);
        TrackedPosition { position, generation: inner.generation }
    }

    /// Marks one delivery of each of these notifications as finished.
    pub(super) fn finish(&self, tracked: &[TrackedPosition]) {
        let mut inner = self.lock();
        for tracked in tracked {
            inner.finish(*tracked);
        }
        drop(inner);
        self.changed.notify_one();
    }

    /// Removes finished notifications up to the first unfinished one. Returns the offset after
    /// them, for every partition whose offset is not committed yet.
    pub(super) fn advance(&self) -> Vec<(Partition, i64)> {
        let mut inner = self.lock();
        let Inner { partitions, entries, .. } = &mut *inner;
        for track in partitions.values_mut() {
            while track.entries.front().is_some_and(|entry| entry.deliveries == 0) {
                track.next = track.entries.pop_front().map(|entry| entry.offset + 1);
                *entries -= 1;
            }
        }
        partitions.iter().filter_map(|(partition, track)| Some((*partition, track.next?))).collect()
    }

    /// Records that these offsets are committed.
    pub(super) fn committed(&self, next: &[(Partition, i64)]) {
        let mut inner = self.lock();
        for (partition, next) in next {
            let Some(track) = inner.partitions.get_mut(partition) else { continue };
            track.next = track.next.filter(|waiting| waiting > next);
        }
    }

    /// Forgets everything; a new generation begins.
    pub(super) fn forget(&self) {
        let mut inner = self.lock();
        *inner = Inner { generation: inner.generation + 1, ..Inner::default() };
        drop(inner);
        self.changed.notify_one();
    }

    /// The current generation.
    pub(super) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// How many more notifications may be read: limited by the unfinished ones, and by [`SPAN_FACTOR`]
    /// times as many between the first unfinished and the last one read.
    pub(super) fn capacity(&self) -> usize {
        let inner = self.lock();
        let open = self.most_open.saturating_sub(inner.open);
        open.min((self.most_open * SPAN_FACTOR).saturating_sub(inner.entries))
    }

    /// Returns after a delivery was finished or everything was forgotten.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

impl Inner {
    fn finish(&mut self, tracked: TrackedPosition) {
        if tracked.generation != self.generation {
            return;
        }
        let Some(track) = self.partitions.get_mut(&tracked.position.partition) else { return };
        let offset = tracked.position.offset;
        let Ok(at) = track.entries.binary_search_by_key(&offset, |entry| entry.offset) else { return };
        let entry = &mut track.entries[at];
        entry.deliveries -= 1;
        self.open -= usize::from(entry.deliveries == 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(partition: i32, offset: i64) -> Position {
        Position { partition: Partition(partition), offset }
    }

    #[test]
    fn offsets_never_pass_an_unfinished_notification() {
        let tracker = OffsetTracker::new(2);
        let first = tracker.track(at(0, 10), 2);
        let second = tracker.track(at(0, 12), 1);
        assert_eq!(tracker.capacity(), 0);
        tracker.finish(&[second, first]);
        assert_eq!(tracker.advance(), []);
        assert_eq!(tracker.capacity(), 1);
        tracker.finish(&[first]);
        assert_eq!(tracker.advance(), [(Partition(0), 13)]);
        tracker.committed(&[(Partition(0), 13)]);
        assert_eq!(tracker.advance(), []);
    }

    #[test]
    fn a_notification_without_deliveries_is_finished_at_once() {
        let tracker = OffsetTracker::new(2);
        tracker.track(at(0, 7), 0);
        assert_eq!(tracker.capacity(), 2);
        assert_eq!(tracker.advance(), [(Partition(0), 8)]);
    }

    #[test]
    fn partitions_advance_independently() {
        let tracker = OffsetTracker::new(9);
        let tracked = [at(0, 5), at(1, 5), at(1, 6)].map(|position| tracker.track(position, 1));
        tracker.finish(&tracked[1..]);
        assert_eq!(tracker.advance(), [(Partition(1), 7)]);
        tracker.finish(&tracked[..1]);
        assert_eq!(tracker.advance(), [(Partition(0), 6), (Partition(1), 7)]);
    }

    #[test]
    fn an_offset_is_returned_until_it_is_committed() {
        let tracker = OffsetTracker::new(9);
        tracker.track(at(3, 0), 0);
        assert_eq!(tracker.advance(), [(Partition(3), 1)]);
        tracker.track(at(3, 1), 0);
        assert_eq!(tracker.advance(), [(Partition(3), 2)]);
        tracker.committed(&[(Partition(3), 1)]);
        assert_eq!(tracker.advance(), [(Partition(3), 2)]);
    }

    #[test]
    fn deliveries_of_an_older_generation_are_ignored() {
        let tracker = OffsetTracker::new(2);
        let old = tracker.track(at(0, 7), 1);
        tracker.track(at(1, 7), 0);
        tracker.forget();
        assert_eq!((tracker.capacity(), tracker.advance()), (2, vec![]));
        let new = tracker.track(at(0, 7), 1);
        tracker.finish(&[old]);
        assert_eq!(tracker.advance(), []);
        tracker.finish(&[new]);
        assert_eq!(tracker.advance(), [(Partition(0), 8)]);
    }
}

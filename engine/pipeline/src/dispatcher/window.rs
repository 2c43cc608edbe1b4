//! Tracks which notifications are finished, to know the offset to commit in each partition: that
//! of the first unfinished one.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use pricedrop_model::sync::lock;
use pricedrop_model::{Partition, Position};
use tokio::sync::Notify;

use super::options::SPAN;

/// The notifications that were read, per partition in order of offset, each with the number of
/// its unfinished deliveries.
///
/// When partitions are assigned or revoked, everything is forgotten and a new generation begins.
/// The log hands out again what was not finished, so deliveries of an older generation that end
/// later are ignored.
pub(super) struct Window {
    inner: Mutex<Inner>,
    room: Notify,
    most_open: usize,
}

#[derive(Default)]
struct Inner {
    generation: u64,
    tracks: BTreeMap<Partition, Track>,
    entries: usize,
    open: usize,
}

/// The notifications of one partition.
#[derive(Default)]
struct Track {
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
pub(super) struct Place {
    pub(super) position: Position,
    pub(super) generation: u64,
}

impl Window {
    /// A window of at most `most_open` unfinished notifications.
    pub(super) fn new(most_open: usize) -> Window {
        Window { inner: Mutex::default(), room: Notify::new(), most_open }
    }

    /// Adds a notification after all others of its partition. One without deliveries is finished
    /// at once.
    pub(super) fn admit(&self, position: Position, deliveries: usize) -> Place {
        let mut inner = self.lock();
        inner.entries += 1;
        inner.open += usize::from(deliveries > 0);
        let entry = Entry { offset: position.offset, deliveries: deliveries as u32 };
        inner.tracks.entry(position.partition).or_default().entries.push_back(entry);
        Place { position, generation: inner.generation }
    }

    /// Marks one delivery of each of these notifications as finished.
    pub(super) fn finish(&self, places: &[Place]) {
        let mut inner = self.lock();
        for place in places {
            inner.finish(*place);
        }
        drop(inner);
        self.room.notify_one();
    }

    /// Removes finished notifications up to the first unfinished one. Returns the offset after
    /// them, for every partition whose offset is not committed yet.
    pub(super) fn advance(&self) -> Vec<(Partition, i64)> {
        let mut inner = self.lock();
        let Inner { tracks, entries, .. } = &mut *inner;
        for track in tracks.values_mut() {
            while track.entries.front().is_some_and(|entry| entry.deliveries == 0) {
                track.next = track.entries.pop_front().map(|entry| entry.offset + 1);
                *entries -= 1;
            }
        }
        tracks.iter().filter_map(|(partition, track)| Some((*partition, track.next?))).collect()
    }

    /// Records that these offsets are committed.
    pub(super) fn committed(&self, next: &[(Partition, i64)]) {
        let mut inner = self.lock();
        for (partition, next) in next {
            let Some(track) = inner.tracks.get_mut(partition) else { continue };
            track.next = track.next.filter(|waiting| waiting > next);
        }
    }

    /// Forgets everything; a new generation begins.
    pub(super) fn forget(&self) {
        let mut inner = self.lock();
        *inner = Inner { generation: inner.generation + 1, ..Inner::default() };
        drop(inner);
        self.room.notify_one();
    }

    /// The current generation.
    pub(super) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// How many more notifications may be read: limited by the unfinished ones, and by [`SPAN`]
    /// times as many between the first unfinished and the last one read.
    pub(super) fn room(&self) -> usize {
        let inner = self.lock();
        let open = self.most_open.saturating_sub(inner.open);
        open.min((self.most_open * SPAN).saturating_sub(inner.entries))
    }

    /// Returns after a delivery was finished or everything was forgotten.
    pub(super) async fn changed(&self) {
        self.room.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        lock(&self.inner)
    }
}

impl Inner {
    fn finish(&mut self, place: Place) {
        if place.generation != self.generation {
            return;
        }
        let Some(track) = self.tracks.get_mut(&place.position.partition) else { return };
        let offset = place.position.offset;
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
        let window = Window::new(2);
        let first = window.admit(at(0, 10), 2);
        let second = window.admit(at(0, 12), 1);
        assert_eq!(window.room(), 0);
        window.finish(&[second, first]);
        assert_eq!(window.advance(), []);
        assert_eq!(window.room(), 1);
        window.finish(&[first]);
        assert_eq!(window.advance(), [(Partition(0), 13)]);
        window.committed(&[(Partition(0), 13)]);
        assert_eq!(window.advance(), []);
    }

    #[test]
    fn a_notification_nobody_gets_is_passed() {
        let window = Window::new(2);
        window.admit(at(0, 7), 0);
        assert_eq!(window.room(), 2);
        assert_eq!(window.advance(), [(Partition(0), 8)]);
    }

    #[test]
    fn a_partition_does_not_wait_for_another() {
        let window = Window::new(9);
        let places = [at(0, 5), at(1, 5), at(1, 6)].map(|position| window.admit(position, 1));
        window.finish(&places[1..]);
        assert_eq!(window.advance(), [(Partition(1), 7)]);
        window.finish(&places[..1]);
        assert_eq!(window.advance(), [(Partition(0), 6), (Partition(1), 7)]);
    }

    #[test]
    fn an_offset_is_offered_until_it_is_committed() {
        let window = Window::new(9);
        window.admit(at(3, 0), 0);
        assert_eq!(window.advance(), [(Partition(3), 1)]);
        window.admit(at(3, 1), 0);
        assert_eq!(window.advance(), [(Partition(3), 2)]);
        window.committed(&[(Partition(3), 1)]);
        assert_eq!(window.advance(), [(Partition(3), 2)]);
    }

    #[test]
    fn what_ends_of_an_older_generation_counts_for_nothing() {
        let window = Window::new(2);
        let old = window.admit(at(0, 7), 1);
        window.admit(at(1, 7), 0);
        window.forget();
        assert_eq!((window.room(), window.advance()), (2, vec![]));
        let new = window.admit(at(0, 7), 1);
        window.finish(&[old]);
        assert_eq!(window.advance(), []);
        window.finish(&[new]);
        assert_eq!(window.advance(), [(Partition(0), 8)]);
    }
}

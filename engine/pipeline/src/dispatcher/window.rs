//! Which notifications are finished: the offset to commit is that of the first
//! one that is not.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::options::SPAN;

/// Notifications read, in order, with how many of their deliveries are open.
pub(super) struct Window {
    inner: Mutex<Inner>,
    room: Notify,
    most_open: usize,
}

#[derive(Default)]
struct Inner {
    entries: VecDeque<Entry>,
    open: usize,
}

struct Entry {
    offset: i64,
    deliveries: u32,
}

impl Window {
    pub(super) fn new(most_open: usize) -> Window {
        Window { inner: Mutex::default(), room: Notify::new(), most_open }
    }

    /// Adds a notification behind all others; one without deliveries is
    /// finished at once.
    pub(super) fn admit(&self, offset: i64, deliveries: usize) {
        let mut inner = self.lock();
        inner.open += usize::from(deliveries > 0);
        inner.entries.push_back(Entry { offset, deliveries: deliveries as u32 });
    }

    /// One delivery of each of these notifications is finished.
    pub(super) fn finish(&self, offsets: &[i64]) {
        let mut inner = self.lock();
        for offset in offsets {
            let Ok(at) = inner.entries.binary_search_by_key(offset, |entry| entry.offset) else { continue };
            let entry = &mut inner.entries[at];
            entry.deliveries -= 1;
            inner.open -= usize::from(inner.entries[at].deliveries == 0);
        }
        drop(inner);
        self.room.notify_one();
    }

    /// Forgets the finished ones in front; where to go on behind them.
    pub(super) fn advance(&self) -> Option<i64> {
        let mut inner = self.lock();
        let mut next = None;
        while inner.entries.front().is_some_and(|entry| entry.deliveries == 0) {
            next = inner.entries.pop_front().map(|entry| entry.offset + 1);
        }
        next
    }

    /// How many more may be read.
    pub(super) fn room(&self) -> usize {
        let inner = self.lock();
        let open = self.most_open.saturating_sub(inner.open);
        open.min((self.most_open * SPAN).saturating_sub(inner.entries.len()))
    }

    /// Returns after something was finished.
    pub(super) async fn changed(&self) {
        self.room.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_never_pass_an_unfinished_notification() {
        let window = Window::new(2);
        window.admit(10, 2);
        window.admit(12, 1);
        assert_eq!(window.room(), 0);
        window.finish(&[12, 10]);
        assert_eq!(window.advance(), None);
        assert_eq!(window.room(), 1);
        window.finish(&[10]);
        assert_eq!(window.advance(), Some(13));
        assert_eq!(window.advance(), None);
    }

    #[test]
    fn a_notification_nobody_gets_is_passed() {
        let window = Window::new(2);
        window.admit(7, 0);
        assert_eq!(window.room(), 2);
        assert_eq!(window.advance(), Some(8));
    }
}

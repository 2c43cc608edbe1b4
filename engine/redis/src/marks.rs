//! The marks that this process has set. A write names cache entries, not marks, so the tokens of
//! the marks to remove are remembered here.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Instant;

use pricedrop_model::cache::CacheKey;
use pricedrop_model::sync::lock;

/// A mark that was set, or may have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) token: u64,
    /// When the mark has expired on its own.
    pub(super) ends: Instant,
    /// Whether another mark of the entry was lost. The lost one may have been set by the write that
    /// takes this one.
    pub(super) doubtful: bool,
}

/// Marks that are not removed yet, by cache entry, the oldest first.
#[derive(Default)]
pub(super) struct Marks(Mutex<State>);

#[derive(Default)]
struct State {
    by_key: HashMap<CacheKey, VecDeque<Mark>>,
    /// When there are more entries than this, expired marks are removed.
    swept_at: usize,
}

const SWEPT_AT: usize = 1_024;

impl Marks {
    pub(super) fn add(&self, keys: &[CacheKey], mark: Mark, now: Instant) {
        let mut state = lock(&self.0);
        for key in keys {
            state.by_key.entry(key.clone()).or_default().push_back(mark);
        }
        if state.by_key.len() > state.swept_at.max(SWEPT_AT) {
            state.by_key.retain(|_, marks| {
                marks.retain(|mark| mark.ends > now);
                !marks.is_empty()
            });
            state.swept_at = state.by_key.len() * 2;
        }
    }

    /// Takes the oldest mark of a cache entry. A mark is not bound to the write that set it: of two
    /// concurrent writes the first to finish takes the mark that ends first, so the one that
    /// remains lasts as long as the other write's own.
    pub(super) fn take(&self, key: &CacheKey, now: Instant) -> Option<Mark> {
        let mut state = lock(&self.0);
        let marks = state.by_key.get_mut(key)?;
        // Removes expired marks of writes that never finished. The last mark may be a late write's
        // own.
        while marks.len() > 1 && marks[0].ends <= now {
            marks.pop_front();
        }
        let mark = marks.pop_front();
        if marks.is_empty() {
            state.by_key.remove(key);
        }
        mark
    }

    /// Notes that a mark of this entry was lost, which may have been another write's.
    pub(super) fn doubt(&self, key: &CacheKey) {
        let mut state = lock(&self.0);
        let marks = state.by_key.get_mut(key).into_iter().flatten();
        marks.for_each(|mark| mark.doubtful = true);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use pricedrop_model::ProductId;

    use super::*;

    #[test]
    fn the_first_writer_to_finish_removes_the_mark_that_expires_first() {
        let (marks, now) = (Marks::default(), Instant::now());
        let key = CacheKey::Product(ProductId::new("P").unwrap());
        let mark = |token, secs| Mark { token, ends: now + Duration::from_secs(secs), doubtful: false };
        for (token, secs) in [(0, 0), (1, 1), (2, 2)] {
            marks.add(std::slice::from_ref(&key), mark(token, secs), now);
        }
        assert_eq!(marks.take(&key, now), Some(mark(1, 1)));
        marks.doubt(&key);
        assert_eq!(marks.take(&key, now), Some(Mark { doubtful: true, ..mark(2, 2) }));
        assert_eq!(marks.take(&key, now), None);
    }
}

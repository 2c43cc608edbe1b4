//! The marks of writes on their way in this process: a writer drops shelves by
//! name, and which marks are to be taken away is remembered here.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::Instant;

use pricedrop_model::cache::Shelf;
use pricedrop_model::sync::lock;

/// A mark that was set, or may have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) token: u64,
    /// By then it has ended by itself.
    pub(super) ends: Instant,
    /// Whether a mark beside it was lost: it may be that of another writer,
    /// and this one stands in for the lost one.
    pub(super) doubtful: bool,
}

/// Marks not yet dropped, by shelf, the oldest first.
#[derive(Default)]
pub(super) struct Marks(Mutex<State>);

#[derive(Default)]
struct State {
    by_shelf: HashMap<Shelf, VecDeque<Mark>>,
    /// Beyond this many shelves, marks of writers that never came back are
    /// looked for.
    swept_at: usize,
}

const SWEPT_AT: usize = 1_024;

impl Marks {
    pub(super) fn add(&self, shelves: &[Shelf], mark: Mark, now: Instant) {
        let mut state = lock(&self.0);
        for shelf in shelves {
            state.by_shelf.entry(shelf.clone()).or_default().push_back(mark);
        }
        if state.by_shelf.len() > state.swept_at.max(SWEPT_AT) {
            state.by_shelf.retain(|_, marks| {
                marks.retain(|mark| mark.ends > now);
                !marks.is_empty()
            });
            state.swept_at = state.by_shelf.len() * 2;
        }
    }

    /// The oldest mark of a shelf, which then is nobody's. Of two writers the
    /// first to come takes the mark that ends first: what stays stands as long
    /// as the other one's own would have.
    pub(super) fn take(&self, shelf: &Shelf, now: Instant) -> Option<Mark> {
        let mut state = lock(&self.0);
        let marks = state.by_shelf.get_mut(shelf)?;
        // Those of writers that never came back; but a writer may come too late itself.
        while marks.len() > 1 && marks[0].ends <= now {
            marks.pop_front();
        }
        let mark = marks.pop_front();
        if marks.is_empty() {
            state.by_shelf.remove(shelf);
        }
        mark
    }

    /// A mark of this shelf was lost, and it may not have been its taker's own.
    pub(super) fn doubt(&self, shelf: &Shelf) {
        let mut state = lock(&self.0);
        let marks = state.by_shelf.get_mut(shelf).into_iter().flatten();
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
    fn the_first_writer_to_finish_leaves_the_mark_that_stands_longest() {
        let (marks, now) = (Marks::default(), Instant::now());
        let shelf = Shelf::Plain(ProductId::new("P").unwrap());
        let mark = |token, secs| Mark { token, ends: now + Duration::from_secs(secs), doubtful: false };
        for (token, secs) in [(0, 0), (1, 1), (2, 2)] {
            marks.add(std::slice::from_ref(&shelf), mark(token, secs), now);
        }
        assert_eq!(marks.take(&shelf, now), Some(mark(1, 1)));
        marks.doubt(&shelf);
        assert_eq!(marks.take(&shelf, now), Some(Mark { doubtful: true, ..mark(2, 2) }));
        assert_eq!(marks.take(&shelf, now), None);
    }
}

//! How many watches a commit may still consider, and until when.

use std::time::{Duration, Instant};

use super::options::Options;

/// What is left of a commit's room.
pub struct Budget {
    watches: usize,
    /// From then on no more of them.
    until: Option<Instant>,
}

/// What is kept for records while fan-outs go on.
pub struct Reserve {
    watches: usize,
    until: Option<Instant>,
}

impl Budget {
    /// All of it, from now on.
    pub fn new(options: &Options) -> Budget {
        let until = Instant::now().checked_add(Duration::from_millis(options.commit_ms));
        Budget { watches: options.commit_watches, until }
    }

    /// Watches left.
    pub fn left(&self) -> usize {
        self.watches
    }

    /// Takes considered watches off; nothing is left when it has been too long.
    pub fn spend(&mut self, watches: usize) {
        let late = self.until.is_some_and(|until| Instant::now() >= until);
        self.watches = if late { 0 } else { self.watches.saturating_sub(watches) };
    }

    /// Sets half of it aside, of the watches and of the time, when others need it.
    pub fn reserve_half(&mut self, needed: bool) -> Reserve {
        let reserve = Reserve { watches: if needed { self.watches / 2 } else { 0 }, until: self.until };
        self.watches -= reserve.watches;
        if needed && let Some(until) = &mut self.until {
            *until -= until.saturating_duration_since(Instant::now()) / 2;
        }
        reserve
    }

    /// Adds what was set aside.
    pub fn release(&mut self, reserve: Reserve) {
        self.watches += reserve.watches;
        self.until = reserve.until;
    }
}

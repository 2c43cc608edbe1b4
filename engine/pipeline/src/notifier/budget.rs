//! The budget of a commit: how many watches it may still consider, and until when.

use std::time::{Duration, Instant};

use super::options::Options;

/// The rest of a commit's budget.
pub struct Budget {
    watches: usize,
    /// The deadline for considering watches.
    until: Option<Instant>,
}

/// The part of a budget that is kept for records while unfinished fan-outs continue.
pub struct Reserve {
    watches: usize,
    until: Option<Instant>,
}

impl Budget {
    /// The full budget; its time begins now.
    pub fn new(options: &Options) -> Budget {
        let until = Instant::now().checked_add(Duration::from_millis(options.commit_ms));
        Budget { watches: options.commit_watches, until }
    }

    /// How many watches are left.
    pub fn remaining(&self) -> usize {
        self.watches
    }

    /// Subtracts considered watches. Nothing is left once the deadline has passed.
    pub fn spend(&mut self, watches: usize) {
        let late = self.until.is_some_and(|until| Instant::now() >= until);
        self.watches = if late { 0 } else { self.watches.saturating_sub(watches) };
    }

    /// Reserves half of the watches and half of the remaining time, if `needed`.
    pub fn reserve_half(&mut self, needed: bool) -> Reserve {
        let reserve = Reserve { watches: if needed { self.watches / 2 } else { 0 }, until: self.until };
        self.watches -= reserve.watches;
        if needed && let Some(until) = &mut self.until {
            *until -= until.saturating_duration_since(Instant::now()) / 2;
        }
        reserve
    }

    /// Adds the reserve again.
    pub fn release(&mut self, reserve: Reserve) {
        self.watches += reserve.watches;
        self.until = reserve.until;
    }
}

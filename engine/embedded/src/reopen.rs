//! Decides when a failed store may be opened again.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Instant;

use pricedrop_model::backoff::Backoff;

use super::limits::{HEAL_BYTES, HEAL_FIRST_MS, HEAL_LAST_MS};

/// Writes `HEAL_BYTES` beside the store, to see whether there is room. Opening a store on a full
/// disk would only make it fail again.
pub(super) fn probe(folder: &Path) -> io::Result<()> {
    let path = folder.join("probe");
    let tried = File::create(&path).and_then(|mut file| {
        let block = vec![0xA5; 64 << 10];
        for _ in 0..HEAL_BYTES / block.len() {
            file.write_all(&block)?;
        }
        file.sync_all()
    });
    let removed = fs::remove_file(&path);
    tried.and(removed)
}

/// When the next attempt is due.
pub(super) struct Schedule {
    backoff: Backoff,
    due_at: Instant,
}

impl Schedule {
    /// Returns a schedule whose first attempt is due after the first pause.
    pub(super) fn new() -> Schedule {
        let mut backoff = Backoff::from_millis(HEAL_FIRST_MS, HEAL_LAST_MS);
        Schedule { due_at: Instant::now() + backoff.next_pause(), backoff }
    }

    /// Returns whether an attempt is due.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.due_at
    }

    /// Waits longer after a failed attempt.
    pub(super) fn postpone(&mut self) {
        self.due_at = Instant::now() + self.backoff.next_pause();
    }
}

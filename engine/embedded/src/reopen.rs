//! When a failed store may be opened again.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Instant;

use pricedrop_model::backoff::Backoff;

use super::limits::{HEAL_BYTES, HEAL_FIRST_MS, HEAL_LAST_MS};

/// Tries whether there is room beside the store: opening one on a full disk
/// would only make it fail again.
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

/// When it is tried next.
pub(super) struct Schedule {
    backoff: Backoff,
    due_at: Instant,
}

impl Schedule {
    /// Due after the first pause.
    pub(super) fn new() -> Schedule {
        let mut backoff = Backoff::from_millis(HEAL_FIRST_MS, HEAL_LAST_MS);
        Schedule { due_at: Instant::now() + backoff.next_pause(), backoff }
    }

    /// Whether it is time.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.due_at
    }

    /// It failed again: wait longer.
    pub(super) fn put_off(&mut self) {
        self.due_at = Instant::now() + self.backoff.next_pause();
    }
}

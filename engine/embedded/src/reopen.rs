//! When a failed store may be opened again.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

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

/// When to try next, ever later.
pub(super) struct Backoff {
    pause: Duration,
    next: Instant,
}

impl Backoff {
    /// Due after the first pause.
    pub(super) fn new() -> Backoff {
        let pause = Duration::from_millis(HEAL_FIRST_MS);
        Backoff { pause, next: Instant::now() + pause }
    }

    /// Whether it is time.
    pub(super) fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// It failed again: wait longer.
    pub(super) fn grow(&mut self) {
        self.pause = (self.pause * 2).min(Duration::from_millis(HEAL_LAST_MS));
        self.next = Instant::now() + self.pause;
    }
}

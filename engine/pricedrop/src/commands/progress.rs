//! Prints the progress of a command that reads many objects.

use std::io::Write;
use std::time::{Duration, Instant};

/// How often progress is printed.
const INTERVAL: Duration = Duration::from_secs(2);

/// How many of a known number of objects are done.
pub struct Progress {
    done_to: String,
    total: usize,
    done: usize,
    last_report: Instant,
}

impl Progress {
    /// Starts with no object done. `done_to` begins the line, such as `counted`.
    pub fn new(done_to: impl Into<String>, total: usize) -> Progress {
        Progress { done_to: done_to.into(), total, done: 0, last_report: Instant::now() }
    }

    /// Counts an object, and prints a line on standard error if the last one is some time ago.
    ///
    /// # Errors
    /// Standard error cannot be written.
    pub fn advance(&mut self) -> std::io::Result<()> {
        self.done += 1;
        if self.last_report.elapsed() < INTERVAL {
            return Ok(());
        }
        self.last_report = Instant::now();
        writeln!(anstream::stderr(), "{} {} of {} objects", self.done_to, self.done, self.total)
    }
}

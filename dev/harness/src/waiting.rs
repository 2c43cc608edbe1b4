//! Waits for a condition, with a deadline.

use std::time::{Duration, Instant};

/// The error of every function of this crate, as text for the person who runs the test.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Longest wait for anything.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// Calls `check` repeatedly until it returns something.
///
/// # Errors
/// It returned nothing for [`TIMEOUT`].
pub fn wait_for<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> Result<T, Error> {
    let begun = Instant::now();
    loop {
        if let Some(found) = check() {
            return Ok(found);
        }
        if begun.elapsed() > TIMEOUT {
            return Err(format!("waited {} s for {what}", TIMEOUT.as_secs()).into());
        }
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

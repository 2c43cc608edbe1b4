//! A clock that only moves when a test moves it.

use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use pricedrop_model::{Clock, WallTime};

/// A clock whose wall time a test sets.
#[derive(Debug)]
pub struct TestClock(AtomicI64);

impl TestClock {
    /// Creates a clock that shows this time, epoch milliseconds.
    pub fn at(ms: i64) -> TestClock {
        TestClock(AtomicI64::new(ms))
    }

    /// Moves the clock by `ms` milliseconds, which may be negative.
    pub fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> WallTime {
        WallTime(self.0.load(SeqCst))
    }
}

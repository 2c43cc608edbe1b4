//! A clock that stands until a test moves it.

use std::sync::atomic::{AtomicI64, Ordering::SeqCst};

use pricedrop_model::{Clock, WallTime};

/// Wall time as a test says.
#[derive(Debug)]
pub struct TestClock(AtomicI64);

impl TestClock {
    /// Standing at this time, epoch milliseconds.
    pub fn at(ms: i64) -> TestClock {
        TestClock(AtomicI64::new(ms))
    }

    /// Moves it, backwards too.
    pub fn advance(&self, ms: i64) {
        self.0.fetch_add(ms, SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> WallTime {
        WallTime(self.0.load(SeqCst))
    }
}

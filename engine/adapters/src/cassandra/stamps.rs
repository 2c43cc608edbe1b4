//! The times that writes carry: client timestamps that grow with every write,
//! and the wall time of views, which lies a margin back.
//!
//! A write stamped s is through before s + margin, or written anew with a later
//! stamp. So whoever opens a view at s + margin or later sees it, and it is
//! answered no sooner.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use pricedrop_model::{Clock, WallTime, WriteTime};

use super::limits::WRITE_MARGIN_MS;

/// The times of one write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) updated_at: WallTime,
    pub(super) write_time: WriteTime,
}

pub(super) struct Stamps {
    clock: Arc<dyn Clock>,
    /// Epoch microseconds.
    last: AtomicI64,
}

impl Stamps {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Stamps {
        Stamps { clock, last: AtomicI64::new(0) }
    }

    pub(super) fn now(&self) -> WallTime {
        self.clock.now()
    }

    /// A stamp behind all before it.
    pub(super) fn next(&self) -> Stamp {
        let now = self.clock.now().0.saturating_mul(1000);
        let before = self.last.fetch_update(Relaxed, Relaxed, |last| Some(now.max(last + 1)));
        let micros = now.max(before.unwrap_or_else(|last| last) + 1);
        Stamp { updated_at: WallTime(micros.div_euclid(1000)), write_time: WriteTime(micros) }
    }

    /// What a view opened now is as of.
    pub(super) fn view(&self) -> WallTime {
        WallTime(self.clock.now().0 - WRITE_MARGIN_MS)
    }

    /// Waits until every later view is as of this time or later.
    pub(super) async fn settle(&self, updated_at: WallTime) {
        loop {
            let left = updated_at.0 + WRITE_MARGIN_MS - self.clock.now().0;
            match u64::try_from(left) {
                Ok(left @ 1..) => tokio::time::sleep(Duration::from_millis(left)).await,
                _ => return,
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    struct Stopped;

    impl Clock for Stopped {
        fn now(&self) -> WallTime {
            WallTime(1_000)
        }
    }

    #[test]
    fn stamps_grow_while_the_clock_stands_still() {
        let stamps = Stamps::new(Arc::new(Stopped));
        let all: Vec<_> = (0..3).map(|_| stamps.next().write_time.0).collect();
        assert_eq!(all, [1_000_000, 1_000_001, 1_000_002]);
        assert_eq!(stamps.next().updated_at, WallTime(1_000));
        assert_eq!(stamps.view(), WallTime(1_000 - WRITE_MARGIN_MS));
    }
}

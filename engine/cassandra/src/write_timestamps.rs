//! Times of writes and views: client timestamps that grow with every write, and the wall time of
//! views, which is a margin before the clock.
//!
//! A write with timestamp s finishes within `IN_TIME_MS`, or is repeated with a later timestamp.
//! It is acknowledged at s + margin at the earliest. The margin is `IN_TIME_MS` plus the allowed
//! difference between clocks. So every view that is opened at s + margin or later sees the write.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use pricedrop_model::{Clock, WallTime, WriteTime};

use super::limits::WRITE_MARGIN_MS;

/// The times of one write: milliseconds in `updated_at`, microseconds in `write_time`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) updated_at: WallTime,
    pub(super) write_time: WriteTime,
}

impl Stamp {
    /// Returns the stamp with `updated_at` moved this many milliseconds into the future.
    pub(super) fn with_rows_ahead(self, ahead_ms: u64) -> Stamp {
        Stamp { updated_at: WallTime(self.updated_at.0.saturating_add_unsigned(ahead_ms)), ..self }
    }
}

pub(super) struct WriteTimestamps {
    clock: Arc<dyn Clock>,
    /// The last stamp given out, in microseconds since the epoch.
    last: AtomicI64,
}

impl WriteTimestamps {
    pub(super) fn new(clock: Arc<dyn Clock>) -> WriteTimestamps {
        WriteTimestamps { clock, last: AtomicI64::new(0) }
    }

    pub(super) fn now(&self) -> WallTime {
        self.clock.now()
    }

    /// Returns a stamp later than all earlier ones of this process.
    pub(super) fn next(&self) -> Stamp {
        self.from(self.clock.now())
    }

    /// Returns a stamp later than every write that any engine with the same clock has finished by
    /// now. The clock counts milliseconds, so the next millisecond is taken. Of two writers of
    /// one watch the later stamp wins; at the same stamp, a deletion wins over a write.
    pub(super) fn next_of_all(&self) -> Stamp {
        self.from(WallTime(self.clock.now().0 + 1))
    }

    fn from(&self, now: WallTime) -> Stamp {
        let now = now.0.saturating_mul(1000);
        let before = self.last.fetch_update(Relaxed, Relaxed, |last| Some(now.max(last + 1)));
        let micros = now.max(before.unwrap_or_else(|last| last) + 1);
        Stamp { updated_at: WallTime(micros.div_euclid(1000)), write_time: WriteTime(micros) }
    }

    /// Returns the wall time of a view that is opened now.
    pub(super) fn view(&self) -> WallTime {
        WallTime(self.clock.now().0 - WRITE_MARGIN_MS)
    }

    /// Waits until every view opened later has this wall time or a later one.
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
    fn timestamps_grow_although_the_clock_does_not() {
        let write_timestamps = WriteTimestamps::new(Arc::new(Stopped));
        let all: Vec<_> = (0..3).map(|_| write_timestamps.next().write_time.0).collect();
        assert_eq!(all, [1_000_000, 1_000_001, 1_000_002]);
        assert_eq!(write_timestamps.next().updated_at, WallTime(1_000));
        assert_eq!(write_timestamps.view(), WallTime(1_000 - WRITE_MARGIN_MS));
    }

    #[test]
    fn a_timestamp_of_all_engines_is_later_than_any_write_of_that_millisecond() {
        let (others, ours) =
            (WriteTimestamps::new(Arc::new(Stopped)), WriteTimestamps::new(Arc::new(Stopped)));
        others.next();
        assert!(ours.next().write_time < others.next().write_time, "else nothing is shown");
        assert!(ours.next_of_all().write_time > others.next().write_time);
    }
}

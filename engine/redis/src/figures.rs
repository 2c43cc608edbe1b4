//! What can be counted of Redis.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! figures {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// What was counted since the start.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        pub struct Figures {
            $($(#[$doc])* pub $name: u64,)+
        }

        #[derive(Default)]
        pub(super) struct Counters {
            $(pub(super) $name: AtomicU64,)+
        }

        impl Counters {
            pub(super) fn read(&self) -> Figures {
                Figures { $($name: self.$name.load(Ordering::Relaxed),)+ }
            }
        }

        impl Figures {
            /// Every figure by name.
            pub fn all(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)+].into_iter()
            }
        }
    };
}

figures! {
    /// Calls that were answered.
    answered,
    /// Calls that failed: the server was away, or refused them.
    failed,
    /// Calls that were given up because no answer came in time.
    timed_out,
    /// Calls that did not wait, because those before them had failed.
    not_tried,
    /// Connections made.
    connected,
    /// Shelves found in the cache.
    hits,
    /// Shelves not in the cache, that the asker was to fill.
    misses,
    /// Shelves that were passed over: being written, being filled by somebody
    /// else, or the cache was away.
    passes,
    /// Shelves stored.
    fills,
    /// Shelves not stored: written meanwhile, too late, too large, or the cache
    /// was away.
    fills_refused,
    /// Writes of watches that the cache could not be told of, or whose marks
    /// it lost.
    marks_lost,
}

pub(super) fn count(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

//! How the notifier works.

use pricedrop_model::Rules;

/// How the notifier works; the defaults are its limits.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who is told.
    pub rules: Rules,
    /// Most records a commit takes.
    pub batch_records: usize,
    /// Most watches a commit considers; a fan-out beyond is cut into chunks.
    pub commit_watches: usize,
    /// Longest time a commit considers watches, milliseconds; then it is cut as
    /// if it were too large.
    pub commit_ms: u64,
    /// Most watches a page of a scan holds.
    pub page_rows: usize,
    /// Longest wait for records, milliseconds; timers are looked at that often.
    pub idle_wait_ms: u64,
    /// First and longest pause after a failure, milliseconds.
    pub pause_ms: (u64, u64),
    /// One in so many bucketed drops is compared with the plain range; 0: none.
    pub audit_sample_rate: u64,
    /// Most updates a second that a failing throttle lets pass.
    pub fail_open_per_second: u32,
    /// Whether records should have their product as the key: one that has not may
    /// lie in another partition than its product's others.
    pub keyed: bool,
    /// Whether the next batch is decided while one commits. Not for an input
    /// whose next record depends on what became of the last.
    pub look_ahead: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            rules: Rules::default(),
            batch_records: 1_000,
            commit_watches: 100_000,
            commit_ms: 250,
            page_rows: 5_000,
            idle_wait_ms: 500,
            pause_ms: (10, 5_000),
            audit_sample_rate: 1_000,
            fail_open_per_second: 1_000,
            keyed: false,
            look_ahead: true,
        }
    }
}

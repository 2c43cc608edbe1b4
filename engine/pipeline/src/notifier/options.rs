//! Options of the notifier, with their defaults.

use pricedrop_model::Rules;

/// Options and limits of the notifier.
#[derive(Debug, Clone)]
pub struct Options {
    /// The rules that decide which users are notified.
    pub rules: Rules,
    /// Maximum number of records a commit takes.
    pub batch_records: usize,
    /// Maximum number of watches a commit considers; a larger fan-out is split into chunks.
    pub commit_watches: usize,
    /// Longest time a commit considers watches, milliseconds; then fan-outs are split as well.
    pub commit_ms: u64,
    /// Maximum number of watches of one page of a scan.
    pub page_rows: usize,
    /// Longest wait for records, milliseconds; the next timer of a held update ends it earlier.
    pub idle_wait_ms: u64,
    /// First and longest pause after a failure, milliseconds.
    pub pause_ms: (u64, u64),
    /// One in this many drops read by bucket is compared with the plain range; 0: none.
    pub audit_sample_rate: u64,
    /// Maximum number of updates per second that pass if the throttle fails, for each notifier.
    pub fail_open_per_second: u32,
    /// Whether the record key should be the product id. Records with other keys are counted, because
    /// they may be in another partition than other records of their product.
    pub keyed: bool,
    /// Whether the next batch is decided while one commits. Must be false if the input's next record
    /// depends on the outcome of the last one.
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

//! The bucket bounds of duration histograms, shared by all crates.

/// Bounds in seconds for microseconds to seconds: a call of a plugin.
pub const SHORT_SECONDS: [f64; 14] =
    [0.000_01, 0.000_025, 0.000_1, 0.000_25, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5];

/// Bounds in seconds for milliseconds to minutes: a commit, a request, an acquisition of
/// partitions.
pub const LONG_SECONDS: [f64; 16] =
    [0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

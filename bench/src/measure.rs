//! Measures times and prints figures.

use std::time::{Duration, Instant};

/// The number of runs over which a median is taken.
pub const RUNS: usize = 5;

/// Returns the median time of `RUNS` runs.
pub fn median(mut run: impl FnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed()
        })
        .collect();
    times.sort();
    times[RUNS / 2]
}

/// Returns `count` divided by `time`, per second.
pub fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// Prints one line of the report.
pub fn report(what: &str, figure: String, ratio: Option<f64>) {
    let ratio = ratio.map(|ratio| format!("{ratio:>8.2} x")).unwrap_or_default();
    println!("  {what:<58} {figure:>18} {ratio}");
}

/// The times of one contender, one a round.
#[derive(Default, Clone)]
pub struct Times(pub Vec<Duration>);

impl Times {
    /// Returns the median.
    pub fn median(&self) -> Duration {
        let mut times = self.0.clone();
        times.sort();
        times[times.len() / 2]
    }

    /// Returns half the difference between the slowest and the fastest, relative to the median.
    pub fn spread(&self) -> f64 {
        let seconds = || self.0.iter().map(Duration::as_secs_f64);
        let (least, most) = (seconds().fold(f64::MAX, f64::min), seconds().fold(0.0, f64::max));
        (most - least) / 2.0 / self.median().as_secs_f64()
    }
}

/// Returns the median, over the rounds, of the speed of `of` relative to that of `to`.
pub fn ratio(of: &Times, to: &Times) -> f64 {
    let mut ratios: Vec<f64> =
        of.0.iter().zip(&to.0).map(|(of, to)| to.as_secs_f64() / of.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

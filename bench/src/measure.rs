//! How figures are taken and printed.

use std::time::{Duration, Instant};

/// How many runs the median is taken of.
pub const RUNS: usize = 5;

/// The median time of `RUNS` runs.
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

/// So many a second.
pub fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

/// One line of the report.
pub fn report(what: &str, figure: String, ratio: Option<f64>) {
    let ratio = ratio.map(|ratio| format!("{ratio:>8.2} x")).unwrap_or_default();
    println!("  {what:<58} {figure:>18} {ratio}");
}

/// Times of one contender.
#[derive(Default, Clone)]
pub struct Times(pub Vec<Duration>);

impl Times {
    /// The one in the middle.
    pub fn median(&self) -> Duration {
        let mut times = self.0.clone();
        times.sort();
        times[times.len() / 2]
    }

    /// Half of what lies between the fastest and the slowest, of the median.
    pub fn spread(&self) -> f64 {
        let seconds = || self.0.iter().map(Duration::as_secs_f64);
        let (least, most) = (seconds().fold(f64::MAX, f64::min), seconds().fold(0.0, f64::max));
        (most - least) / 2.0 / self.median().as_secs_f64()
    }
}

/// The median over the rounds of what one time is to another in the same round.
pub fn ratio(of: &Times, to: &Times) -> f64 {
    let mut ratios: Vec<f64> =
        of.0.iter().zip(&to.0).map(|(of, to)| to.as_secs_f64() / of.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    ratios[ratios.len() / 2]
}

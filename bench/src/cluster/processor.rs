//! Measures the CPU time of a benchmark run: of this process by kind of thread, and of each server.

use std::collections::BTreeMap;
use std::path::Path;

use super::world::World;

/// The unit of processor time in /proc.
const TICKS_A_SECOND: f64 = 100.0;

/// Clock ticks by name, at one moment.
#[derive(Default, Clone)]
pub struct Processor(BTreeMap<String, u64>);

impl Processor {
    /// Returns the ticks used so far.
    pub fn now(world: &World) -> Processor {
        let mut ticks = Processor::default();
        for (name, server) in &world.servers {
            let pid = std::fs::read_to_string(server.folder().join("pid")).unwrap_or_default();
            let pid = pid.split_whitespace().next().unwrap_or_default().to_owned();
            ticks.add(name, Path::new("/proc").join(pid).join("stat").as_path());
        }
        for task in std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
            let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            ticks.add(kind(name.trim()), &task.path().join("stat"));
        }
        ticks
    }

    fn add(&mut self, name: &str, stat: &Path) {
        if let Some(ticks) = ticks(stat) {
            *self.0.entry(name.to_owned()).or_default() += ticks;
        }
    }

    /// Adds the ticks used between two moments.
    pub fn add_between(&mut self, before: &Processor, after: &Processor) {
        for (name, ticks) in &after.0 {
            let passed = ticks.saturating_sub(before.0.get(name).copied().unwrap_or_default());
            *self.0.entry(name.clone()).or_default() += passed;
        }
    }

    /// Formats the seconds per round of the largest users.
    pub fn each(&self, rounds: usize) -> String {
        let mut parts: Vec<(&String, f64)> = self
            .0
            .iter()
            .map(|(name, ticks)| (name, *ticks as f64 / TICKS_A_SECOND / rounds as f64))
            .filter(|(_, seconds)| *seconds >= 0.02)
            .collect();
        parts.sort_by(|one, other| other.1.total_cmp(&one.1));
        let parts: Vec<String> =
            parts.into_iter().map(|(name, seconds)| format!("{name} {seconds:.2}")).collect();
        parts.join(", ")
    }
}

/// Returns the processor time of this process, in seconds.
pub fn own_seconds() -> f64 {
    ticks(Path::new("/proc/self/stat")).unwrap() as f64 / TICKS_A_SECOND
}

/// Reads the processor ticks from a `stat` file of /proc. `None` means its process ended.
fn ticks(stat: &Path) -> Option<u64> {
    let stat = std::fs::read_to_string(stat).ok()?;
    // The fields after the name in parentheses; utime and stime are the 14th and 15th field.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(11);
    Some(fields.take(2).filter_map(|field| field.parse::<u64>().ok()).sum())
}

/// Returns the group of threads that a thread belongs to, by its name.
fn kind(thread: &str) -> &str {
    match thread {
        _ if thread.starts_with("rdk:") => "librdkafka",
        _ if thread.starts_with("tokio") => "tokio",
        _ if thread.starts_with("pricedrop-bench") => "bare",
        _ => thread,
    }
}

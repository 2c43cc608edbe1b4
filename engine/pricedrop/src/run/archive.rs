//! The archiver's threads, one for each topic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use pricedrop_archive::{Archiver, Bucket, Counters, Error, Limits};
use pricedrop_http::{Figure, Measure, MeasureKind};
use pricedrop_model::archive::ArchiveSource;
use pricedrop_model::time::SystemClock;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::config::Config;
use crate::remedies;
use crate::report::Stopped;

/// A bucket that can be used, as far as is known.
pub struct Ready {
    bucket: Bucket,
    group: String,
    limits: Limits,
}

/// Opens the configured bucket. One that is away is waited for later; one that cannot be
/// used is refused now.
///
/// # Errors
/// The configuration is wrong, or the bucket does not exist, is in another region or
/// another group's, or its server does not support conditional writes.
pub async fn open(config: &Config, group: String) -> Result<Ready, Stopped> {
    let archive = config.archive_options()?;
    let wrong = |error: Error| {
        let remedy = remedies::of_archive(&error);
        Stopped::usage(error, remedy)
    };
    let bucket = Bucket::open(&archive.options, archive.client).map_err(wrong)?;
    match bucket.claim(&group).await {
        Err(error) if error.is_transient() => {
            tracing::warn!("archiving begins when the bucket can be used: {error}");
        }
        claimed => claimed.map_err(wrong)?,
    }
    Ok(Ready { bucket, group, limits: archive.limits })
}

/// The running archiver; none of it where nothing is archived.
#[derive(Default)]
pub struct Archive {
    threads: Vec<JoinHandle<()>>,
    stop: Option<watch::Sender<bool>>,
    counters: Arc<Counters>,
}

impl Archive {
    /// Starts to archive these topics.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(ready: Option<Ready>, sources: Vec<Box<dyn ArchiveSource>>) -> Result<Archive, Stopped> {
        let Some(Ready { bucket, group, limits }) = ready else { return Ok(Archive::default()) };
        let (stop, stopping) = watch::channel(false);
        let counters = Arc::new(Counters::default());
        let runtime = Handle::current();
        let mut threads = Vec::new();
        for source in sources {
            let archiver = Archiver {
                source,
                bucket: bucket.clone(),
                group: group.clone(),
                limits,
                clock: Arc::new(SystemClock),
                counters: Arc::clone(&counters),
                stop: stopping.clone(),
            };
            let (runtime, counters) = (runtime.clone(), Arc::clone(&counters));
            let topic = archiver.source.topic().to_owned();
            let thread = std::thread::Builder::new().name("archiver".into());
            threads.push(thread.spawn(move || {
                let run = AssertUnwindSafe(|| archiver.run(&runtime));
                if catch_unwind(run).is_err() {
                    counters.ended(&topic);
                }
            })?);
        }
        Ok(Archive { threads, stop: Some(stop), counters })
    }

    /// What it counts.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Ends; what was read and not written is read again at the next start.
    pub async fn stop(self) {
        if let Some(stop) = self.stop {
            stop.send_replace(true);
        }
        let joined = tokio::task::spawn_blocking(move || {
            for thread in self.threads {
                let _ = thread.join();
            }
        });
        let _ = joined.await;
    }
}

/// What `/metrics` shows of the archive.
pub fn measures(counters: &Counters) -> Vec<Measure> {
    let snapshots = counters.snapshots();
    if snapshots.is_empty() {
        return Vec::new();
    }
    let by_partition = |name, help, kind, pick: fn(&pricedrop_archive::Snapshot) -> u64| Measure {
        name,
        help,
        kind,
        samples: snapshots
            .iter()
            .map(|one| {
                let labels = vec![("topic", one.topic.clone()), ("partition", one.partition.0.to_string())];
                (labels, Figure::from(pick(one) as f64))
            })
            .collect(),
    };
    use MeasureKind::{Counter, Gauge};
    vec![
        by_partition("archive_offset", "Records before it are in the archive", Gauge, |one| {
            u64::try_from(one.next).unwrap_or(0)
        }),
        by_partition("archive_lag", "Offsets that are not in the archive yet", Gauge, |one| {
            u64::try_from(one.lag).unwrap_or(0)
        }),
        by_partition("archive_objects", "Objects added to the archive", Counter, |one| one.objects),
        by_partition("archive_records", "Records added to the archive", Counter, |one| one.records),
        by_partition("archive_bytes", "Compressed bytes added to the archive", Counter, |one| one.bytes),
        by_partition("archive_conflicts", "Objects that another archiver added first", Counter, |one| {
            one.conflicts
        }),
        by_partition("archive_failures", "Attempts to archive that failed", Counter, |one| one.failures),
    ]
}

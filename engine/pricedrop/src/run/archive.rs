//! Runs the archiver: one thread for each archived topic.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use pricedrop_archive::{Archiver, Bucket, Error, Limits, Metrics};
use pricedrop_model::archive::ArchiveSource;
use pricedrop_model::time::SystemClock;
use tokio::runtime::Handle;
use tokio::sync::watch;

use crate::config::Config;
use crate::remedies;
use crate::report::CliError;

/// An opened bucket, as far as it could be checked.
pub struct Ready {
    bucket: Bucket,
    group: String,
    limits: Limits,
}

/// Opens the configured bucket. If its server is unavailable, the archiver waits for it later;
/// a bucket that cannot be used is refused now.
///
/// # Errors
/// The configuration is wrong, or the bucket does not exist, is in another region, belongs to
/// another group, or its server does not support conditional writes.
pub async fn open(config: &Config, group: String) -> Result<Ready, CliError> {
    let archive = config.archive_options()?;
    let wrong = |error: Error| {
        let remedy = remedies::archive_remedy(&error);
        CliError::usage(error, remedy)
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

/// The running archiver; empty if nothing is archived.
#[derive(Default)]
pub struct Archive {
    threads: Vec<JoinHandle<()>>,
    stop: Option<watch::Sender<bool>>,
    metrics: Arc<Metrics>,
}

impl Archive {
    /// Starts a thread for each source.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(ready: Option<Ready>, sources: Vec<Box<dyn ArchiveSource>>) -> Result<Archive, CliError> {
        let Some(Ready { bucket, group, limits }) = ready else { return Ok(Archive::default()) };
        let (stop, stopping) = watch::channel(false);
        let metrics = Arc::new(Metrics::default());
        let runtime = Handle::current();
        let mut threads = Vec::new();
        for source in sources {
            let archiver = Archiver {
                source,
                bucket: bucket.clone(),
                group: group.clone(),
                limits,
                clock: Arc::new(SystemClock),
                metrics: Arc::clone(&metrics),
                stop: stopping.clone(),
            };
            let (runtime, metrics) = (runtime.clone(), Arc::clone(&metrics));
            let topic = archiver.source.topic().to_owned();
            let thread = std::thread::Builder::new().name("archiver".into());
            threads.push(thread.spawn(move || {
                let run = AssertUnwindSafe(|| archiver.run(&runtime));
                if catch_unwind(run).is_err() {
                    metrics.ended(&topic);
                }
            })?);
        }
        Ok(Archive { threads, stop: Some(stop), metrics })
    }

    /// Returns the archiver's metrics.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Stops the threads. Records that were read and not written are read again at the next start.
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

//! The embedded store alone, on the local disk.

use std::sync::Arc;

use async_trait::async_trait;
use pricedrop_embedded::{ArchivedTopic, Embedded, EmbeddedPolicies, PostError, PostedRecord};
use pricedrop_http::{IntakeError, Measure, NewRecord, Outbox, Posted, PriceIntake, Reason, Severity};
use pricedrop_model::archive::ArchiveSource;
use pricedrop_model::plugin::{Bucketing, Plugins, PolicyIdentity};
use pricedrop_model::seams::{Error, PolicyRegistry};
use pricedrop_model::{Partition, ProductId};
use serde_json::Value;
use tokio::sync::watch;

use super::{Asked, Dispatch, Health, Opened, Policies, Shown, Stores, Told as Progressed, Worker, step};
use crate::config::Config;
use crate::report::Stopped;

/// The name under which the dispatcher's place in the outbox is kept.
const DISPATCHER: &str = "dispatcher";

/// Opens it.
///
/// # Errors
/// Somebody else has it, or the disk is not well.
pub fn open(config: &Config, asked: Asked) -> Result<Box<dyn Opened>, Stopped> {
    Ok(Box::new(OnDisk { store: build(config)?, asked, archived: config.archived() }))
}

/// The store, alone or beside servers.
///
/// # Errors
/// Somebody else has it, or the disk is not well.
pub fn build(config: &Config) -> Result<Embedded, Stopped> {
    config.embedded_options().build().map_err(|error| {
        let remedy = match &error {
            pricedrop_embedded::Error::InUse(_) => {
                "stop the engine that runs there, or name another data.folder"
            }
            pricedrop_embedded::Error::Folder { .. } => {
                "make the folder writable, or name another data.folder"
            }
            pricedrop_embedded::Error::Store { .. } => {
                "free the disk or restore the folder; nothing was changed"
            }
        };
        Stopped::failed(&error, remedy)
    })
}

/// Whose archive an embedded store writes.
pub fn archive_owner(store: &Embedded) -> String {
    format!("embedded store {}", store.id())
}

/// Its policies.
pub fn policies(store: &Embedded) -> Arc<dyn Policies> {
    Arc::new(Kept(store.policies()))
}

struct OnDisk {
    store: Embedded,
    asked: Asked,
    archived: Vec<ArchivedTopic>,
}

#[async_trait]
impl Opened for OnDisk {
    fn policies(&self) -> Arc<dyn Policies> {
        policies(&self.store)
    }

    fn archive_owner(&self) -> String {
        archive_owner(&self.store)
    }

    async fn put_together(self: Box<Self>, plugins: Arc<dyn Plugins>) -> Result<Stores, Stopped> {
        let OnDisk { store, asked, archived } = *self;
        store.set_plugins(plugins);
        let (intake, source) = store.source().map_err(|error| Stopped::failed(error, super::SEE_STORE))?;
        let worker = Worker { source: Box::new(source), committer: Box::new(store.committer()) };
        // It ends when its input does: what was posted is answered first.
        let (keep, go_on) = watch::channel(false);
        let closed = intake.clone();
        let read = |topic| -> Box<dyn ArchiveSource> { Box::new(store.archive_source(topic)) };
        let archive = archived.into_iter().map(read).collect();
        Ok(Stores {
            workers: vec![worker],
            watches: Arc::new(store.watches()),
            stop_workers: go_on,
            end_input: Box::new(move || {
                closed.close();
                drop(keep);
            }),
            archive,
            dispatch: asked.dispatcher.then(|| Dispatch { log: Box::new(store.notifications(DISPATCHER)) }),
            shown: Shown {
                intake: Arc::new(Intake(intake.clone())),
                watches: Arc::new(store.watches()),
                recipients: Arc::new(store.recipients()),
                leases: Arc::new(store.leases()),
                retries: Arc::new(store.retries()),
                dead_letters: Arc::new(store.dead_letters()),
                prices: Arc::new(store.prices()),
                outbox: Arc::new(Told(store.clone())),
            },
            health: Arc::new(Disk { store, intake }),
        })
    }
}

/// The input.
struct Intake(pricedrop_embedded::PriceIntake);

#[async_trait]
impl PriceIntake for Intake {
    async fn post(&self, records: Vec<NewRecord>, offset: Option<i64>) -> Result<Vec<Posted>, IntakeError> {
        let records = records.into_iter().map(|NewRecord { key, value }| PostedRecord { key, value });
        let posted = self.0.post(records.collect(), offset).await.map_err(in_words)?;
        let posted = posted.into_iter().map(|(position, posted)| match posted {
            pricedrop_embedded::Posted::Now(outcome) => Posted::Decided { offset: position.offset, outcome },
            pricedrop_embedded::Posted::Already => Posted::Already { offset: position.offset },
        });
        Ok(posted.collect())
    }
}

fn in_words(error: PostError) -> IntakeError {
    let text = error.to_string();
    match error {
        PostError::Gap { expected } => IntakeError::Gap { next: expected },
        PostError::Busy | PostError::Unavailable(_) | PostError::Closed => IntakeError::NotTaken(text),
        PostError::Unknown { .. } => IntakeError::Unknown(text),
    }
}

/// What was told.
struct Told(Embedded);

#[async_trait]
impl Outbox for Told {
    async fn partitions(&self) -> Result<usize, Error> {
        Ok(1)
    }

    async fn read(&self, _: Partition, from: i64, most: usize) -> Result<(Vec<u8>, i64), Error> {
        let mut lines = Vec::new();
        let next = self.0.render_outbox(from, most, &mut lines)?;
        Ok((lines, next))
    }
}

/// What the store says of itself.
struct Disk {
    store: Embedded,
    intake: pricedrop_embedded::PriceIntake,
}

#[async_trait]
impl Health for Disk {
    fn reasons(&self) -> Vec<Reason> {
        let down = self.store.down().into_iter();
        down.map(|reason| Reason { part: "store".into(), severity: Severity::Error, reason }).collect()
    }

    async fn measures(&self) -> Vec<Measure> {
        let log_at = self.intake.log_at() as f64;
        let waiting = self.intake.waiting() as f64;
        let mut all = vec![
            Measure::gauge("input_offset", "Records below it are committed", log_at),
            Measure::gauge("intake_waiting", "Records waiting for the notifier", waiting),
        ];
        // A store that is away shows in /readyz.
        let disk = self.store.disk_bytes().ok();
        all.extend(disk.map(|bytes| Measure::gauge("disk_bytes", "The store on disk", bytes as f64)));
        all
    }
}

/// The policies of the store.
struct Kept(EmbeddedPolicies);

#[async_trait]
impl PolicyRegistry for Kept {
    async fn active(&self) -> Result<Option<PolicyIdentity>, Error> {
        self.0.active().await
    }

    async fn activate(&self, policy: &PolicyIdentity) -> Result<(), Error> {
        self.0.activate(policy).await
    }
}

#[async_trait]
impl Policies for Kept {
    async fn status(&self) -> Result<Value, Error> {
        Ok(Value::Null)
    }

    async fn migrate(&self, policy: Arc<dyn Bucketing>, told: Progressed<'_>) -> Result<(), Error> {
        self.0.migrate(policy, |progress| told(step(progress))).await
    }

    fn repairs(&self) -> bool {
        false
    }

    async fn repair(&self, _: Option<ProductId>, _: Progressed<'_>) -> Result<Value, Error> {
        Ok(Value::Null)
    }
}

//! Connects the plugin host with the stores: the active bucketing policy is recorded in the
//! store, and a migration moves the buckets to another policy.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pricedrop_host::{AccessCheck, Error as HostError, Host, Watching};
use pricedrop_model::engine::{Buckets, BucketsError, Migrated};
use pricedrop_model::health::{Reason, Severity};
use pricedrop_model::migration::{PolicyMigration, Repaired};
use pricedrop_model::plugin::{Plugins, PolicyIdentity, State, Status};
use pricedrop_model::ports::Error;
use pricedrop_model::sync::lock;
use pricedrop_model::{Cause, ProductId};
use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;

use super::threads;
use crate::config::Config;
use crate::report::CliError;

/// How often the active policy of the host is compared with that of the store.
const SYNC_INTERVAL: Duration = Duration::from_millis(500);

/// The plugin host of a running engine. Clones share it.
#[derive(Clone)]
pub struct Loaded {
    host: Host,
    watching: Arc<Mutex<Option<Watching>>>,
    sync: Arc<JoinHandle<()>>,
    /// Set while buckets are migrated; describes the progress.
    migration: Arc<Mutex<Option<String>>>,
}

/// Loads the plugin folder and starts to watch it for changes.
///
/// # Errors
/// The plugins do not match the configuration, or the store is unavailable.
pub async fn load(config: &Config, policies: Arc<dyn PolicyMigration>) -> Result<Loaded, CliError> {
    let stored = policies.active().await;
    let active = stored
        .map_err(|error| CliError::failed(error, "start the engine again when the store is available"))?;
    let mut options = config.host_options();
    options.active_policy = active;
    options.access_check = Some(access_check(config));
    let host = tokio::task::spawn_blocking(move || options.build()).await;
    let host = host.map_err(|error| CliError::failed(error, ""))?.map_err(refused)?;
    let watching = host.watch().map_err(refused)?;
    let mut sync = PolicySync::default();
    sync.run_once(&host, &*policies).await;
    let sync = tokio::spawn(sync_periodically(sync, host.clone(), policies));
    Ok(Loaded {
        host,
        watching: Arc::new(Mutex::new(Some(watching))),
        sync: Arc::new(sync),
        migration: Arc::default(),
    })
}

/// Returns the check of sidecars by the component that sends.
pub fn access_check(config: &Config) -> AccessCheck {
    let options = config.outbound_options();
    AccessCheck::new(move |access| pricedrop_outbound::check(access, &options))
}

/// Reports why the host cannot start. The operator has to correct it.
pub fn refused(error: HostError) -> CliError {
    let remedy = match &error {
        HostError::Refused(_) => "`pricedrop plugin check FILE` shows the same problems without an engine",
        HostError::TwoCandidates { .. } => "name one of them under [plugins]",
        HostError::NamedMissing { .. } => "correct the name under [plugins], or add the file to the folder",
        HostError::DataDir { .. } => "make the folder private and writable, or name another data.folder",
        HostError::Engine(_) => "",
    };
    CliError::usage(&error, remedy)
}

/// Keeps the active policy of the host and that of the store equal.
#[derive(Default)]
struct PolicySync {
    /// The last error that was logged, so that each is logged once.
    logged_error: String,
}

impl PolicySync {
    /// Records the active policy in the store if the store has another one. If another engine
    /// has migrated to the policy that is staged here, makes that policy active here.
    async fn run_once(&mut self, host: &Host, policies: &dyn PolicyMigration) {
        let Some(policy) = host.active_policy() else { return };
        let told = match policies.active().await {
            Ok(active) if active.as_ref() == Some(&policy) => Ok(()),
            Ok(active) => match active.filter(|active| has_migrated_to(host, active)) {
                Some(active) => {
                    tracing::info!(
                        policy = active.name,
                        "another engine migrated the buckets to this policy"
                    );
                    host.set_active_policy(active);
                    Ok(())
                }
                None => policies.activate(&policy).await,
            },
            Err(error) => Err(error),
        };
        let logged_error = told.err().map(|error| error.to_string()).unwrap_or_default();
        if !logged_error.is_empty() && logged_error != self.logged_error {
            tracing::warn!(policy = policy.name, "the active policy could not be stored yet: {logged_error}");
        }
        self.logged_error = logged_error;
    }
}

/// Returns whether the policy staged here is the one that another engine has migrated to.
fn has_migrated_to(host: &Host, active: &PolicyIdentity) -> bool {
    host.staged_policy().is_some_and(|staged| staged.identity().fingerprint == active.fingerprint)
}

async fn sync_periodically(mut sync: PolicySync, host: Host, policies: Arc<dyn PolicyMigration>) {
    let mut turns = tokio::time::interval(SYNC_INTERVAL);
    loop {
        turns.tick().await;
        sync.run_once(&host, &*policies).await;
    }
}

impl Loaded {
    /// Returns the host as the port through which the pipeline calls plugins.
    pub fn plugins(&self) -> Arc<dyn Plugins> {
        Arc::new(self.host.clone())
    }

    /// Lists the serving plugins, for the banner.
    pub fn summary(&self) -> String {
        let status = self.host.status();
        let serving: Vec<&str> = status
            .plugins
            .iter()
            .filter(|plugin| plugin.state == State::Active)
            .map(|plugin| plugin.name.as_str())
            .collect();
        if serving.is_empty() { "none".into() } else { serving.join(", ") }
    }

    /// Returns warnings for `/readyz`: what an operator should look at.
    pub fn warnings(&self) -> Vec<Reason> {
        let warnings = self.host.status().warnings.into_iter();
        let reason = |reason| Reason { part: "plugins".into(), severity: Severity::Warning, reason };
        warnings.map(reason).collect()
    }

    /// Returns addresses in the canonical form of their channel. If the channel does not exist yet, or
    /// its plugin fails, they are returned unchanged; they are then checked when a delivery is sent.
    pub async fn normalize(&self, channel: &str, addresses: Vec<String>) -> Vec<Result<String, String>> {
        let Some(plugin) = self.host.channel(channel) else {
            return addresses.into_iter().map(Ok).collect();
        };
        let kept = addresses.clone();
        let normalized = tokio::task::spawn_blocking(move || plugin.normalize(&addresses)).await;
        let normalized = normalized.unwrap_or_default().into_iter().map(Some).chain(std::iter::repeat(None));
        let one = |(address, answer): (String, Option<Result<_, _>>)| match answer {
            Some(Ok(canonical)) => canonical,
            _ => Ok(address),
        };
        kept.into_iter().zip(normalized).map(one).collect()
    }

    /// Returns the status of every plugin.
    pub fn status(&self) -> Status {
        self.host.status()
    }

    /// Registers the metrics of the host.
    pub fn register_metrics(&self, registry: &mut Registry) {
        self.host.register_metrics(registry);
    }

    /// Returns the active policy, the staged one, and the progress of a running migration.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn buckets(&self, policies: &dyn PolicyMigration) -> Result<Buckets, Error> {
        let migration = self.migration().clone();
        Ok(Buckets {
            active: policies.active().await?.map(|policy| policy.name),
            staged: self.host.staged_policy().map(|policy| policy.identity().name.clone()),
            migration,
            indexes: policies.status().await?,
        })
    }

    /// Migrates the buckets to the staged policy. The migration continues if the
    /// caller stops waiting for it.
    ///
    /// # Errors
    /// No policy is staged, a migration is running, or it failed.
    pub async fn migrate(&self, policies: Arc<dyn PolicyMigration>) -> Result<Migrated, BucketsError> {
        let same = match policies.shards_differ().await? {
            true => self.host.bucketing(),
            false => None,
        };
        let Some(policy) = self.host.staged_policy().or(same) else {
            return Err(BucketsError::Refused(
                "no policy is staged: add one with another mapping to the plugin folder first".into(),
            ));
        };
        let name = policy.identity().name.clone();
        let told = self.clone();
        self.run_exclusively("bucket-migration", async move {
            let identity = policy.identity().clone();
            policies.migrate(policy, &|progress| *told.migration() = Some(progress.to_string())).await?;
            told.host.set_active_policy(identity);
            Ok(())
        })
        .await?;
        Ok(Migrated { active: name })
    }

    /// Rebuilds and compares the buckets of a product, or of all large products. It continues
    /// if the caller stops waiting for it.
    ///
    /// # Errors
    /// There is nothing to repair, a migration is running, or it failed.
    pub async fn repair(
        &self,
        policies: Arc<dyn PolicyMigration>,
        product: Option<ProductId>,
    ) -> Result<Repaired, BucketsError> {
        let told = self.clone();
        let repaired = self.run_exclusively("bucket-repair", async move {
            policies.repair(product, &|progress| *told.migration() = Some(progress.to_string())).await
        });
        repaired.await?.ok_or_else(|| {
            BucketsError::Refused(
                "the embedded store maintains its buckets itself: there is nothing to repair".into(),
            )
        })
    }

    /// Runs a migration or repair on a thread of its own. Refuses if one is running already.
    async fn run_exclusively<T: Send + 'static>(
        &self,
        name: &str,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, BucketsError> {
        {
            let mut migration = self.migration();
            if let Some(progress) = migration.as_ref() {
                return Err(BucketsError::Refused(format!(
                    "a migration or repair of the buckets is running already: {progress}"
                )));
            }
            *migration = Some("starting".into());
        }
        let done = self.clone();
        let moved = threads::spawn(name, async move {
            let moved = work.await;
            *done.migration() = None;
            moved
        });
        let (_, ended) = moved.map_err(|error| {
            *self.migration() = None;
            unavailable(error)
        })?;
        Ok(ended.await.map_err(unavailable)??)
    }

    fn migration(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        lock(&self.migration)
    }

    /// Stops watching the folder.
    pub async fn stop(&self) {
        self.sync.abort();
        let watching = lock(&self.watching).take();
        // Dropping it joins a thread that may be compiling a plugin.
        let _ = tokio::task::spawn_blocking(move || drop(watching)).await;
    }
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> BucketsError {
    BucketsError::Store(Error::Unavailable(Cause::of(error)))
}

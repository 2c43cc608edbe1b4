//! The adapters of an engine whose log is in Kafka. Watches are in Cassandra or on the local
//! disk, leases in Redis or on the local disk.

use std::sync::Arc;

use async_trait::async_trait;
use pricedrop_cassandra::{Cassandra, Table};
use pricedrop_embedded::Embedded;
use pricedrop_kafka::rights::{self, Roles};
use pricedrop_kafka::{
    AckProducer, DispatchOptions, InstanceId, KafkaArchiveSource, KafkaDeadLetters, KafkaDispatch,
    KafkaIntake, KafkaOutbox, KafkaReplays, MemoryRetryIndex, OffsetCheck, Settings,
};
use pricedrop_model::archive::ArchiveSource;
use pricedrop_model::cache::{NoCache, WatchCache};
use pricedrop_model::dispatch::{CurrentPrices, Leases, Recipients, RetryQueue};
use pricedrop_model::migration::PolicyMigration;
use pricedrop_model::notification::Format;
use pricedrop_model::plugin::Plugins;
use pricedrop_model::ports::{Error, PriceSink, WatchStore, WatchWriter};
use pricedrop_model::retry_index::RetryIndex;
use pricedrop_redis::{Redis, RedisLeases, RedisRetryIndex};
use tokio::sync::watch;

use super::adapters::{Dispatch, Opened, SharedPorts, Stores, Worker};
use super::embedded;
use super::monitor::{Monitor, Servers};
use super::roles::RunRoles;
use crate::config::{Config, key, to_millis};
use crate::remedies;
use crate::report::CliError;

/// Connects to the servers that `[stores]` names.
///
/// # Errors
/// A server is unavailable or refuses, or topics or tables do not have the required form.
pub async fn open(config: &Config, roles: RunRoles) -> Result<Box<dyn Opened>, CliError> {
    let settings = config.kafka_settings(roles.shadow)?;
    let instance_id = pricedrop_kafka::InstanceId::take(&config.data.folder).map_err(|error| {
        CliError::failed(&error, "every instance needs a folder of its own: name another data.folder")
    })?;
    instance_id.lock_until_exit();
    check_topics(&settings, roles).await?;
    let stores = &config.stores;
    let redis = stores.redis().then(|| config.redis_options()).transpose()?;
    let redis =
        redis.map(Redis::new).transpose().map_err(|error| CliError::usage(error, "correct [redis]"))?;
    if let Some(redis) = redis.as_ref().filter(|_| stores.needs_redis(roles.dispatcher)) {
        check_redis(redis).await?;
    }
    let disk = match stores.cassandra() && stores.redis_leases() {
        true => None,
        false => Some(embedded::build(config)?),
    };
    let watches = match &disk {
        Some(disk) if !stores.cassandra() => Watches::OnDisk(disk.clone()),
        _ => Watches::InCassandra(connect(config, redis.as_ref(), roles).await?),
    };
    if stores.alone() {
        tracing::warn!("a part of the state is embedded: this must be the only instance of its group");
    }
    if roles.dispatcher && config.stream.format == Format::Lean {
        tracing::warn!(
            "stream.format is \"lean\", and such notifications have no id: a second drop to the same price within \
             data.confirmation_retention counts as delivered already, and dispatch.recheck has no effect"
        );
    }
    Ok(Box::new(Connected { config: config.clone(), roles, settings, instance_id, redis, disk, watches }))
}

/// Refuses a Redis that can never be used, such as one in cluster mode. One that is down or full now
/// only delays deliveries.
async fn check_redis(redis: &Redis) -> Result<(), CliError> {
    match redis.check().await {
        Ok(()) => Ok(()),
        Err(Error::Fatal(reason)) => {
            Err(CliError::failed(reason, "correct [redis], or see `pricedrop doctor`"))
        }
        Err(error) => {
            tracing::error!(%error, "Redis cannot be used now; deliveries wait for it");
            Ok(())
        }
    }
}

/// Checks the topics, and this user's ACLs. Fails if the engine cannot work; logs what is advisable.
async fn check_topics(settings: &Settings, roles: RunRoles) -> Result<(), CliError> {
    let mut found = pricedrop_kafka::topics::check(settings).await.map_err(remedies::kafka)?;
    let roles = Roles { notifier: roles.notifier, dispatcher: roles.dispatcher, archiver: roles.archiver };
    found.retain(|finding| roles.concern(&settings.topics, &finding.topic));
    for finding in found.iter().filter(|finding| !finding.fatal) {
        tracing::warn!(topic = finding.topic, "it {}; {}", finding.what, finding.remedy);
    }
    let wrong: Vec<String> = found
        .iter()
        .filter(|finding| finding.fatal)
        .map(|finding| format!("topic {} {}", finding.topic, finding.what))
        .collect();
    if !wrong.is_empty() {
        let remedy = "`pricedrop topics apply` creates missing topics, `pricedrop topics check` lists every problem with its remedy";
        return Err(CliError::failed(wrong.join("\n"), remedy));
    }
    let settings = settings.clone();
    let missing = tokio::task::spawn_blocking(move || rights::missing(&settings, roles)).await;
    let missing = missing.map_err(|error| CliError::failed(error, ""))?.map_err(remedies::kafka)?;
    let wrong: Vec<rights::Missing> = missing.into_iter().filter(|missing| !missing.works).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    let problems = wrong
        .iter()
        .map(|it| format!("{}: {} is not allowed, and {} needs it", it.on, it.right, it.needed_by));
    let remedies = wrong.iter().map(|it| it.remedy.clone());
    Err(CliError::failed(problems.collect::<Vec<_>>().join("\n"), remedies.collect::<Vec<_>>().join("\n")))
}

async fn connect(config: &Config, redis: Option<&Redis>, roles: RunRoles) -> Result<Cassandra, CliError> {
    let cache: Arc<dyn WatchCache> = match redis.filter(|_| config.stores.redis_cache()) {
        Some(redis) => Arc::new(config.watch_cache(redis)),
        None => Arc::new(NoCache),
    };
    let tables =
        config.cassandra_options()?.connect(cache).await.map_err(|error| remedies::cassandra(&error))?;
    let hidden = tables.unreadable().await.map_err(|error| remedies::cassandra(&error.into()))?;
    let needed = |table: &Table| table.is_read_from_the_start(roles.dispatcher);
    let (wrong, odd): (Vec<_>, Vec<_>) = hidden.into_iter().partition(|(table, _)| needed(table));
    for (_, why) in odd {
        tracing::warn!("{why}");
    }
    match wrong.is_empty() {
        true => Ok(tables),
        false => {
            let problems: Vec<String> = wrong.into_iter().map(|(_, why)| why).collect();
            Err(CliError::failed(
                problems.join("\n"),
                "docs/operations.md lists the grants; `pricedrop doctor` checks all of them",
            ))
        }
    }
}

/// The store of watches, addresses and prices.
enum Watches {
    OnDisk(Embedded),
    InCassandra(Cassandra),
}

impl Watches {
    fn policies(&self) -> Arc<dyn PolicyMigration> {
        match self {
            Watches::OnDisk(disk) => embedded::policies(disk),
            Watches::InCassandra(tables) => Arc::new(tables.policies()),
        }
    }

    fn read(&self) -> Arc<dyn WatchStore> {
        match self {
            Watches::OnDisk(disk) => Arc::new(disk.watches()),
            Watches::InCassandra(tables) => Arc::new(tables.watches()),
        }
    }

    fn write(&self) -> Arc<dyn WatchWriter> {
        match self {
            Watches::OnDisk(disk) => Arc::new(disk.watches()),
            Watches::InCassandra(tables) => Arc::new(tables.watches()),
        }
    }

    fn recipients(&self) -> Arc<dyn Recipients> {
        match self {
            Watches::OnDisk(disk) => Arc::new(disk.recipients()),
            Watches::InCassandra(tables) => Arc::new(tables.recipients()),
        }
    }

    fn prices(&self) -> Arc<dyn CurrentPrices> {
        match self {
            Watches::OnDisk(disk) => Arc::new(disk.prices()),
            Watches::InCassandra(tables) => Arc::new(tables.prices()),
        }
    }

    fn price_sink(&self) -> Arc<dyn PriceSink> {
        match self {
            Watches::OnDisk(disk) => Arc::new(disk.prices()),
            Watches::InCassandra(tables) => Arc::new(tables.prices()),
        }
    }

    fn set_plugins(&self, plugins: Arc<dyn Plugins>) {
        match self {
            Watches::OnDisk(disk) => disk.set_plugins(plugins),
            Watches::InCassandra(tables) => tables.set_plugins(plugins),
        }
    }
}

struct Connected {
    config: Config,
    roles: RunRoles,
    settings: Settings,
    instance_id: InstanceId,
    redis: Option<Redis>,
    disk: Option<Embedded>,
    watches: Watches,
}

#[async_trait]
impl Opened for Connected {
    fn policies(&self) -> Arc<dyn PolicyMigration> {
        self.watches.policies()
    }

    fn archive_owner(&self) -> String {
        self.settings.group.clone()
    }

    async fn build(self: Box<Self>, plugins: Arc<dyn Plugins>) -> Result<Stores, CliError> {
        self.watches.set_plugins(plugins);
        let acked = AckProducer::new(&self.settings).map_err(remedies::kafka)?;
        let dead_letters = KafkaDeadLetters::new(&self.settings, acked.clone());
        let dispatch = self.roles.dispatcher.then(|| self.join_dispatchers()).transpose()?;
        let retries: Arc<dyn RetryQueue> = match &dispatch {
            Some(dispatch) => Arc::new(dispatch.retries()),
            None => Arc::new(KafkaReplays::new(&self.settings, acked.clone())),
        };
        let mut servers = Servers {
            instance_id: Some(self.instance_id.clone()),
            redis: self.needed_redis(),
            needs_redis: self.roles.dispatcher && self.redis_leases().is_some(),
            ..Servers::default()
        };
        if let Watches::InCassandra(tables) = &self.watches {
            servers.cassandra = Some(tables.clone());
        }
        let workers = self.start_workers(&mut servers)?;
        let archive = self.archive_sources()?;
        let (stop, stop_workers) = watch::channel(false);
        let log = dispatch.as_ref().map(|dispatch| dispatch.notifications(dead_letters.clone()));
        servers.dispatch = dispatch;
        servers.ends = Some(OffsetCheck::new(&self.settings).map_err(remedies::kafka)?);
        Ok(Stores {
            workers,
            watches: self.watches.read(),
            stop_workers,
            archive,
            end_input: Box::new(move || {
                stop.send_replace(true);
            }),
            dispatch: log.map(|log| Dispatch { log: Box::new(log) }),
            ports: SharedPorts {
                intake: Arc::new(KafkaIntake::new(&self.settings, acked)),
                watches: self.watches.write(),
                recipients: self.watches.recipients(),
                leases: self.leases(),
                retries,
                dead_letters: Arc::new(dead_letters),
                prices: self.watches.prices(),
                outbox: Arc::new(KafkaOutbox::new(&self.settings)),
            },
            health: Monitor::start(servers),
        })
    }
}

impl Connected {
    /// Starts the notifiers' group members, each with its own producer and states.
    fn start_workers(&self, servers: &mut Servers) -> Result<Vec<Worker>, CliError> {
        if !self.roles.notifier {
            return Ok(Vec::new());
        }
        let options = pricedrop_kafka::Options {
            settings: self.settings.clone(),
            start: self.config.stream.start,
            first_price_is_set: self.config.is_written(key!(rules.first_price)),
            delivery: self.config.stream.delivery,
            format: self.config.stream.format,
            shadow: self.roles.shadow,
            prices: (!self.roles.shadow).then(|| self.watches.price_sink()),
            metrics: servers.kafka.clone(),
        };
        let count = self.config.stream.workers;
        let start = |number| {
            let writer = (!self.roles.shadow).then(|| self.watches.write());
            let started = pricedrop_kafka::start_worker(options.clone(), &self.instance_id, number, writer);
            started.map_err(|error| {
                CliError::failed(error, "correct [kafka]; `pricedrop doctor` checks everything")
            })
        };
        let mut workers = Vec::with_capacity(count);
        for number in 0..count {
            let worker = start(number)?;
            servers.workers.push(worker.status);
            workers.push(Worker { source: Box::new(worker.source), committer: Box::new(worker.committer) });
        }
        Ok(workers)
    }

    /// Joins the dispatchers' group.
    fn join_dispatchers(&self) -> Result<KafkaDispatch, CliError> {
        let index: Arc<dyn RetryIndex> = match self.redis_leases() {
            Some(redis) => Arc::new(RedisRetryIndex::new(redis)),
            None => Arc::new(MemoryRetryIndex::default()),
        };
        let mut options = DispatchOptions {
            settings: self.settings.clone(),
            transactional_id: String::new(),
            start: self.config.stream.start,
            index,
        };
        options.transactional_id = self.instance_id.transactional_id(&options.group(), 0);
        KafkaDispatch::join(options).map_err(remedies::kafka)
    }

    /// Joins the archivers' group for each archived topic.
    fn archive_sources(&self) -> Result<Vec<Box<dyn ArchiveSource>>, CliError> {
        if !self.roles.archiver {
            return Ok(Vec::new());
        }
        let topics = self.config.archived_topics(&self.settings.topics);
        let join = |topic: &str| -> Result<Box<dyn ArchiveSource>, CliError> {
            let source = KafkaArchiveSource::join(&self.settings, topic).map_err(remedies::kafka)?;
            Ok(Box::new(source))
        };
        topics.iter().map(|topic| join(topic)).collect()
    }

    /// Returns Redis if this process needs it to work. A notifier without the cache uses Redis
    /// only for replays of deliveries, and runs while Redis is unavailable.
    fn needed_redis(&self) -> Option<Redis> {
        let asks = self.config.stores.needs_redis(self.roles.dispatcher);
        self.redis.clone().filter(|_| asks)
    }

    fn redis_leases(&self) -> Option<&Redis> {
        self.redis.as_ref().filter(|_| self.config.stores.redis_leases())
    }

    fn leases(&self) -> Arc<dyn Leases> {
        match (self.redis_leases(), &self.disk) {
            (Some(redis), _) => {
                let kept_ms = to_millis(self.config.data.confirmation_retention);
                Arc::new(RedisLeases::with_confirmation_ttl(redis, kept_ms))
            }
            (None, Some(disk)) => Arc::new(disk.leases()),
            (None, None) => unreachable!("the disk is opened where leases are not in Redis"),
        }
    }
}

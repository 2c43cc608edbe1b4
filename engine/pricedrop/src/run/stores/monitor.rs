//! Monitors the servers: their health for `/readyz`, and the metrics of their adapters.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pricedrop_cassandra::Cassandra;
use pricedrop_kafka as kafka;
use pricedrop_kafka::{InstanceId, KafkaDispatch, OffsetCheck, Status};
use pricedrop_model::Partition;
use pricedrop_model::health::{Reason, Severity};
use pricedrop_model::sync::lock;
use pricedrop_redis::Redis;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;

use super::adapters::Health;

/// How often the servers are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);

/// The adapters to monitor.
#[derive(Default)]
pub struct Servers {
    /// The status of the notifiers' group members.
    pub workers: Vec<Status>,
    /// The instance id, which is locked while this value exists.
    #[expect(dead_code, reason = "it is held, not read")]
    pub instance_id: Option<InstanceId>,
    /// The metrics that all members share.
    pub kafka: kafka::Metrics,
    /// The dispatcher's group member.
    pub dispatch: Option<KafkaDispatch>,
    /// The end offsets of the log, with which consumer lag is computed.
    pub ends: Option<OffsetCheck>,
    /// Watches, addresses and prices.
    pub cassandra: Option<Cassandra>,
    /// The cache and leases.
    pub redis: Option<Redis>,
    /// Whether leases are in Redis, so that nothing is delivered without it.
    pub needs_redis: bool,
}

/// Checks the servers periodically. Reading the results does not block.
pub struct Monitor {
    servers: Arc<Servers>,
    last_check: Arc<Mutex<LastCheck>>,
    task: JoinHandle<()>,
}

/// The results of the last check.
#[derive(Default)]
struct LastCheck {
    redis: Option<String>,
    clients: Option<String>,
    lag: BTreeMap<Partition, i64>,
}

impl Monitor {
    /// Starts the periodic check.
    pub fn start(servers: Servers) -> Arc<Monitor> {
        let servers = Arc::new(servers);
        let last_check: Arc<Mutex<LastCheck>> = Arc::default();
        let task = tokio::spawn(check_periodically(servers.clone(), last_check.clone()));
        Arc::new(Monitor { servers, last_check, task })
    }

    fn last_check(&self) -> std::sync::MutexGuard<'_, LastCheck> {
        lock(&self.last_check)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn check_periodically(servers: Arc<Servers>, last_check: Arc<Mutex<LastCheck>>) {
    let mut turns = tokio::time::interval(CHECK_INTERVAL);
    loop {
        turns.tick().await;
        let redis = match &servers.redis {
            Some(redis) => redis.check().await.err().map(|error| error.to_string()),
            None => None,
        };
        let members = servers.workers.iter().filter_map(Status::trouble);
        let clients = members.chain(servers.dispatch.iter().filter_map(KafkaDispatch::trouble)).last();
        let lag = lag(&servers).await;
        let mut last_check = lock(&last_check);
        last_check.redis = redis;
        last_check.clients = clients;
        last_check.lag.extend(lag);
        let owned: Vec<Partition> =
            serving(&servers.workers).into_iter().map(|(partition, _)| partition).collect();
        last_check.lag.retain(|partition, _| owned.contains(partition));
    }
}

fn serving(workers: &[Status]) -> Vec<(Partition, i64)> {
    workers.iter().flat_map(Status::serving).collect()
}

/// Returns the consumer lag of each partition that this process serves, in offsets.
async fn lag(servers: &Arc<Servers>) -> BTreeMap<Partition, i64> {
    let servers = servers.clone();
    let computed = tokio::task::spawn_blocking(move || {
        let serving = serving(&servers.workers);
        let Some(ends) = servers.ends.as_ref().filter(|_| !serving.is_empty()) else {
            return BTreeMap::new();
        };
        let ends = ends.of(serving.iter().map(|(partition, _)| *partition)).unwrap_or_default();
        let lag = |(partition, next)| Some((partition, ends.get(&partition)?.saturating_sub(next).max(0)));
        serving.into_iter().filter_map(lag).collect()
    });
    computed.await.unwrap_or_default()
}

impl Health for Monitor {
    fn reasons(&self) -> Vec<Reason> {
        let reason = |part: &str, severity, reason| Reason { part: part.into(), severity, reason };
        let stopped = self.servers.workers.iter().flat_map(Status::stopped);
        let mut reasons: Vec<Reason> = stopped
            .map(|(partition, why)| reason(&format!("partition {}", partition.0), Severity::Error, why))
            .collect();
        let waits = |part| reason(part, Severity::Error, "its partitions are being acquired".into());
        if self.servers.workers.iter().any(|worker| !worker.assignment_is_ready()) {
            reasons.push(waits("notifier"));
        }
        if self.servers.dispatch.as_ref().is_some_and(|dispatch| !dispatch.assignment_is_ready()) {
            reasons.push(waits("dispatcher"));
        }
        let last_check = self.last_check();
        reasons.extend(last_check.clients.clone().map(|why| reason("kafka", Severity::Warning, why)));
        let severity = if self.servers.needs_redis { Severity::Error } else { Severity::Warning };
        reasons.extend(last_check.redis.clone().map(|why| reason("redis", severity, why)));
        reasons
    }

    fn register_metrics(&self, registry: &mut Registry) {
        let Servers { kafka, cassandra, redis, .. } = &*self.servers;
        kafka.register(registry);
        if let Some(cassandra) = cassandra {
            cassandra.metrics().register(registry);
        }
        if let Some(redis) = redis {
            redis.metrics().register(registry);
        }
        let scraped = ScrapedMetrics { servers: self.servers.clone(), last_check: self.last_check.clone() };
        registry.register_collector(Box::new(scraped));
    }
}

/// Metrics that are computed when they are scraped.
struct ScrapedMetrics {
    servers: Arc<Servers>,
    last_check: Arc<Mutex<LastCheck>>,
}

impl fmt::Debug for ScrapedMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScrapedMetrics").finish_non_exhaustive()
    }
}

impl Collector for ScrapedMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Servers { workers, dispatch, .. } = &*self.servers;
        let lag: Vec<_> =
            lock(&self.last_check).lag.iter().map(|(partition, lag)| (*partition, *lag)).collect();
        by_partition(&mut encoder, "input_offset", "Records below it are committed.", &serving(workers))?;
        by_partition(&mut encoder, "consumer_lag", "Records after the committed offset.", &lag)?;
        let products = workers.iter().map(Status::products).sum::<usize>();
        gauge(&mut encoder, "products_known", "Products whose states are in memory.", products)?;
        let retries = dispatch.iter().map(|dispatch| dispatch.serving().len()).sum::<usize>();
        gauge(&mut encoder, "retry_partitions", "Partitions whose retries are served here.", retries)
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: usize) -> fmt::Result {
    let family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value as u64).encode(family)
}

fn by_partition(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: &[(Partition, i64)],
) -> fmt::Result {
    let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    for (partition, value) in values {
        let labels = [("partition", partition.0.to_string())];
        ConstGauge::new(*value).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

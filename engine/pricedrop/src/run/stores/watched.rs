//! What the servers say of themselves, and what their adapters counted.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pricedrop_cassandra as cassandra;
use pricedrop_cassandra::{Cassandra, figures::LATENCY_BOUNDS_US};
use pricedrop_http::{Figure, Measure, MeasureKind};
use pricedrop_kafka as kafka;
use pricedrop_kafka::{Ends, KafkaDispatch, Slot, Status};
use pricedrop_model::Partition;
use pricedrop_model::health::{Reason, Severity};
use pricedrop_model::sync::lock;
use pricedrop_redis::Redis;
use tokio::task::JoinHandle;

use super::adapters::Health;

/// How often servers are asked how they are.
const LOOK: Duration = Duration::from_secs(5);
/// Most products shown as the most read ones.
const HOTTEST: usize = 20;

/// What there is to look at.
#[derive(Default)]
pub struct Servers {
    /// The notifiers' members of the group.
    pub workers: Vec<Status>,
    /// The instance's name, locked as long as it runs; nobody reads it.
    #[expect(dead_code, reason = "it is held, not read")]
    pub slot: Option<Slot>,
    /// What they counted together.
    pub kafka: Arc<kafka::Figures>,
    /// The dispatcher's member of its group.
    pub dispatch: Option<KafkaDispatch>,
    /// Where the log ends, to compare it with what was read.
    pub ends: Option<Ends>,
    /// Where watches lie.
    pub cassandra: Option<Cassandra>,
    /// Where the cache and leases lie.
    pub redis: Option<Redis>,
}

/// Looks at them now and then; asking it waits for nobody.
pub struct Watched {
    servers: Arc<Servers>,
    seen: Arc<Mutex<Seen>>,
    looking: JoinHandle<()>,
}

/// What the last look saw.
#[derive(Default)]
struct Seen {
    redis: Option<String>,
    clients: Option<String>,
    lag: BTreeMap<Partition, i64>,
}

impl Watched {
    /// Begins to look.
    pub fn start(servers: Servers) -> Arc<Watched> {
        let servers = Arc::new(servers);
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let looking = tokio::spawn(keep_looking(servers.clone(), seen.clone()));
        Arc::new(Watched { servers, seen, looking })
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        lock(&self.seen)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

async fn keep_looking(servers: Arc<Servers>, seen: Arc<Mutex<Seen>>) {
    let mut turns = tokio::time::interval(LOOK);
    loop {
        turns.tick().await;
        let redis = match &servers.redis {
            Some(redis) => redis.facts().await.err().map(|error| error.to_string()),
            None => None,
        };
        let members = servers.workers.iter().filter_map(Status::trouble);
        let clients = members.chain(servers.dispatch.iter().filter_map(KafkaDispatch::trouble)).last();
        let lag = lag(&servers).await;
        let mut seen = lock(&seen);
        seen.redis = redis;
        seen.clients = clients;
        seen.lag.extend(lag);
        let owned: Vec<Partition> =
            serving(&servers.workers).into_iter().map(|(partition, _)| partition).collect();
        seen.lag.retain(|partition, _| owned.contains(partition));
    }
}

fn serving(workers: &[Status]) -> Vec<(Partition, i64)> {
    workers.iter().flat_map(Status::serving).collect()
}

/// How many offsets each partition has behind the committed one.
async fn lag(servers: &Arc<Servers>) -> BTreeMap<Partition, i64> {
    let servers = servers.clone();
    let asked = tokio::task::spawn_blocking(move || {
        let serving = serving(&servers.workers);
        let Some(ends) = servers.ends.as_ref().filter(|_| !serving.is_empty()) else {
            return BTreeMap::new();
        };
        let ends = ends.of(serving.iter().map(|(partition, _)| *partition)).unwrap_or_default();
        let lag = |(partition, next)| Some((partition, ends.get(&partition)?.saturating_sub(next).max(0)));
        serving.into_iter().filter_map(lag).collect()
    });
    asked.await.unwrap_or_default()
}

#[async_trait]
impl Health for Watched {
    fn reasons(&self) -> Vec<Reason> {
        let reason = |part: &str, severity, reason| Reason { part: part.into(), severity, reason };
        let stopped = self.servers.workers.iter().flat_map(Status::stopped);
        let mut reasons: Vec<Reason> = stopped
            .map(|(partition, why)| reason(&format!("partition {}", partition.0), Severity::Error, why))
            .collect();
        let waits = |part| reason(part, Severity::Error, "its partitions are being taken over".into());
        if self.servers.workers.iter().any(|worker| !worker.assignment_is_ready()) {
            reasons.push(waits("notifier"));
        }
        if self.servers.dispatch.as_ref().is_some_and(|dispatch| !dispatch.assignment_is_ready()) {
            reasons.push(waits("dispatcher"));
        }
        let seen = self.seen();
        reasons.extend(seen.clients.clone().map(|why| reason("kafka", Severity::Warning, why)));
        reasons.extend(seen.redis.clone().map(|why| reason("redis", Severity::Warning, why)));
        reasons
    }

    async fn measures(&self) -> Vec<Measure> {
        let mut all = of_kafka(&self.servers, &self.seen().lag);
        all.extend(self.servers.cassandra.iter().flat_map(|tables| of_cassandra(tables.figures())));
        all.extend(self.servers.redis.iter().flat_map(of_redis));
        all
    }
}

fn of_kafka(servers: &Servers, lag: &BTreeMap<Partition, i64>) -> Vec<Measure> {
    let figures = &servers.kafka;
    let by_partition = |name, help, values: Vec<(Partition, i64)>| Measure {
        name,
        help,
        kind: MeasureKind::Gauge,
        samples: values
            .into_iter()
            .map(|(partition, value)| (vec![("partition", partition.0.to_string())], (value as f64).into()))
            .collect(),
    };
    let products: usize = servers.workers.iter().map(Status::products).sum();
    let lag = lag.iter().map(|(partition, lag)| (*partition, *lag)).collect();
    let retries = servers.dispatch.iter().map(|dispatch| dispatch.serving().len()).sum::<usize>();
    vec![
        by_partition("input_offset", "Records below it are committed", serving(&servers.workers)),
        by_partition("input_lag", "Records behind the committed offset", lag),
        Measure::gauge("products_known", "Products whose states are in memory", products as f64),
        Measure::counter("transactions", "Transactions committed", figures.commits.load(Relaxed)),
        Measure::seconds(
            "transaction_seconds",
            "Time spent in transactions",
            figures.commit_micros.load(Relaxed) as f64 / 1e6,
        ),
        Measure::counter(
            "take_overs",
            "Times that partitions were taken over",
            figures.take_overs.load(Relaxed),
        ),
        Measure::gauge(
            "take_over_seconds",
            "How long the last take-over took",
            figures.take_over_ms.load(Relaxed) as f64 / 1e3,
        ),
        Measure::counter("removals", "Told once-watches removed", figures.removals.load(Relaxed)),
        Measure::gauge("retry_partitions", "Partitions whose retries are served here", retries as f64),
    ]
}

fn of_cassandra(figures: cassandra::Figures) -> Vec<Measure> {
    let cassandra::Figures { reads, hottest, .. } = &figures;
    let spread = |table: &cassandra::figures::TableReads| {
        let bounds = LATENCY_BOUNDS_US.iter().map(|us| *us as f64 / 1e6).chain([f64::INFINITY]);
        Figure::Spread { sum: table.total_us as f64 / 1e6, cells: bounds.zip(table.cells).collect() }
    };
    let reads = reads.iter().map(|table| (vec![("table", table.table.clone())], spread(table)));
    let hottest = hottest.iter().take(HOTTEST).map(|hot| (hot.product.as_str().to_owned(), hot.reads));
    vec![
        Measure {
            name: "cassandra_read_seconds",
            help: "How long reads of a table took",
            kind: MeasureKind::Histogram,
            samples: reads.collect(),
        },
        Measure::by(
            "product_reads",
            "Reads of the products read most",
            MeasureKind::Gauge,
            "product",
            hottest,
        ),
        Measure::counter("cassandra_retries", "Requests made again", figures.retries),
        Measure::counter("unreadable_rows", "Rows of watches that are none", figures.unreadable_rows),
        Measure::counter(
            "rewrites",
            "Watches written anew, as writing took long or the cache could not be told",
            figures.rewrites,
        ),
        Measure::counter("not_removable", "Told watches whose row has no write time", figures.not_removable),
        Measure::counter("prices_left_out", "Current prices not shown", figures.prices_left_out),
        Measure::counter("bucket_repairs", "Indexes of products repaired", figures.repairs),
        Measure::counter("bucket_repairs_failed", "Repairs that failed", figures.failed_repairs),
    ]
}

fn of_redis(redis: &Redis) -> Vec<Measure> {
    let figures = redis.figures();
    let figures = figures.all().map(|(name, count)| (name.to_owned(), count));
    vec![Measure::by(
        "redis",
        "What became of calls to Redis and of cached watches",
        MeasureKind::Counter,
        "what",
        figures,
    )]
}

//! `pricedrop run`: builds the adapters behind the ports, starts the parts, waits for a
//! signal, and stops the parts in order.
//!
//! ```text
//! HTTP ─▶ input ─▶ notifiers (own threads) ─▶ log ─▶ dispatcher ─▶ providers
//! stop order: HTTP, the input, the notifiers, the dispatcher, the archiver, the plugins, the stores
//! ```
//!
//! Invariant: a part stops only after every part before it has stopped, so that all
//! accepted work is finished.

mod archive;
mod banner;
mod descriptors;
mod engine;
mod logging;
mod metrics;
mod plugins;
mod privacy;
mod stores;
mod threads;

pub use plugins::{access_check, refused};
pub use stores::embedded;
pub use threads::spawn;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use pricedrop_http::{Api, Bound};
use pricedrop_model::plugin::Plugins;
use pricedrop_model::time::SystemClock;
use pricedrop_outbound::Outbound;
use pricedrop_pipeline::{dispatcher, notifier};
use prometheus_client::registry::Registry;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use crate::cli;
use crate::client::ADDRESS_FILE;
use crate::config::Config;
use crate::remedies::SEE_STORE;
use crate::report::CliError;

use descriptors::Shares;
use engine::Status;
pub use privacy::keep_private;
use stores::{Dispatch, RunRoles, SharedPorts};

/// How long Kafka clients may take to leave their groups.
const GROUP_LEAVE_TIMEOUT: Duration = Duration::from_secs(5);

/// Runs the engine until a signal stops it, or a part fails.
///
/// # Errors
/// The engine cannot start, or a part failed.
pub fn run(config: &Config, args: &cli::Run) -> Result<(), CliError> {
    if !config.stores.kafka() {
        check_embedded_log(args)?;
    }
    if args.shadow && args.role == Some(cli::Role::Dispatcher) {
        return Err(CliError::usage("a shadow sends nothing, so it has no dispatcher", "omit --role"));
    }
    logging::start(config)?;
    keep_private(&config.data.folder);
    let roles = RunRoles::of(config, args);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(Running::until_stopped(config, roles));
    // Tasks hold the store. After this it is closed, and its folder is unlocked.
    runtime.shutdown_timeout(GROUP_LEAVE_TIMEOUT);
    if ended.is_ok() {
        tracing::info!("stopped");
    }
    ended
}

fn check_embedded_log(args: &cli::Run) -> Result<(), CliError> {
    if args.role.is_some() {
        return Err(CliError::usage(
            "a single role requires a log that several processes can share, and stores.log is \"embedded\"",
            "omit --role to run all roles in one process, or set stores.log = \"kafka\"",
        ));
    }
    if args.shadow {
        return Err(CliError::usage(
            "a shadow runs beside the real engine, and no second process can read an embedded log",
            "omit --shadow, or use `pricedrop simulate`",
        ));
    }
    Ok(())
}

/// The running parts, in the order in which they stop.
struct Running {
    http: JoinSet<()>,
    stop_http: oneshot::Sender<()>,
    end_input: Box<dyn FnOnce() + Send>,
    notifiers: Vec<JoinHandle<()>>,
    notifiers_ended: JoinSet<Result<(), String>>,
    dispatcher: JoinSet<Result<(), dispatcher::Error>>,
    stop_dispatcher: watch::Sender<bool>,
    archive: archive::Archive,
    plugins: plugins::Loaded,
    address_file: PathBuf,
    address: SocketAddr,
    limit: Duration,
}

/// Why the engine stops.
enum Ended {
    Signal(&'static str),
    Part(CliError),
}

impl Running {
    async fn until_stopped(config: &Config, roles: RunRoles) -> Result<(), CliError> {
        let mut signals = Signals::new()?;
        let mut running = Running::start(config, roles).await?;
        let ended = tokio::select! {
            name = signals.next() => Ended::Signal(name),
            error = running.part_that_ended() => Ended::Part(error),
        };
        if let Ended::Signal(name) = &ended {
            tracing::info!(signal = name, "stopping; a second signal stops immediately");
        }
        let limit = running.limit;
        let drained = tokio::select! {
            drained = tokio::time::timeout(limit, running.stop()) => drained,
            _ = signals.next() => return Err(CliError::failed("stopped immediately by a second signal", NOTHING_IS_LOST)),
        };
        match (ended, drained) {
            (Ended::Part(error), _) | (Ended::Signal(_), Ok(Err(error))) => Err(error),
            (Ended::Signal(_), Err(_)) => {
                Err(CliError::failed("stopping took longer than limits.shutdown_timeout", NOTHING_IS_LOST))
            }
            (Ended::Signal(_), Ok(Ok(()))) => Ok(()),
        }
    }

    async fn start(config: &Config, roles: RunRoles) -> Result<Running, CliError> {
        let bound = bind(config).await?;
        let opened = stores::open(config, roles).await?;
        let archive = match roles.archiver {
            true => Some(archive::open(config, opened.archive_owner()).await?),
            false => None,
        };
        let policies = opened.policies();
        let plugins = plugins::load(config, policies.clone()).await?;
        let stores = opened.build(plugins.plugins()).await?;
        let clock = Arc::new(SystemClock);
        let notifier_metrics = notifier::Metrics::default();
        let parts = stores.workers.into_iter().map(|worker| {
            let watches = stores.watches.clone();
            let options = config.notifier_options();
            let (source, committer) = (worker.source, worker.committer);
            let notifier = options.build(source, committer, watches, plugins.plugins(), clock.clone());
            notifier.with_metrics(notifier_metrics.clone())
        });
        let parts: Vec<notifier::Notifier> = parts.collect();
        let dispatcher_metrics = Arc::new(dispatcher::Metrics::default());
        let dispatcher = match stores.dispatch {
            Some(own) => Some(build_dispatcher(
                config,
                own,
                &stores.ports,
                plugins.plugins(),
                dispatcher_metrics.clone(),
            )?),
            None => None,
        };
        let archive = archive::Archive::start(archive, stores.archive)?;
        let mut registry = metrics::registry();
        notifier_metrics.register(&mut registry);
        dispatcher_metrics.register(&mut registry);
        archive.metrics().register(&mut registry);
        plugins.register_metrics(&mut registry);
        stores.health.register_metrics(&mut registry);
        let status = Status {
            archive: archive.metrics(),
            notifiers: parts.iter().map(notifier::Notifier::trouble).collect(),
            dispatcher: dispatcher_metrics,
            health: stores.health,
            policies,
            plugins: plugins.clone(),
        };
        let api = api(config, stores.ports, status, registry);
        let (address_file, address) = (write_address(config, &bound)?, bound.address());
        banner::print(config, bound.address(), &plugins, roles);
        let (stop_http, http_stop) = oneshot::channel();
        let (notifiers, notifiers_ended) = start_notifiers(parts, &stores.stop_workers)?;
        let (stop_dispatcher, dispatcher_stop) = watch::channel(false);
        Ok(Running {
            http: spawned(serve(bound, api, http_stop)),
            stop_http,
            end_input: stores.end_input,
            notifiers,
            notifiers_ended,
            dispatcher: spawned(dispatch(dispatcher, dispatcher_stop)),
            stop_dispatcher,
            archive,
            plugins,
            address_file,
            address,
            limit: config.limits.shutdown_timeout,
        })
    }

    /// Waits until a part ends although nothing told it to stop, and returns which one.
    async fn part_that_ended(&mut self) -> CliError {
        let what = tokio::select! {
            Some(ended) = self.http.join_next() => format!("the API stopped: {}", reason(ended.map(Ok::<_, String>))),
            Some(ended) = self.notifiers_ended.join_next() => format!("the notifier stopped: {}", reason(ended)),
            Some(ended) = self.dispatcher.join_next() => format!("the dispatcher stopped: {}", reason(ended)),
        };
        CliError::failed(what, SEE_STORE)
    }

    async fn stop(mut self) -> Result<(), CliError> {
        // The send fails if the part has ended already.
        let _ = self.stop_http.send(());
        // Posts wait for the notifier. If it makes no progress, because a store fails, they are given up.
        let posts = tokio::time::timeout(self.limit / 2, self.http.join_next()).await;
        (self.end_input)();
        let mut notified = Ok(());
        while let Some(ended) = self.notifiers_ended.join_next().await {
            notified = notified.and(ended.unwrap_or_else(|panicked| Err(panicked.to_string())));
        }
        for notifier in self.notifiers {
            let _ = notifier.join();
        }
        let http = match posts {
            Ok(http) => http,
            Err(_) => self.http.join_next().await,
        };
        self.stop_dispatcher.send_replace(true);
        let dispatched = self.dispatcher.join_next().await;
        self.archive.stop().await;
        self.plugins.stop().await;
        remove_address(&self.address_file, self.address);
        let failed =
            |what: &str, why: String| Err(CliError::failed(format!("{what}: {why}"), NOTHING_IS_LOST));
        match (http, notified, dispatched) {
            (Some(Err(panicked)), ..) => failed("the API", panicked.to_string()),
            (_, Err(error), _) => failed("the notifier", error),
            (.., Some(Ok(Err(error)))) => failed("the dispatcher", error.to_string()),
            _ => Ok(()),
        }
    }
}

/// Starts each notifier on a thread of its own, because calls of plugins block.
#[expect(clippy::type_complexity, reason = "threads, and what becomes of them")]
fn start_notifiers(
    parts: Vec<notifier::Notifier>,
    stop: &watch::Receiver<bool>,
) -> Result<(Vec<JoinHandle<()>>, JoinSet<Result<(), String>>), CliError> {
    let (mut threads, mut ended) = (Vec::new(), JoinSet::new());
    for notifier in parts {
        let (thread, notice) = threads::spawn("notifier", notifier.run(stop.clone()))?;
        threads.push(thread);
        ended.spawn(async move {
            let ended = notice.await.map_err(|_| "it panicked".to_owned())?;
            ended.map_err(|error| error.to_string())
        });
    }
    Ok((threads, ended))
}

fn api(config: &Config, ports: SharedPorts, status: Status, metrics: Registry) -> Api {
    let SharedPorts { intake, watches, recipients, leases, retries, dead_letters, prices, outbox } = ports;
    let (clock, rules, engine) = (Arc::new(SystemClock), config.matching_rules(), Arc::new(status));
    let metrics = Arc::new(metrics);
    Api {
        clock,
        rules,
        intake,
        watches,
        recipients,
        leases,
        retries,
        dead_letters,
        prices,
        outbox,
        engine,
        metrics,
    }
}

fn build_dispatcher(
    config: &Config,
    own: Dispatch,
    ports: &SharedPorts,
    plugins: Arc<dyn Plugins>,
    metrics: Arc<dispatcher::Metrics>,
) -> Result<dispatcher::Dispatcher, CliError> {
    let sender = Outbound::new(config.outbound_options());
    let sender = sender.map_err(|error| CliError::usage(error, "correct dispatch.ca_file"))?;
    let SharedPorts { recipients, leases, retries, dead_letters, prices, .. } = ports.clone();
    Ok(dispatcher::Dispatcher {
        options: config.dispatcher_options(),
        keys: config.delivery_keys()?,
        log: own.log,
        recipients,
        leases,
        retries,
        dead_letters,
        prices,
        plugins,
        sender: Arc::new(sender),
        clock: Arc::new(SystemClock),
        metrics,
    })
}

const NOTHING_IS_LOST: &str = "nothing is lost: unfinished work continues at the next start";
fn reason<T, E: std::fmt::Display, J: std::fmt::Display>(ended: Result<Result<T, E>, J>) -> String {
    match ended {
        Ok(Ok(_)) => "no signal and no error was the cause".into(),
        Ok(Err(error)) => error.to_string(),
        Err(panicked) => panicked.to_string(),
    }
}

async fn bind(config: &Config) -> Result<Bound, CliError> {
    let mut options = config.http_options()?;
    let shares = Shares::claim();
    shares.warn(options.max_connections);
    options.max_connections = shares.connections(options.max_connections);
    let bound = pricedrop_http::bind(options).await;
    bound.map_err(|error| CliError::usage(&error, error.remedy()))
}

/// Writes the bound address to a file, for commands and scripts that must find the port.
fn write_address(config: &Config, bound: &Bound) -> Result<PathBuf, CliError> {
    let path = config.data.folder.join(ADDRESS_FILE);
    write_atomically(&path, &format!("{}\n", bound.address())).map_err(|error| {
        CliError::failed(format!("{}: {error}", path.display()), "make the folder writable")
    })?;
    Ok(path)
}

/// Removes the file, unless it has the address of another engine.
fn remove_address(path: &Path, address: SocketAddr) {
    if std::fs::read_to_string(path).is_ok_and(|text| text.trim() == address.to_string()) {
        let _ = std::fs::remove_file(path);
    }
}

/// Replaces a file by rename, so that readers see either all of it or nothing.
fn write_atomically(path: &Path, text: &str) -> std::io::Result<()> {
    let aside = path.with_extension("new");
    std::fs::write(&aside, text)?;
    std::fs::rename(aside, path)
}

async fn serve(bound: Bound, api: Api, stop: oneshot::Receiver<()>) {
    let stop = async {
        // An error means that the sender was dropped: the engine has ended.
        let _ = stop.await;
    };
    bound.serve(api, stop).await;
}

/// Spawns one task into a set: joining it a second time returns `None` instead of panicking.
fn spawned<T: Send + 'static>(task: impl Future<Output = T> + Send + 'static) -> JoinSet<T> {
    let mut set = JoinSet::new();
    set.spawn(task);
    set
}

/// Runs the dispatcher, if there is one; without it, notifications stay in the log.
async fn dispatch(
    dispatcher: Option<dispatcher::Dispatcher>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), dispatcher::Error> {
    let stop = async move {
        let _ = stop.wait_for(|stop| *stop).await;
    };
    match dispatcher {
        Some(dispatcher) => dispatcher.run(stop).await,
        None => {
            stop.await;
            Ok(())
        }
    }
}

/// The two signals that stop the engine in order.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    /// Received and ignored. Its default action would kill the process at a limit on file size;
    /// a write there fails instead, as it does on a full disk.
    _file_size: tokio::signal::unix::Signal,
}

/// `SIGXFSZ`; the number is the same on all supported systems.
const FILE_SIZE: i32 = 25;

impl Signals {
    fn new() -> std::io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            _file_size: signal(SignalKind::from_raw(FILE_SIZE))?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

//! `pricedrop run`: puts adapters behind seams, starts the parts, waits for a
//! signal, and lets everything end in order.
//!
//! ```text
//! HTTP ─▶ intake ─▶ notifier (own thread) ─▶ store ─▶ dispatcher ─▶ outside
//!          stop: HTTP, then the intake, the notifier, the dispatcher, the store
//! ```
//!
//! Invariant: a part stops only when nothing before it can hand it work any
//! more, so that whatever was begun is answered.

mod banner;
mod engine;
mod glue;
mod logging;
mod measures;
mod plugins;
mod threads;

pub use plugins::refused;
pub use threads::spawn;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use pricedrop_adapters::embedded::{self, Embedded};
use pricedrop_http::{Api, Bound};
use pricedrop_model::time::SystemClock;
use pricedrop_pipeline::{dispatcher, notifier};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle as Task;

use crate::cli;
use crate::client::ADDRESS_FILE;
use crate::config::Config;
use crate::report::Stopped;

use engine::Status;

/// Runs the engine until a signal ends it, or a part breaks.
///
/// # Errors
/// It cannot start, or a part broke.
pub fn run(config: &Config, asked: &cli::Run) -> Result<(), Stopped> {
    if asked.role.is_some() {
        return Err(Stopped::usage(
            "one role alone needs a store that two processes can share, and this one is embedded",
            "run both roles together: leave --role out",
        ));
    }
    logging::start(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let stopped = runtime.block_on(Running::until_stopped(config));
    // Tasks hold the store: behind this it is closed, and its folder free.
    runtime.shutdown_timeout(Duration::from_secs(1));
    if stopped.is_ok() {
        tracing::info!("stopped");
    }
    stopped
}

/// The running parts, in the order in which they end.
struct Running {
    http: Task<Result<(), pricedrop_http::Error>>,
    stop_http: oneshot::Sender<()>,
    intake: embedded::PriceIntake,
    notifier: JoinHandle<()>,
    notifier_ended: oneshot::Receiver<Result<(), notifier::Stop>>,
    dispatcher: Task<Result<(), dispatcher::Error>>,
    stop_dispatcher: watch::Sender<bool>,
    plugins: plugins::Loaded,
    address_file: PathBuf,
    limit: Duration,
}

/// What ended the waiting.
enum Ended {
    Signal(&'static str),
    Part(Stopped),
}

impl Running {
    async fn until_stopped(config: &Config) -> Result<(), Stopped> {
        let mut signals = Signals::new()?;
        let mut running = Running::start(config).await?;
        let ended = tokio::select! {
            name = signals.next() => Ended::Signal(name),
            broken = running.broken() => Ended::Part(broken),
        };
        if let Ended::Signal(name) = &ended {
            tracing::info!(signal = name, "stopping; a second one stops at once");
        }
        let limit = running.limit;
        let drained = tokio::select! {
            drained = tokio::time::timeout(limit, running.stop()) => drained,
            _ = signals.next() => return Err(Stopped::failed("stopped at once", WHAT_IS_OPEN)),
        };
        match (ended, drained) {
            (Ended::Part(stopped), _) | (Ended::Signal(_), Ok(Err(stopped))) => Err(stopped),
            (Ended::Signal(_), Err(_)) => {
                Err(Stopped::failed("stopping took longer than limits.stop", WHAT_IS_OPEN))
            }
            (Ended::Signal(_), Ok(Ok(()))) => Ok(()),
        }
    }

    async fn start(config: &Config) -> Result<Running, Stopped> {
        let bound = bind(config).await?;
        let store = open(config)?;
        let plugins = plugins::load(config, &store).await?;
        store.set_plugins(plugins.plugins());
        let (intake, source) = store.source().map_err(|error| Stopped::failed(error, SEE_STORE))?;
        let clock = Arc::new(SystemClock);
        let notifier = config.notifier().build(
            Box::new(source),
            Box::new(store.committer()),
            Arc::new(store.watches()),
            plugins.plugins(),
            clock.clone(),
        );
        let delivered = Arc::new(dispatcher::Counters::default());
        let dispatcher = match config.flag("dispatch.enabled") {
            true => {
                Some(glue::dispatcher(config, &store, plugins.plugins(), delivered.clone(), clock.clone())?)
            }
            false => None,
        };
        let status = Status {
            notifier: notifier.counters(),
            dispatcher: delivered.clone(),
            intake: intake.clone(),
            store: store.clone(),
            plugins: plugins.clone(),
        };
        let api = glue::api(config, &store, &intake, clock, status);
        let address_file = write_address(config, &bound)?;
        banner::print(config, bound.address(), &plugins);
        let (stop_http, http_told) = oneshot::channel();
        let (_keep, never) = watch::channel(false);
        let (notifier, notifier_ended) = threads::spawn("notifier", notifier.run(never))?;
        let (stop_dispatcher, dispatcher_told) = watch::channel(false);
        Ok(Running {
            http: tokio::spawn(serve(bound, api, http_told)),
            stop_http,
            intake,
            notifier,
            notifier_ended,
            dispatcher: start_dispatcher(dispatcher, dispatcher_told),
            stop_dispatcher,
            plugins,
            address_file,
            limit: Duration::from_millis(config.number("limits.stop")),
        })
    }

    /// The first part that ends though nobody asked it to.
    async fn broken(&mut self) -> Stopped {
        let what = tokio::select! {
            ended = &mut self.http => format!("the API ended: {}", reason(ended)),
            ended = &mut self.notifier_ended => format!("the notifier ended: {}", reason(ended)),
            ended = &mut self.dispatcher => format!("the dispatcher ended: {}", reason(ended)),
        };
        Stopped::failed(what, SEE_STORE)
    }

    async fn stop(self) -> Result<(), Stopped> {
        // Whoever has ended by itself no longer listens.
        let _ = self.stop_http.send(());
        let http = self.http.await;
        self.intake.close();
        let told = self.notifier_ended.await;
        let _ = self.notifier.join();
        self.stop_dispatcher.send_replace(true);
        let delivered = self.dispatcher.await;
        self.plugins.stop().await;
        let _ = std::fs::remove_file(&self.address_file);
        let failed = |what: &str, why: String| Err(Stopped::failed(format!("{what}: {why}"), WHAT_IS_OPEN));
        match (http, told, delivered) {
            (Ok(Err(error)), ..) => failed("the API", error.to_string()),
            (_, Ok(Err(error)), _) => failed("the notifier", error.to_string()),
            (.., Ok(Err(error))) => failed("the dispatcher", error.to_string()),
            _ => Ok(()),
        }
    }
}

const WHAT_IS_OPEN: &str = "nothing is lost: what was open goes on at the next start";
const SEE_STORE: &str =
    "see the log above; when the disk is well, start the engine again, and nothing is lost";

fn reason<T, E: std::fmt::Display, J: std::fmt::Display>(ended: Result<Result<T, E>, J>) -> String {
    match ended {
        Ok(Ok(_)) => "nobody asked it to".into(),
        Ok(Err(error)) => error.to_string(),
        Err(panicked) => panicked.to_string(),
    }
}

async fn bind(config: &Config) -> Result<Bound, Stopped> {
    let bound = pricedrop_http::bind(config.http()?).await;
    bound.map_err(|error| Stopped::usage(&error, error.remedy()))
}

fn open(config: &Config) -> Result<Embedded, Stopped> {
    config.embedded().build().map_err(|error| {
        let remedy = match &error {
            embedded::Error::InUse(_) => "stop the engine that runs there, or name another data.folder",
            embedded::Error::Folder { .. } => "make the folder writable, or name another data.folder",
            embedded::Error::Store { .. } => "free the disk or restore the folder; nothing was changed",
        };
        Stopped::failed(&error, remedy)
    })
}

/// For commands and scripts that must find an engine on a free port.
fn write_address(config: &Config, bound: &Bound) -> Result<PathBuf, Stopped> {
    let path = config.data_folder().join(ADDRESS_FILE);
    write_whole(&path, &format!("{}\n", bound.address())).map_err(|error| {
        Stopped::failed(format!("{}: {error}", path.display()), "make the folder writable")
    })?;
    Ok(path)
}

/// Whoever reads it sees all of it or nothing.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let aside = path.with_extension("new");
    std::fs::write(&aside, text)?;
    std::fs::rename(aside, path)
}

async fn serve(bound: Bound, api: Api, told: oneshot::Receiver<()>) -> Result<(), pricedrop_http::Error> {
    let stop = async {
        // An engine that is gone stops as well.
        let _ = told.await;
    };
    bound.serve(api, stop).await
}

/// Without a dispatcher, notifications wait in the outbox.
fn start_dispatcher(
    dispatcher: Option<dispatcher::Dispatcher>,
    mut told: watch::Receiver<bool>,
) -> Task<Result<(), dispatcher::Error>> {
    tokio::spawn(async move {
        let stop = async move {
            let _ = told.wait_for(|stop| *stop).await;
        };
        match dispatcher {
            Some(dispatcher) => dispatcher.run(stop).await,
            None => {
                stop.await;
                Ok(())
            }
        }
    })
}

/// The two signals that mean: end in order.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    /// Heard and not heeded: at a limit on the size of files a write then fails,
    /// as on a full disk, where the signal would kill.
    _file_size: tokio::signal::unix::Signal,
}

/// `SIGXFSZ`, the same number on the systems this runs on.
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

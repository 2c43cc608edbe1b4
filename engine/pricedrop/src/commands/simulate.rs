//! `pricedrop simulate`: decides a file of updates without an engine; see [`crate::simulate`].

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use pricedrop_model::plugin::{NoPlugins, Plugins};

use crate::cli;
use crate::config::Config;
use crate::printable::printable;
use crate::report::CliError;
use crate::run::refused;
use crate::simulate::{Error, Simulation, Stats, WatchError};

/// Runs the command and prints every notification as a JSON line.
///
/// # Errors
/// A file or a plugin is invalid, or standard output cannot be written.
pub fn execute(config: &Config, args: &cli::Simulate) -> Result<(), CliError> {
    run_on(config, args, open(&args.updates)?)
}

/// The same for updates from another source.
///
/// # Errors
/// The watches or a plugin are invalid, or standard output cannot be written.
pub fn run_on(
    config: &Config,
    args: &cli::Simulate,
    updates: impl std::io::Read + Send + 'static,
) -> Result<(), CliError> {
    let watches = open(&args.watches)?;
    let simulation = Simulation {
        rules: config.matching_rules(),
        plugins: plugins(config, args)?,
        // The point of a policy here is to test it, so every product is read by bucket.
        bucket_threshold: 0,
    };
    let out = BufWriter::new(std::io::stdout());
    // Standard error may be closed.
    let report_line = |line: u64, reason: &str| {
        let _ = writeln!(std::io::stderr(), "line {line}: {}", printable(reason));
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = simulation.run(BufReader::new(watches), BufReader::new(updates), out, report_line);
    let (thread, ended) = {
        let _runtime = runtime.enter();
        crate::run::spawn("simulation", run)?
    };
    let stats = runtime.block_on(ended);
    let _ = thread.join();
    let stats =
        stats.map_err(|error| CliError::failed(error, ""))?.map_err(|error| error_of(args, &error))?;
    if args.stats {
        let _ = writeln!(std::io::stderr(), "{}", describe(&stats));
    }
    Ok(())
}

fn open(path: &Path) -> Result<File, CliError> {
    File::open(path).map_err(|error| {
        CliError::usage(format!("{} cannot be read: {error}", path.display()), "name an existing file")
    })
}

/// Returns the plugins of `--plugins`, else those of the configured folder. The configuration names
/// policies of its own folder; of another folder the only one is used.
fn plugins(config: &Config, args: &cli::Simulate) -> Result<Arc<dyn Plugins>, CliError> {
    let named = config.plugins.folder.clone();
    let Some(folder) = args.plugins.clone().or(named) else {
        return Ok(Arc::new(NoPlugins));
    };
    if !folder.is_dir() {
        let what = format!("{} is not a folder", folder.display());
        return Err(CliError::usage(what, "name the folder of the plugins with --plugins"));
    }
    let here = |stem: &String| args.plugins.is_none() || folder.join(format!("{stem}.wasm")).is_file();
    let configured = config.host_options();
    let options = pricedrop_host::Options {
        bucketing: configured.bucketing.filter(here),
        throttling: configured.throttling.filter(here),
        folder: folder.clone(),
        data_dir: None,
        reload: false,
        ..config.host_options()
    };
    Ok(Arc::new(options.build().map_err(refused)?))
}

fn error_of(args: &cli::Simulate, error: &Error) -> CliError {
    match error {
        Error::Watches(error) => {
            let what = format!("{}: {error}", args.watches.display());
            let remedy = match error {
                WatchError::File(error) => error.remedy(),
                WatchError::Line { .. } => "correct the line; nothing was simulated".into(),
            };
            CliError::failed(what, remedy)
        }
        Error::Output(_) => CliError::OutputClosed,
        Error::Stopped(stop) => CliError::failed(stop, ""),
    }
}

fn describe(stats: &Stats) -> String {
    let Stats { updates, stale, held, skipped, drops, notifications, deduplicated, dead, .. } = stats;
    let Stats { rows_read, bucket_reads, bucketed_products, buckets, fullest_bucket, .. } = stats;
    let mut text = format!(
        "updates {updates}, stale {stale}, held {held}, skipped {skipped}, drops {drops}, \
         notifications {notifications}, deduplicated {deduplicated}, dead {dead}, rows read {rows_read}"
    );
    if *bucketed_products > 0 {
        text += &format!(
            "\nreads by bucket {bucket_reads}, products in buckets {bucketed_products}, \
             buckets {buckets}, watches in the fullest {fullest_bucket}"
        );
    }
    text
}

//! `pricedrop store`: checks the files of the embedded store, and saves what can be read from a damaged
//! one.

use std::io::Write;

use pricedrop_embedded::salvage::{self, Salvaged};

use crate::cli;
use crate::config::Config;
use crate::remedies::SALVAGE;
use crate::report::CliError;
use crate::run::embedded::store_error;
use crate::run::keep_private;

/// Runs the subcommand.
///
/// # Errors
/// There is damage, no store, or the engine is running.
pub fn execute(config: &Config, args: &cli::Store) -> Result<(), CliError> {
    match args {
        cli::Store::Check => check(config),
        cli::Store::Salvage => save(config),
    }
}

fn check(config: &Config) -> Result<(), CliError> {
    let folder = &config.data.folder;
    let report = salvage::check(folder).map_err(store_error)?;
    let mut out = anstream::stdout();
    for finding in &report.findings {
        writeln!(out, "{finding}")?;
    }
    if !report.findings.is_empty() {
        let what = format!("the store in {} has {} damages", folder.display(), report.findings.len());
        return Err(CliError::failed(what, SALVAGE));
    }
    writeln!(
        out,
        "the store in {} has no damage; {} commits are in journals",
        folder.display(),
        report.commits
    )?;
    Ok(())
}

fn save(config: &Config) -> Result<(), CliError> {
    keep_private(&config.data.folder);
    let Salvaged { findings, rows, incomplete, damaged } =
        salvage::salvage(&config.data.folder).map_err(store_error)?;
    let mut out = anstream::stdout();
    for finding in &findings {
        writeln!(out, "damaged: {finding}")?;
    }
    for (table, rows) in rows.iter().filter(|(table, rows)| *rows > 0 || incomplete.contains(table)) {
        let note = if incomplete.contains(table) { "  rows are missing" } else { "" };
        writeln!(out, "{table:<14} {rows:>10} rows saved{note}")?;
    }
    writeln!(out, "the damaged store is in {}; delete it when nothing is missed", damaged.display())?;
    Ok(())
}

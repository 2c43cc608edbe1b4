//! `pricedrop schema`: prints, creates and checks the tables in Cassandra.

use std::io::Write;

use pricedrop_cassandra::schema;

use super::findings::{self, Finding};
use crate::cli;
use crate::config::{Config, key};
use crate::remedies;
use crate::report::CliError;

/// Runs the subcommand.
///
/// # Errors
/// Cassandra is unavailable or refuses, or a table has another shape.
pub fn execute(config: &Config, args: cli::Schema) -> Result<(), CliError> {
    super::needs(config.stores.cassandra(), key!(stores.watches), "cassandra")?;
    let options = config.cassandra_options()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match args {
        cli::Schema::Apply => {
            let created =
                runtime.block_on(schema::apply(&options)).map_err(|error| remedies::cassandra(&error))?;
            let mut out = anstream::stdout();
            for created in &created {
                writeln!(out, "created {created}")?;
            }
            if created.is_empty() {
                writeln!(out, "every table exists")?;
            }
            Ok(())
        }
        cli::Schema::Check => {
            let found =
                runtime.block_on(schema::check(&options)).map_err(|error| remedies::cassandra(&error))?;
            findings::print("tables", found.into_iter().map(Finding::from).collect())
        }
    }
}

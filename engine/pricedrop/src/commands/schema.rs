//! `pricedrop schema`: the tables in Cassandra.

use std::io::Write;

use pricedrop_cassandra as cassandra;
use pricedrop_cassandra::schema;

use super::findings::{self, Finding};
use crate::cli;
use crate::config::{Config, key};
use crate::report::Stopped;

/// Does what was asked.
///
/// # Errors
/// Cassandra is away or refuses, or a table has another shape.
pub fn execute(config: &Config, asked: cli::Schema) -> Result<(), Stopped> {
    super::needs(config.stores.cassandra(), key!(stores.watches), "cassandra")?;
    let options = config.cassandra_options()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match asked {
        cli::Schema::Apply => {
            let made = runtime.block_on(schema::apply(&options)).map_err(|error| refused(&error))?;
            let mut out = anstream::stdout();
            for made in &made {
                writeln!(out, "made {made}")?;
            }
            if made.is_empty() {
                writeln!(out, "every table is there already")?;
            }
            Ok(())
        }
        cli::Schema::Check => {
            let found = runtime.block_on(schema::check(&options)).map_err(|error| refused(&error))?;
            findings::print("tables", found.into_iter().map(Finding::from).collect())
        }
    }
}

/// What Cassandra's adapter refuses at the start, with its remedy.
pub fn refused(error: &cassandra::Error) -> Stopped {
    let remedy = match error {
        cassandra::Error::Unreachable { .. } => "start Cassandra, or mend cassandra.contact_points",
        cassandra::Error::Configuration(_) => "mend [cassandra]",
        cassandra::Error::Schema(_) => "`pricedrop schema check` lists every difference",
        cassandra::Error::Forbidden(_) => {
            "grant that, or run it as a user who may; docs/operations.md lists the grants"
        }
        cassandra::Error::Unavailable(_) => "try again when Cassandra is well",
    };
    Stopped::failed(error, remedy)
}

//! `pricedrop buckets`: the active bucketing policy, migration to another one, and repair.

use std::io::Write;

use reqwest::Method;
use serde_json::Value;

use crate::cli;
use crate::client::Client;
use crate::config::Config;
use crate::printable::printable_json;
use crate::report::CliError;

/// Runs the subcommand.
///
/// # Errors
/// The engine does not respond, or it refuses the request.
pub fn execute(config: &Config, args: cli::Buckets) -> Result<(), CliError> {
    let answer: Value = match args {
        cli::Buckets::Status { remote } => Client::new(config, &remote)?.get("/v1/buckets", &[])?,
        cli::Buckets::Repair { product, all: _, remote } => {
            let query: Vec<(&str, String)> =
                product.map(|product| ("product", product)).into_iter().collect();
            Client::new(config, &remote)?.with_migration_timeout().json(
                Method::POST,
                "/v1/buckets/repair",
                &query,
                None,
            )?
        }
        cli::Buckets::Migrate { remote } => Client::new(config, &remote)?.with_migration_timeout().json(
            Method::POST,
            "/v1/buckets/migrate",
            &[],
            None,
        )?,
    };
    Ok(writeln!(anstream::stdout(), "{}", printable_json(&format!("{answer:#}")))?)
}

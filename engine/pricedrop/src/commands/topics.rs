//! `pricedrop topics`: creates and checks the topics in Kafka.

use std::io::Write;

use pricedrop_kafka::topics;

use super::findings::{self, Finding};
use crate::cli;
use crate::config::{Config, key};
use crate::remedies;
use crate::report::CliError;

/// Runs the subcommand.
///
/// # Errors
/// Kafka is unavailable or refuses, or a topic does not have the required settings.
pub fn execute(config: &Config, args: cli::Topics) -> Result<(), CliError> {
    super::needs(config.stores.kafka(), key!(stores.log), "kafka")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match args {
        cli::Topics::Apply { shadow } => {
            let settings = config.kafka_settings(shadow)?;
            let created =
                runtime.block_on(topics::apply(&settings, config.new_topics())).map_err(remedies::kafka)?;
            let mut out = anstream::stdout();
            for created in &created {
                writeln!(out, "created topic {created}")?;
            }
            if created.is_empty() {
                writeln!(out, "every topic exists; `pricedrop topics check` checks their settings")?;
            }
            Ok(())
        }
        cli::Topics::Check { shadow } => {
            let found =
                runtime.block_on(topics::check(&config.kafka_settings(shadow)?)).map_err(remedies::kafka)?;
            findings::print("topics", found.into_iter().map(Finding::from).collect())
        }
    }
}

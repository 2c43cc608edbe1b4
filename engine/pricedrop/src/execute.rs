//! Dispatches the parsed command line to the command that it names.

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, ConfigCommand};
use crate::config::Config;
use crate::report::CliError;
use crate::{commands, run};

/// Parses the command line, runs the command, and reports how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.exit(),
    }
}

fn execute(cli: Cli) -> Result<(), CliError> {
    match cli.command {
        Command::Config(ConfigCommand::Example) => return commands::config::example(),
        Command::Config(ConfigCommand::Schema) => return commands::config::schema(),
        _ => {}
    }
    let config = Config::load(cli.config.as_deref())?;
    match cli.command {
        Command::Run(args) => run::run(&config, &args),
        Command::Simulate(args) => commands::simulate::execute(&config, &args),
        Command::Watch(args) => commands::watch::execute(&config, args),
        Command::Recipient(args) => commands::recipient::execute(&config, args),
        Command::Notifications(args) => commands::notifications::execute(&config, args),
        Command::Dlq(args) => commands::dlq::execute(&config, args),
        Command::Buckets(args) => commands::buckets::execute(&config, args),
        Command::Topics(args) => commands::topics::execute(&config, args),
        Command::Offsets(args) => commands::offsets::execute(&config, &args),
        Command::Store(args) => commands::store::execute(&config, &args),
        Command::Replay(args) => commands::replay::execute(&config, &args),
        Command::Archive(args) => commands::archive::execute(&config, &args),
        Command::Schema(args) => commands::schema::execute(&config, args),
        Command::Doctor(args) => commands::doctor::execute(&config, args.role),
        Command::Plugin(args) => commands::plugin::execute(&config, args),
        Command::Config(_) => commands::config::check(&config),
    }
}

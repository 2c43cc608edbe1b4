//! Dispatches the parsed command line to the command that it names.

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, ConfigCommand};
use crate::config::Config;
use crate::report::Stopped;
use crate::{commands, run};

/// Parses the command line, runs the command, and reports how it ended.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match execute(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(stopped) => stopped.exit(),
    }
}

fn execute(cli: Cli) -> Result<(), Stopped> {
    match cli.command {
        Command::Config(ConfigCommand::Example) => return commands::config::example(),
        Command::Config(ConfigCommand::Schema) => return commands::config::schema(),
        _ => {}
    }
    let config = Config::load(cli.config.as_deref())?;
    match cli.command {
        Command::Run(asked) => run::run(&config, &asked),
        Command::Simulate(asked) => commands::simulate::execute(&config, &asked),
        Command::Watch(asked) => commands::watch::execute(&config, asked),
        Command::Recipient(asked) => commands::recipient::execute(&config, asked),
        Command::Notifications(asked) => commands::notifications::execute(&config, asked),
        Command::Dlq(asked) => commands::dlq::execute(&config, asked),
        Command::Buckets(asked) => commands::buckets::execute(&config, asked),
        Command::Topics(asked) => commands::topics::execute(&config, asked),
        Command::Offsets(asked) => commands::offsets::execute(&config, &asked),
        Command::Replay(asked) => commands::replay::execute(&config, &asked),
        Command::Archive(asked) => commands::archive::execute(&config, &asked),
        Command::Schema(asked) => commands::schema::execute(&config, asked),
        Command::Doctor(asked) => commands::doctor::execute(&config, asked.role),
        Command::Plugin(asked) => commands::plugin::execute(&config, asked),
        Command::Config(_) => commands::config::check(&config),
    }
}

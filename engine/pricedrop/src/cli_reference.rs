//! Generates `docs/cli.md` from the help of the commands.

use std::fmt::Write as _;

use clap::{Arg, Command, CommandFactory};

use crate::cli::Cli;

/// Returns the reference of every command as Markdown.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Command line\n\n\
         <!-- Generated from the help of the commands in engine/pricedrop/src/cli.rs. -->\n\n\
         Exit codes: 0 success; 1 the command failed, or a check found a problem; 2 the arguments or the\n\
         configuration are wrong. Standard error says what is wrong, where, and what the remedy is.\n\n\
         Only the running engine may open the store. Therefore `watch`, `recipient`, `notifications`, `dlq`,\n\
         `buckets` and `plugin list` send requests to its API: at `--url`, `PRICEDROP_URL`, or the address in the\n\
         configuration, with the token that the configuration names.\n",
    );
    let mut root = Cli::command();
    root.build();
    section(&mut out, &root, &[]);
    out
}

fn section(out: &mut String, command: &Command, parents: &[&str]) {
    let path = [parents, &[command.get_name()]].concat();
    let _ = write!(out, "\n{} {}\n\n", "#".repeat(path.len() + 1), path.join(" "));
    if let Some(about) = command.get_about() {
        let _ = write!(out, "{about}.\n\n");
    }
    let usage = command.clone().render_usage().to_string();
    let _ = write!(out, "```\n{}\n```\n", usage.trim_start_matches("Usage: "));
    let arguments: Vec<&Arg> = command.get_arguments().filter(|argument| is_own(argument, &path)).collect();
    if !arguments.is_empty() {
        out.push_str("\n| Argument | Meaning |\n|---|---|\n");
    }
    for argument in arguments {
        row(out, argument);
    }
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        section(out, subcommand, &path);
    }
}

/// Returns whether an argument is listed here. Global arguments are listed once, at the top.
fn is_own(argument: &Arg, path: &[&str]) -> bool {
    let name = argument.get_id().as_str();
    !matches!(name, "help" | "version") && (path.len() == 1 || !argument.is_global_set())
}

fn row(out: &mut String, argument: &Arg) {
    let mut meaning = argument.get_help().map(|help| format!("{help}.")).unwrap_or_default();
    if let Some(variable) = argument.get_env() {
        let _ = write!(meaning, " Else the environment variable `{}`.", variable.to_string_lossy());
    }
    let words = argument.get_possible_values();
    if !words.is_empty() && argument.get_action().takes_values() {
        let words: Vec<String> = words.iter().map(|word| format!("`{}`", word.get_name())).collect();
        let _ = write!(meaning, " One of {}.", words.join(", "));
    }
    let valued = argument.get_action().takes_values();
    for default in argument.get_default_values().iter().filter(|_| valued) {
        let _ = write!(meaning, " Default: `{}`.", default.to_string_lossy());
    }
    let _ = writeln!(out, "| `{}` | {} |", spelling(argument), meaning.replace('|', "\\|"));
}

/// Writes an argument as it is typed: `--limit N`, `--json`, `<PRODUCT>`.
fn spelling(argument: &Arg) -> String {
    let value = argument.get_value_names().and_then(|names| names.first());
    let value = value.map_or_else(|| argument.get_id().as_str().to_uppercase(), ToString::to_string);
    match argument.get_long() {
        Some(long) if argument.get_action().takes_values() => format!("--{long} {value}"),
        Some(long) => format!("--{long}"),
        None => format!("<{value}>"),
    }
}

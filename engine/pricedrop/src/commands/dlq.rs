//! `pricedrop dlq`: lists, shows and replays dead letters.

use std::io::Write;

use pricedrop_model::dispatch::{DeadLetter, DeadLetterId, DeadWhat};
use reqwest::Method;
use serde_json::Value;

use super::listing::{Source, field, pages, print};
use crate::cli;
use crate::client::Client;
use crate::config::Config;
use crate::printable::{printable, printable_json};
use crate::report::CliError;

const PATH: &str = "/v1/dlq";

/// Runs the subcommand.
///
/// # Errors
/// The engine does not respond, it refuses, or a dead letter could not be replayed.
pub fn execute(config: &Config, args: cli::Dlq) -> Result<(), CliError> {
    match args {
        cli::Dlq::List { after, listing, remote } => {
            let query = after.into_iter().map(|after| ("after", after.to_string())).collect();
            print(&Client::new(config, &remote)?, &source(query), &listing, line)
        }
        cli::Dlq::Show { id, remote } => show(&Client::new(config, &remote)?, &id),
        cli::Dlq::Replay { ids, all, remote } => {
            let client = Client::new(config, &remote)?;
            let ids = if all { all_ids(&client)? } else { ids };
            replay(&client, &ids)
        }
    }
}

fn source<'a>(query: Vec<(&'a str, String)>) -> Source<'a> {
    Source { path: PATH, query, field: "deadLetters" }
}

fn line(letter: &Value) -> String {
    let what = match serde_json::from_value::<DeadLetter>(letter.clone()) {
        Ok(DeadLetter { what: DeadWhat::Update { partition, offset, .. }, .. }) => {
            format!("update {partition}/{offset}")
        }
        Ok(DeadLetter { what: DeadWhat::Notification { partition, offset, .. }, .. }) => {
            format!("notification {partition}/{offset}")
        }
        Ok(DeadLetter { what: DeadWhat::Delivery { retry, .. }, .. }) => {
            let (product, to) = (&retry.notification.product_id, &retry.to);
            printable(&format!("{product} to {} by {}", to.user_id, to.channel))
        }
        Err(_) => "unknown".into(),
    };
    format!("{}\t{what}\t{}", field(letter, "id"), field(letter, "reason"))
}

fn show(client: &Client, id: &DeadLetterId) -> Result<(), CliError> {
    let letter: Value = client.get(&format!("{PATH}/{id}"), &[])?;
    Ok(writeln!(anstream::stdout(), "{}", printable_json(&format!("{letter:#}")))?)
}

/// Returns the ids of all dead letters. They are read before the first replay, so that a letter
/// that fails again and gets a new dead letter is not replayed twice.
fn all_ids(client: &Client) -> Result<Vec<DeadLetterId>, CliError> {
    let mut ids = Vec::new();
    pages(client, &source(Vec::new()), 0, |letter| {
        ids.extend(field(&letter, "id").parse::<DeadLetterId>());
        Ok(())
    })?;
    Ok(ids)
}

fn replay(client: &Client, ids: &[DeadLetterId]) -> Result<(), CliError> {
    let mut failed = false;
    for id in ids {
        let path = format!("{PATH}/{id}/replay");
        match client.json::<Value>(Method::POST, &path, &[], None) {
            Ok(answer) => writeln!(anstream::stdout(), "{id}: {}", field(&answer, "outcome"))?,
            Err(error) if ids.len() == 1 => return Err(error),
            Err(error) => {
                eprint!("{id}: ");
                error.exit();
                failed = true;
            }
        }
    }
    if failed { Err(CliError::Reported) } else { Ok(()) }
}

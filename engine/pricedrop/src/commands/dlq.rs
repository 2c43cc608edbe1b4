//! `pricedrop dlq`.

use std::io::Write;

use pricedrop_model::dispatch::{DeadItem, DeadWhat};
use reqwest::Method;
use serde_json::Value;

use super::listing::{Source, field, pages, print};
use crate::cli;
use crate::client::Client;
use crate::config::Config;
use crate::report::Stopped;

const PATH: &str = "/v1/dead-letters";

/// Does what was asked.
///
/// # Errors
/// No engine answers, it refuses, or an item could not be replayed.
pub fn execute(config: &Config, asked: cli::Dlq) -> Result<(), Stopped> {
    match asked {
        cli::Dlq::List { after, listing, remote } => {
            let query = after.into_iter().map(|after| ("after", after.to_string())).collect();
            print(&Client::new(config, &remote)?, &source(query), &listing, line)
        }
        cli::Dlq::Show { number, remote } => show(&Client::new(config, &remote)?, number),
        cli::Dlq::Replay { numbers, all, remote } => {
            let client = Client::new(config, &remote)?;
            let numbers = if all { all_numbers(&client)? } else { numbers };
            replay(&client, &numbers)
        }
    }
}

fn source<'a>(query: Vec<(&'a str, String)>) -> Source<'a> {
    Source { path: PATH, query, field: "deadLetters" }
}

fn line(item: &Value) -> String {
    let what = match serde_json::from_value::<DeadItem>(item.clone()) {
        Ok(DeadItem { what: DeadWhat::Update { partition, offset, .. }, .. }) => {
            format!("update {partition}/{offset}")
        }
        Ok(DeadItem { what: DeadWhat::Notification { partition, offset, .. }, .. }) => {
            format!("notification {partition}/{offset}")
        }
        Ok(DeadItem { what: DeadWhat::Delivery { retry, .. }, .. }) => {
            format!("{} to {} by {}", retry.notification.product_id, retry.to.user_id, retry.to.channel)
        }
        Err(_) => "unknown".into(),
    };
    format!("{}\t{what}\t{}", field(item, "number"), field(item, "reason"))
}

fn show(client: &Client, number: i64) -> Result<(), Stopped> {
    let item: Value = client.get(&format!("{PATH}/{number}"), &[])?;
    Ok(writeln!(anstream::stdout(), "{item:#}")?)
}

/// Those there are before the first is replayed: one that dies again is not
/// replayed twice.
fn all_numbers(client: &Client) -> Result<Vec<i64>, Stopped> {
    let mut numbers = Vec::new();
    pages(client, &source(Vec::new()), 0, |item| {
        numbers.extend(item.get("number").and_then(Value::as_i64));
        Ok(())
    })?;
    Ok(numbers)
}

fn replay(client: &Client, numbers: &[i64]) -> Result<(), Stopped> {
    let mut failed = false;
    for number in numbers {
        let path = format!("{PATH}/{number}/replay");
        match client.json::<Value>(Method::POST, &path, &[], None) {
            Ok(answer) => writeln!(anstream::stdout(), "{number}: {}", field(&answer, "outcome"))?,
            Err(stopped) if numbers.len() == 1 => return Err(stopped),
            Err(stopped) => {
                eprint!("{number}: ");
                stopped.exit();
                failed = true;
            }
        }
    }
    if failed { Err(Stopped::No) } else { Ok(()) }
}

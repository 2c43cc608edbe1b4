//! `pricedrop notifications`: lists what the notifier has committed.

use std::io::Write;

use reqwest::Method;
use serde_json::Value;

use super::listing::field;
use crate::cli::{self, Listing};
use crate::client::Client;
use crate::config::Config;
use crate::printable::printable_json;
use crate::report::CliError;

/// Runs the subcommand.
///
/// # Errors
/// The engine does not respond, or it refuses the request.
pub fn execute(config: &Config, args: cli::Notifications) -> Result<(), CliError> {
    let cli::Notifications::List { from, partition, listing, remote } = args;
    let client = Client::new(config, &remote)?;
    let (mut seen, mut number) = (0, partition.unwrap_or(0));
    loop {
        let (next, partitions) = list(&client, (number, from), &mut seen, &listing)?;
        if listing.limit > 0 && seen == listing.limit {
            let of = if partitions > 1 { format!(" --partition {number}") } else { String::new() };
            eprintln!(
                "the first {seen} are printed; continue with --from {next}{of}, or print all with --limit 0"
            );
            return Ok(());
        }
        number += 1;
        if partition.is_some() || i64::from(number) >= partitions {
            return Ok(());
        }
    }
}

/// Prints a partition from an offset on. Returns the offset at which it ended, and
/// the number of partitions.
fn list(
    client: &Client,
    (partition, mut from): (i32, i64),
    seen: &mut usize,
    listing: &Listing,
) -> Result<(i64, i64), CliError> {
    loop {
        let page = page(client, (partition, from), *seen, listing)?;
        let next = page.next_offset.unwrap_or(from);
        for line in String::from_utf8_lossy(&page.body).lines() {
            print(line, listing.json)?;
            *seen += 1;
        }
        if next == from || (listing.limit > 0 && *seen >= listing.limit) {
            return Ok((next, page.partitions.unwrap_or(1)));
        }
        from = next;
    }
}

fn page(
    client: &Client,
    (partition, from): (i32, i64),
    seen: usize,
    listing: &Listing,
) -> Result<crate::client::ApiResponse, CliError> {
    let mut query = vec![("partition", partition.to_string()), ("from", from.to_string())];
    if listing.limit > 0 {
        query.push(("limit", (listing.limit - seen).to_string()));
    }
    client.send(Method::GET, "/v1/notifications", &query, None)
}

fn print(line: &str, json: bool) -> Result<(), CliError> {
    let mut out = anstream::stdout();
    match serde_json::from_str(line) {
        Ok(notification) if !json => Ok(writeln!(out, "{}", describe(&notification))?),
        _ => Ok(writeln!(out, "{}", printable_json(line))?),
    }
}

/// Describes who was notified of which price, and why.
fn describe(notification: &Value) -> String {
    let get = |name| field(notification, name);
    let mut text = format!("{} told about {}: {}", get("userId"), get("productId"), get("newPrice"));
    for (name, before) in [("watchPrice", " <= "), ("previousPrice", ", was "), ("currency", " ")] {
        if notification.get(name).is_some() {
            text += before;
            text += &get(name);
        }
    }
    text
}

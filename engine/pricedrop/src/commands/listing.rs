//! Reads lists of the API page by page, and prints them as a table or as JSON lines.

use std::io::Write;

use serde::Deserialize;
use serde_json::Value;

use crate::cli::Listing;
use crate::client::Client;
use crate::printable::{printable, printable_json};
use crate::report::CliError;

/// A list of the API.
pub struct Source<'a> {
    /// The path of the request.
    pub path: &'a str,
    /// The query of the request.
    pub query: Vec<(&'a str, String)>,
    /// The field of the response that holds the entries.
    pub field: &'a str,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    next: Option<Value>,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

/// Passes every entry to `each`, up to the limit (0: none). Returns the number of entries.
///
/// # Errors
/// The engine does not respond, or `each` fails.
pub fn pages(
    client: &Client,
    source: &Source<'_>,
    limit: usize,
    mut each: impl FnMut(Value) -> Result<(), CliError>,
) -> Result<usize, CliError> {
    let (mut seen, mut after) = (0, None::<String>);
    loop {
        let mut query = source.query.clone();
        query.extend(after.clone().map(|after| ("after", after)));
        if limit > 0 {
            query.push(("limit", (limit - seen).to_string()));
        }
        let mut page: Page = client.get(source.path, &query)?;
        let Some(Value::Array(entries)) = page.rest.remove(source.field) else {
            return Ok(seen);
        };
        for entry in entries {
            each(entry)?;
            seen += 1;
        }
        let next = page.next.filter(|next| !next.is_null()).map(as_text);
        if next.is_some() && next == after {
            let what = format!("{} sent the same page twice", source.path);
            return Err(CliError::failed(what, "check that an engine listens at this address"));
        }
        after = next;
        if after.is_none() || (limit > 0 && seen >= limit) {
            return Ok(seen);
        }
    }
}

/// Prints a list.
///
/// # Errors
/// The engine does not respond, or standard output cannot be written.
pub fn print(
    client: &Client,
    source: &Source<'_>,
    listing: &Listing,
    line: impl Fn(&Value) -> String,
) -> Result<(), CliError> {
    let mut out = anstream::stdout();
    let seen = pages(client, source, listing.limit, |entry| {
        let text = if listing.json { printable_json(&entry.to_string()) } else { line(&entry) };
        Ok(writeln!(out, "{text}")?)
    })?;
    if seen == 0 && !listing.json {
        eprintln!("none");
    }
    if listing.limit > 0 && seen == listing.limit {
        eprintln!("the first {seen} are printed; --limit 0 prints all");
    }
    Ok(())
}

/// Returns a field as text that can be printed, without quotes.
pub fn field(entry: &Value, name: &str) -> String {
    entry.get(name).cloned().map(as_text).map(|text| printable(&text)).unwrap_or_default()
}

fn as_text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

//! `pricedrop recipient`: adds, lists, imports and removes the addresses of users.

use std::io::Write;

use pricedrop_http::read_recipient;
use pricedrop_model::UserId;
use pricedrop_model::dispatch::Recipient;
use reqwest::Method;
use serde_json::Value;

use super::import::{Kind, import};
use super::listing::{Source, field, print};
use super::watch::delete;
use crate::cli;
use crate::client::Client;
use crate::config::Config;
use crate::input::{Columns, Row};
use crate::printable::printable;
use crate::report::CliError;

const PATH: &str = "/v1/recipients";

/// Runs the subcommand.
///
/// # Errors
/// The engine does not respond, it refuses, or the answer is no.
pub fn execute(config: &Config, args: cli::Recipient) -> Result<(), CliError> {
    match args {
        cli::Recipient::Add { user, channel, address, locale, attributes, remote } => {
            let recipient = recipient(&user, &channel, &address, locale.as_deref(), &attributes);
            let recipient =
                recipient.map_err(|error| CliError::usage(error, "see `pricedrop recipient add --help`"))?;
            add(&Client::new(config, &remote)?, &recipient)
        }
        cli::Recipient::List { user, listing, remote } => {
            let query = user.into_iter().map(|user| ("user", user)).collect();
            let source = Source { path: PATH, query, field: "recipients" };
            print(&Client::new(config, &remote)?, &source, &listing, line)
        }
        cli::Recipient::Remove { user, channel, address, remote } => {
            let query = [("user", user), ("channel", channel), ("address", address)];
            delete(&Client::new(config, &remote)?, PATH, &query, "address")
        }
        cli::Recipient::Import { file, remote } => import(&Client::new(config, &remote)?, &file, &KIND),
    }
}

const KIND: Kind<Recipient> = Kind {
    name: "recipients",
    path: PATH,
    columns: COLUMNS,
    from_row,
    from_json: read_recipient,
    user: |recipient| &recipient.user_id,
};

const COLUMNS: Columns = Columns { names: &["user_id", "channel", "address", "locale"], required: 3 };

fn from_row(row: &Row) -> Result<Recipient, String> {
    Ok(Recipient {
        user_id: UserId::new(row.required("user_id")?).map_err(|error| error.to_string())?,
        channel: row.required("channel")?.to_owned(),
        address: row.required("address")?.to_owned(),
        locale: row.optional("locale").map(str::to_owned),
        attributes: Vec::new(),
    })
}

fn recipient(
    user: &str,
    channel: &str,
    address: &str,
    locale: Option<&str>,
    attributes: &[String],
) -> Result<Recipient, String> {
    let pairs = attributes.iter().map(|pair| {
        let split =
            pair.split_once('=').ok_or_else(|| format!("--attribute must be name=value, not {pair:?}"));
        split.map(|(name, value)| (name.to_owned(), value.to_owned()))
    });
    Ok(Recipient {
        user_id: UserId::new(user).map_err(|error| error.to_string())?,
        channel: channel.to_owned(),
        address: address.to_owned(),
        locale: locale.map(str::to_owned),
        attributes: pairs.collect::<Result<_, _>>()?,
    })
}

fn add(client: &Client, recipient: &Recipient) -> Result<(), CliError> {
    let body = serde_json::to_vec(recipient).expect("recipients are plain text");
    let _: Value = client.json(Method::PUT, PATH, &[], Some(body))?;
    let Recipient { user_id, channel, address, .. } = recipient;
    let text = format!("{user_id} is reached on {channel} at {address}");
    Ok(writeln!(anstream::stdout(), "{}", printable(&text))?)
}

fn line(recipient: &Value) -> String {
    ["userId", "channel", "address", "locale"]
        .map(|name| field(recipient, name))
        .join("\t")
        .trim_end()
        .to_owned()
}

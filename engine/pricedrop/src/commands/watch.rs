//! `pricedrop watch`: adds, lists, imports and removes watches.

use std::io::Write;

use pricedrop_http::read_watch;
use pricedrop_model::{Currency, Mode, Price, ProductId, UserId, WallTime, Watch};
use reqwest::Method;
use serde_json::Value;

use super::import::{Kind, import, print_effective};
use super::listing::{Source, field, print};
use crate::cli;
use crate::client::Client;
use crate::config::Config;
use crate::printable::printable;
use crate::report::CliError;
use crate::simulate::WATCH_COLUMNS;

const PATH: &str = "/v1/watches";

/// Runs the subcommand.
///
/// # Errors
/// The engine does not respond, it refuses, or the answer is no.
pub fn execute(config: &Config, args: cli::Watch) -> Result<(), CliError> {
    match args {
        cli::Watch::Add { product, price, user, mode, currency, remote } => {
            let watch = watch(&product, &price, &user, mode.as_deref(), currency.as_deref());
            let watch = watch.map_err(|error| CliError::usage(error, "see `pricedrop watch add --help`"))?;
            add(&Client::new(config, &remote)?, &watch)
        }
        cli::Watch::List { product, listing, remote } => {
            let query = product.into_iter().map(|product| ("product", product)).collect();
            let source = Source { path: PATH, query, field: "watches" };
            print(&Client::new(config, &remote)?, &source, &listing, line)
        }
        cli::Watch::Remove { product, price, user, remote } => {
            let query = [("product", product), ("price", price), ("user", user)];
            delete(&Client::new(config, &remote)?, PATH, &query, "watch")
        }
        cli::Watch::Import { file, remote } => import(&Client::new(config, &remote)?, &file, &KIND),
    }
}

/// How the import reads and posts watches: the same tables as `simulate`. The store sets
/// `updated_at` itself.
const KIND: Kind<Watch> = Kind {
    name: "watches",
    path: PATH,
    columns: WATCH_COLUMNS,
    from_row: crate::simulate::read_watch,
    from_json: read_watch,
    user: |watch| &watch.user_id,
};

/// Parses a watch from command-line arguments.
fn watch(
    product: &str,
    price: &str,
    user: &str,
    mode: Option<&str>,
    currency: Option<&str>,
) -> Result<Watch, String> {
    let describe = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
    let unknown_mode = |name: &str| format!("mode must be every-drop, crossing or once, not {name:?}");
    Ok(Watch {
        product_id: ProductId::new(product).map_err(|error| error.to_string())?,
        price_watch_value: Price::parse(price).map_err(|error| describe("the price", &error))?,
        user_id: UserId::new(user).map_err(|error| error.to_string())?,
        mode: mode.map(|name| Mode::from_name(name).ok_or_else(|| unknown_mode(name))).transpose()?,
        currency: currency.map(Currency::new).transpose().map_err(|error| error.to_string())?,
        updated_at: None,
    })
}

fn add(client: &Client, watch: &Watch) -> Result<(), CliError> {
    let body = serde_json::to_vec(watch).expect("watches are plain text and numbers");
    let answer: Value = client.json(Method::PUT, PATH, &[], Some(body))?;
    let Watch { product_id, price_watch_value, user_id, .. } = watch;
    let text = format!("{user_id} is notified when {product_id} is at or below {price_watch_value}; it ");
    writeln!(anstream::stdout(), "{}{}", printable(&text), state(watch, &answer))?;
    print_effective(effective_by(&answer))
}

/// Says what the product costs, and when the user is notified if that is not simply the next time
/// the price is low enough.
fn state(watch: &Watch, answer: &Value) -> String {
    let price = match answer.get("currentPrice") {
        Some(Value::Null) | None => return "has no price yet".to_owned(),
        Some(price) => price,
    };
    let threshold = watch.price_watch_value;
    let reached = answer.get("reached") == Some(&Value::Bool(true));
    match (reached, answer.get("rearmsAbove")) {
        (false, None) => format!("costs {price} now"),
        (false, Some(above)) => {
            format!("costs {price} now; the watch fires after the price has been above {above}")
        }
        (true, None) => {
            format!(
                "costs {price} now, which is low enough already: no notification is sent for this price, but at \
                 the next drop to {threshold} or below"
            )
        }
        (true, Some(above)) => {
            format!(
                "costs {price} now, which is low enough already: no notification is sent for this price, but at \
                 the first drop to {threshold} or below after the price has been above {above}"
            )
        }
    }
}

/// Returns the time from which drops use the change; `None` if they do already.
fn effective_by(answer: &Value) -> Option<WallTime> {
    answer.get("effectiveBy").and_then(Value::as_i64).map(WallTime)
}

fn line(watch: &Value) -> String {
    let mut line = ["productId", "priceWatchValue", "userId"].map(|name| field(watch, name)).join("\t");
    for name in ["mode", "currency"] {
        line.push('\t');
        line.push_str(&Some(field(watch, name)).filter(|text| !text.is_empty()).unwrap_or("-".into()));
    }
    line
}

/// Deletes one entry. If there was none, the command ends with exit code 1.
pub(super) fn delete(
    client: &Client,
    path: &str,
    query: &[(&str, String)],
    what: &str,
) -> Result<(), CliError> {
    let answer: Value = client.json(Method::DELETE, path, query, None)?;
    if answer.get("deleted") == Some(&Value::Bool(true)) {
        writeln!(anstream::stdout(), "deleted")?;
        return print_effective(effective_by(&answer));
    }
    eprintln!("no such {what} exists");
    Err(CliError::Reported)
}

//! The fallback message that is sent when a channel's plugin fails to render one. It contains only
//! the first item.

use pricedrop_model::dispatch::{Access, HttpRequest, Item, Mail, Message, Method, Outgoing};
use pricedrop_model::{Currency, Price, UserId};
use serde::Serialize;

/// Returns the fallback message for this address. `None` if only the plugin knows the form of the
/// channel's messages, so that the delivery has to be retried.
pub(super) fn fallback(message: &Message, access: &Access) -> Option<Outgoing> {
    let item = message.items.first()?;
    let address = message.to.address.as_str();
    if access.mail.is_some() {
        return Some(Outgoing::Mail(mail(item)));
    }
    if address.starts_with("https://") || address.starts_with("http://") {
        return Some(Outgoing::Http(request(message, item)));
    }
    // A channel with allowed hosts and an address that is no URL (a phone number, a token) does
    // not print lines: its requests have a form that only its plugin knows.
    access.hosts.is_empty().then(|| Outgoing::Line(line(message, item)))
}

fn line(message: &Message, item: &Item) -> String {
    let mut text = format!("{}: {} now {}", message.to.user_id, product(item), item.new_price.text);
    if let Some(watch) = &item.watch_price {
        text.push_str(&format!(" <= {}", watch.text));
    }
    if let Some(previous) = &item.previous_price {
        text.push_str(&format!(", was {}", previous.text));
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn mail(item: &Item) -> Mail {
    let subject = format!("{} now costs {}", product(item), item.new_price.text);
    let mut text = format!("{subject}.\n");
    if let Some(url) = attribute(item, "url") {
        text.push_str(&format!("\n{url}\n"));
    }
    let subject = subject.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    Mail { subject, text, html: None, headers: Vec::new() }
}

/// The JSON body of the HTTP request; prices are exact JSON numbers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    id: &'a str,
    user_id: &'a UserId,
    product_id: &'a str,
    new_price: Price,
    watch_price: Option<Price>,
    previous_price: Option<Price>,
    currency: Currency,
}

fn request(message: &Message, item: &Item) -> HttpRequest {
    let body = Body {
        id: &item.notification,
        user_id: &message.to.user_id,
        product_id: &item.product,
        new_price: item.new_price.amount,
        watch_price: item.watch_price.as_ref().map(|money| money.amount),
        previous_price: item.previous_price.as_ref().map(|money| money.amount),
        currency: item.new_price.currency,
    };
    HttpRequest {
        method: Method::Post,
        url: message.to.address.clone(),
        headers: vec![("content-type".into(), "application/json".into())],
        body: serde_json::to_vec(&body).expect("names and prices are JSON"),
        credential: None,
    }
}

fn product(item: &Item) -> &str {
    attribute(item, "title").unwrap_or(&item.product)
}

fn attribute<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

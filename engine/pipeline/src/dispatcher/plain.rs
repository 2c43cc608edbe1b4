//! The plain template: what is sent when a channel's plugin gives no answer.

use pricedrop_model::dispatch::{Access, Delivery, HttpRequest, Mail, Method, Outgoing};
use pricedrop_model::{Currency, Price, UserId};
use serde::Serialize;

/// The plain message for this address; none where the channel has no kind of
/// message that could be written without its plugin, so that only a retry helps.
pub(super) fn plain(delivery: &Delivery, access: &Access) -> Option<Outgoing> {
    let address = delivery.to.address.as_str();
    if access.mail.is_some() {
        return Some(Outgoing::Mail(mail(delivery)));
    }
    if address.starts_with("https://") || address.starts_with("http://") {
        return Some(Outgoing::Http(request(delivery)));
    }
    // A channel that may reach a host but gets another kind of address (a
    // number, a token) is none that prints lines.
    access.hosts.is_empty().then(|| Outgoing::Line(line(delivery)))
}

fn line(delivery: &Delivery) -> String {
    let mut text = format!("{}: {} now {}", delivery.to.user_id, product(delivery), delivery.new_price.text);
    if let Some(watch) = &delivery.watch_price {
        text.push_str(&format!(" <= {}", watch.text));
    }
    if let Some(previous) = &delivery.previous_price {
        text.push_str(&format!(", was {}", previous.text));
    }
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn mail(delivery: &Delivery) -> Mail {
    let subject = format!("{} now costs {}", product(delivery), delivery.new_price.text);
    let mut text = format!("{subject}.\n");
    if let Some(url) = attribute(delivery, "url") {
        text.push_str(&format!("\n{url}\n"));
    }
    let subject = subject.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect();
    Mail { subject, text, html: None, headers: Vec::new() }
}

/// What a plain request carries; prices as exact JSON numbers.
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

fn request(delivery: &Delivery) -> HttpRequest {
    let body = Body {
        id: &delivery.notification,
        user_id: &delivery.to.user_id,
        product_id: &delivery.product,
        new_price: delivery.new_price.amount,
        watch_price: delivery.watch_price.as_ref().map(|money| money.amount),
        previous_price: delivery.previous_price.as_ref().map(|money| money.amount),
        currency: delivery.new_price.currency,
    };
    HttpRequest {
        method: Method::Post,
        url: delivery.to.address.clone(),
        headers: vec![("content-type".into(), "application/json".into())],
        body: serde_json::to_vec(&body).expect("names and prices are JSON"),
        credential: None,
    }
}

fn product(delivery: &Delivery) -> &str {
    attribute(delivery, "title").unwrap_or(&delivery.product)
}

fn attribute<'a>(delivery: &'a Delivery, name: &str) -> Option<&'a str> {
    delivery.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

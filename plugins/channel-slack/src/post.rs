//! The request. Everything in it but the settings and templates is untrusted.

use crate::bindings::exports::pricedrop::channel::channel::{
    Body, Http, Item, Message, Method, Money, Reason, Refusal,
};
use crate::mrkdwn::{link, neutral};
use pricedrop_plugin_support::templates::{self, Context, Part, Templates};
use pricedrop_plugin_support::types::Problem;
use pricedrop_plugin_support::{Object, Settings, host_of, one_line, plain_address, problem};

/// Of a product's or a user's name, with entities.
const NAME_CHARS_MAX: usize = 120;
/// Of a price in words.
const MONEY_CHARS_MAX: usize = 60;
/// Slack truncates a text above 40,000 characters; Mattermost refuses one above 16,383.
const TEXT_CHARS_MAX: usize = 16_000;

const PARTS: &[Part] = &[Part { name: "text", line_chars: None }];

const DEFAULTS: &[(&str, &str, &str)] = &[
    ("en", "text", include_str!("../channel-slack.d/en.text")),
    ("de", "text", include_str!("../channel-slack.d/de.text")),
];

/// The settings and the templates.
pub struct Post {
    templates: Templates,
    /// Empty: any.
    link_hosts: Vec<String>,
}

impl Post {
    /// Reads the settings and tries the templates.
    pub fn new(settings: &Settings, given: Vec<(String, String, String)>) -> Result<Self, Vec<Problem>> {
        let one = |problem| vec![problem];
        let link_hosts = settings.words("link-hosts").map_err(one)?;
        if let Some(wrong) = link_hosts.iter().find(|host| host_of(&format!("https://{host}")) != Some(host))
        {
            return Err(vec![problem("link-hosts", format!("not the bare name of a host: {wrong}"))]);
        }
        let default_locale = settings.text("default-locale").map_err(one)?;
        Ok(Self { templates: Templates::new(PARTS, DEFAULTS, given, default_locale, &[])?, link_hosts })
    }

    /// One request for one message.
    pub fn render(&self, message: &Message) -> Result<Http, Refusal> {
        let url = &message.to.address;
        if host_of(url).is_none() {
            return Err(Refusal::BadRecipient("the address is not an absolute http or https URL".into()));
        }
        let locale = message.to.locale.as_deref();
        let text =
            self.templates.render(locale, "text", &self.context(message)).map_err(Refusal::Permanent)?;
        let text = text.trim();
        if text.chars().count() > TEXT_CHARS_MAX {
            return Err(Refusal::Permanent(format!("the text has more than {TEXT_CHARS_MAX} characters")));
        }
        let mut body = Object::default();
        body.text("text", text);
        Ok(Http {
            method: Method::Post,
            url: url.clone(),
            headers: vec![("content-type".into(), "application/json".into())],
            body: Body::Text(body.end()),
            credential: None,
        })
    }

    fn context(&self, message: &Message) -> Context {
        Context {
            user: name(&message.to.user),
            reason: match message.reason {
                Reason::PriceDrop => "price-drop",
                Reason::Digest => "digest",
                Reason::Test => "test",
            },
            items: message.items.iter().map(|item| self.item(item)).collect(),
            unsubscribe_url: message
                .unsubscribe_url
                .as_deref()
                .filter(|url| host_of(url).is_some())
                .map(link),
            texts: Vec::new(),
        }
    }

    fn item(&self, item: &Item) -> templates::Item {
        let attribute =
            |name| item.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let title = attribute("title").map(name).filter(|title| !title.is_empty());
        templates::Item {
            title: title.unwrap_or_else(|| name(&item.product)),
            product: name(&item.product),
            price: money(&item.new_price),
            watch_price: item.watch_price.as_ref().map(money),
            previous_price: item.previous_price.as_ref().map(money),
            url: attribute("url").filter(|url| self.may_lead(url)).map(link),
        }
    }

    fn may_lead(&self, url: &str) -> bool {
        host_of(url).is_some_and(|host| {
            self.link_hosts.is_empty() || self.link_hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
        })
    }
}

fn name(text: &str) -> String {
    neutral(&one_line(text, NAME_CHARS_MAX), NAME_CHARS_MAX)
}

fn money(money: &Money) -> String {
    neutral(&one_line(&money.text, MONEY_CHARS_MAX), MONEY_CHARS_MAX)
}

/// The URL as it is written: its path is the webhook's secret.
pub fn normalize(address: &str) -> Result<String, String> {
    let address = plain_address(address)?;
    match host_of(&address) {
        Some(_) => Ok(address),
        None => {
            Err("must be the URL of an incoming webhook, such as https://hooks.slack.com/services/...".into())
        }
    }
}

//! Builds the request. Everything in it except the settings and templates is untrusted.

use crate::mrkdwn::{link, neutral};
use pricedrop_plugin_support::channel::{Body, Http, Message, Method, Refusal, Template};
use pricedrop_plugin_support::templates::{Context, Part, Templates};
use pricedrop_plugin_support::types::Problem;
use pricedrop_plugin_support::{LinkHosts, Object, Settings, host_of, one_line, plain_address};

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
    link_hosts: LinkHosts,
}

impl Post {
    /// Reads the settings and tries the templates.
    ///
    /// # Errors
    /// Every setting or template that cannot be used.
    pub fn new(settings: &Settings, given: Vec<Template>) -> Result<Self, Vec<Problem>> {
        let link_hosts = LinkHosts::new(settings).map_err(|problem| vec![problem])?;
        Ok(Self { templates: Templates::new(PARTS, DEFAULTS, settings, given, &[])?, link_hosts })
    }

    /// One request for one message.
    ///
    /// # Errors
    /// The address is no URL, a template fails, or its text is too long.
    pub fn render(&self, message: &Message) -> Result<Http, Refusal> {
        let url = &message.to.address;
        if host_of(url).is_none() {
            return Err(Refusal::BadRecipient("the address is not an absolute http or https URL".into()));
        }
        let context = neutralized(Context::new(message, &self.link_hosts));
        let text = self.templates.render("text", &context)?;
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
}

/// The context with all of its texts neutral, and its links as Slack escapes them.
fn neutralized(mut context: Context) -> Context {
    context.user = name(&context.user);
    context.unsubscribe_url = context.unsubscribe_url.as_deref().map(link);
    for item in &mut context.items {
        item.product = name(&item.product);
        let title = name(&item.title);
        item.title = if title.is_empty() { item.product.clone() } else { title };
        item.price = money(&item.price);
        item.watch_price = item.watch_price.as_deref().map(money);
        item.previous_price = item.previous_price.as_deref().map(money);
        item.url = item.url.as_deref().map(link);
    }
    context
}

fn name(text: &str) -> String {
    neutral(&one_line(text, NAME_CHARS_MAX), NAME_CHARS_MAX)
}

fn money(text: &str) -> String {
    neutral(&one_line(text, MONEY_CHARS_MAX), MONEY_CHARS_MAX)
}

/// The URL as it is written: its path is the webhook's secret.
///
/// # Errors
/// It is not an absolute http or https URL.
pub fn normalize(address: &str) -> Result<String, String> {
    let address = plain_address(address)?;
    match host_of(&address) {
        Some(_) => Ok(address),
        None => {
            Err("must be the URL of an incoming webhook, such as https://hooks.slack.com/services/...".into())
        }
    }
}

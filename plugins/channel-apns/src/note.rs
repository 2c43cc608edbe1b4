//! The two texts of a notification and its link. Product data is untrusted.

use crate::bindings::exports::pricedrop::channel::channel::{Item, Message, Reason, Refusal};
use pricedrop_plugin_support::templates::{self, Context, Part, Templates};
use pricedrop_plugin_support::types::Problem;
use pricedrop_plugin_support::{Settings, host_of, problem};

const PARTS: &[Part] =
    &[Part { name: "title", line_chars: Some(100) }, Part { name: "body", line_chars: Some(300) }];

const DEFAULTS: &[(&str, &str, &str)] = &[
    ("en", "title", include_str!("../channel-apns.d/en.title")),
    ("en", "body", include_str!("../channel-apns.d/en.body")),
    ("de", "title", include_str!("../channel-apns.d/de.title")),
    ("de", "body", include_str!("../channel-apns.d/de.body")),
];

/// What the recipient sees.
pub struct Note {
    /// One line of at most 100 characters.
    pub title: String,
    /// One line of at most 300 characters.
    pub body: String,
    /// The link of the most important item, if it is safe.
    pub url: Option<String>,
}

/// The templates and the hosts that links may lead to.
pub struct Notes {
    templates: Templates,
    /// Empty: any host.
    link_hosts: Vec<String>,
}

impl Notes {
    /// Reads `link-hosts` and `default-locale`, and tries the templates.
    ///
    /// # Errors
    /// Every setting or template that cannot be used.
    pub fn new(settings: &Settings, given: Vec<(String, String, String)>) -> Result<Self, Vec<Problem>> {
        let link_hosts = settings.words("link-hosts").map_err(|problem| vec![problem])?;
        if let Some(wrong) = link_hosts.iter().find(|host| host_of(&format!("https://{host}")) != Some(host))
        {
            return Err(vec![problem("link-hosts", format!("not the bare name of a host: {wrong}"))]);
        }
        let default_locale = settings.text("default-locale").map_err(|problem| vec![problem])?;
        Ok(Self { templates: Templates::new(PARTS, DEFAULTS, given, default_locale, &[])?, link_hosts })
    }

    /// The texts of one message, in the recipient's locale.
    ///
    /// # Errors
    /// A template fails with this message.
    pub fn note(&self, message: &Message) -> Result<Note, Refusal> {
        let context = self.context(message);
        let locale = message.to.locale.as_deref();
        let part = |name| self.templates.render(locale, name, &context).map_err(Refusal::Permanent);
        Ok(Note {
            title: part("title")?,
            body: part("body")?,
            url: context.items.first().and_then(|item| item.url.clone()),
        })
    }

    fn context(&self, message: &Message) -> Context {
        Context {
            user: message.to.user.clone(),
            reason: match message.reason {
                Reason::PriceDrop => "price-drop",
                Reason::Digest => "digest",
                Reason::Test => "test",
            },
            items: message.items.iter().map(|item| self.item(item)).collect(),
            unsubscribe_url: message.unsubscribe_url.clone().filter(|url| host_of(url).is_some()),
            texts: Vec::new(),
        }
    }

    fn item(&self, item: &Item) -> templates::Item {
        let attribute =
            |name| item.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let title = attribute("title").filter(|title| !title.trim().is_empty());
        templates::Item {
            title: title.unwrap_or(&item.product).to_owned(),
            product: item.product.clone(),
            price: item.new_price.text.clone(),
            watch_price: item.watch_price.as_ref().map(|money| money.text.clone()),
            previous_price: item.previous_price.as_ref().map(|money| money.text.clone()),
            url: attribute("url").filter(|link| self.may_lead(link)).map(str::to_owned),
        }
    }

    fn may_lead(&self, link: &str) -> bool {
        host_of(link).is_some_and(|host| {
            self.link_hosts.is_empty() || self.link_hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
        })
    }
}

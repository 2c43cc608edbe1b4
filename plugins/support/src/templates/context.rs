//! Makes the variables of a template from a message.

use std::collections::BTreeMap;

use minijinja::Value;

use crate::channel::{self, Message, Reason};
use crate::{LinkHosts, host_of, one_line};

/// Longest title.
const TITLE_CHARS: usize = 120;
/// Longest product or user. They are ids, of which the engine takes at most 256 bytes:
/// none is cut.
const ID_CHARS: usize = 257;
/// Longest amount.
const MONEY_CHARS: usize = 60;

/// One price that dropped, as a template sees it.
#[derive(Debug, Clone, Default)]
pub struct Item {
    /// The title, else the product's name.
    pub title: String,
    /// The product's name.
    pub product: String,
    /// What it costs now, in the recipient's words.
    pub price: String,
    /// The threshold of the watch.
    pub watch_price: Option<String>,
    /// What it cost before.
    pub previous_price: Option<String>,
    /// A link that was found safe.
    pub url: Option<String>,
}

/// What a template may use.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// The recipient.
    pub user: String,
    /// The recipient's locale; it chooses the template.
    pub locale: Option<String>,
    /// `price-drop`, `digest` or `test`.
    pub reason: &'static str,
    /// At least one.
    pub items: Vec<Item>,
    /// Where the recipient ends these messages.
    pub unsubscribe_url: Option<String>,
    /// Further texts of the channel, such as settings.
    pub texts: Vec<(&'static str, String)>,
}

impl Context {
    /// What this message says, without the links that must not be followed.
    pub fn new(message: &Message, link_hosts: &LinkHosts) -> Context {
        Context {
            user: message.to.user.clone(),
            locale: message.to.locale.clone(),
            reason: match message.reason {
                Reason::PriceDrop => "price-drop",
                Reason::Digest => "digest",
                Reason::Test => "test",
            },
            items: message.items.iter().map(|item| Item::new(item, link_hosts)).collect(),
            unsubscribe_url: message.unsubscribe_url.clone().filter(|url| host_of(url).is_some()),
            texts: Vec::new(),
        }
    }

    /// The context as minijinja takes it, every text on one line.
    pub(super) fn value(&self) -> Value {
        let items: Vec<Value> = self.items.iter().map(Item::value).collect();
        let mut names: BTreeMap<&str, Value> = BTreeMap::from([
            ("user", Value::from(one_line(&self.user, ID_CHARS))),
            ("reason", Value::from(self.reason)),
            ("count", Value::from(items.len())),
            ("item", items.first().cloned().unwrap_or_default()),
            ("items", Value::from(items)),
            ("unsubscribe_url", optional(self.unsubscribe_url.as_deref())),
        ]);
        for (name, text) in &self.texts {
            names.insert(name, Value::from(text.as_str()));
        }
        Value::from_iter(names)
    }
}

impl Item {
    fn new(item: &channel::Item, link_hosts: &LinkHosts) -> Item {
        let title = item.attribute("title").filter(|title| !title.trim().is_empty());
        Item {
            title: title.unwrap_or(&item.product).to_owned(),
            product: item.product.clone(),
            price: item.new_price.text.clone(),
            watch_price: item.watch_price.as_ref().map(|money| money.text.clone()),
            previous_price: item.previous_price.as_ref().map(|money| money.text.clone()),
            url: item.attribute("url").filter(|link| link_hosts.may_lead(link)).map(str::to_owned),
        }
    }

    fn value(&self) -> Value {
        let money = |text: &str| Value::from(one_line(text, MONEY_CHARS));
        let maybe = |text: &Option<String>| text.as_deref().map_or_else(|| Value::from(()), money);
        Value::from_iter([
            ("title", Value::from(one_line(&self.title, TITLE_CHARS))),
            ("product", Value::from(one_line(&self.product, ID_CHARS))),
            ("price", money(&self.price)),
            ("watch_price", maybe(&self.watch_price)),
            ("previous_price", maybe(&self.previous_price)),
            ("url", optional(self.url.as_deref())),
        ])
    }
}

fn optional(text: Option<&str>) -> Value {
    text.map_or_else(|| Value::from(()), Value::from)
}

//! The request: ntfy's JSON form, posted to the root of the server. Everything in it
//! but the settings and templates is untrusted.

use crate::bindings::exports::pricedrop::channel::channel::{
    Body, Http, Item, Message, Method, Reason, Refusal,
};
use crate::topic::{Topic, server_of};
use pricedrop_plugin_support::templates::{self, Context, Part, Templates};
use pricedrop_plugin_support::types::Problem;
use pricedrop_plugin_support::{Object, Settings, host_of, problem};

/// Longest title.
const TITLE_CHARS_MAX: usize = 200;
/// ntfy makes a file of a message above 4,096 bytes.
const MESSAGE_BYTES_MAX: usize = 4096;

const PARTS: &[Part] =
    &[Part { name: "title", line_chars: Some(TITLE_CHARS_MAX) }, Part { name: "message", line_chars: None }];

const DEFAULTS: &[(&str, &str, &str)] = &[
    ("en", "title", include_str!("../channel-ntfy.d/en.title")),
    ("en", "message", include_str!("../channel-ntfy.d/en.message")),
    ("de", "title", include_str!("../channel-ntfy.d/de.title")),
    ("de", "message", include_str!("../channel-ntfy.d/de.message")),
];

/// The settings and the templates.
pub struct Publisher {
    templates: Templates,
    server: String,
    credential: Option<String>,
    priority: i64,
    /// A JSON list.
    tags: Option<String>,
    /// Empty: any.
    link_hosts: Vec<String>,
}

impl Publisher {
    /// Reads the settings and tries the templates.
    pub fn new(settings: &Settings, given: Vec<(String, String, String)>) -> Result<Self, Vec<Problem>> {
        let one = |problem| vec![problem];
        let default_locale = settings.text("default-locale").map_err(one)?;
        let link_hosts = settings.words("link-hosts").map_err(one)?;
        if let Some(wrong) = link_hosts.iter().find(|host| host_of(&format!("https://{host}")) != Some(host))
        {
            return Err(vec![problem("link-hosts", format!("not the bare name of a host: {wrong}"))]);
        }
        Ok(Self {
            templates: Templates::new(PARTS, DEFAULTS, given, default_locale, &[])?,
            server: server(settings).map_err(one)?,
            credential: settings.credential("credential").map_err(one)?,
            priority: priority(settings).map_err(one)?,
            tags: tags(settings).map_err(one)?,
            link_hosts,
        })
    }

    /// A topic of the configured server is written without the server.
    pub fn normalize(&self, address: &str) -> Result<String, String> {
        let Topic { server, name } = Topic::parse(address)?;
        Ok(match server.filter(|server| *server != self.server) {
            Some(server) => format!("{server}/{name}"),
            None => name,
        })
    }

    /// One request for one message.
    pub fn render(&self, message: &Message) -> Result<Http, Refusal> {
        let topic =
            Topic::parse(&message.to.address).map_err(|wrong| Refusal::BadRecipient(wrong.to_owned()))?;
        let server = topic.server.as_deref().unwrap_or(&self.server);
        Ok(Http {
            method: Method::Post,
            url: format!("{server}/"),
            headers: vec![("content-type".into(), "application/json".into())],
            body: Body::Text(self.json(message, &topic.name)?),
            // It is the configured server's; another server must not see it.
            credential: self.credential.clone().filter(|_| server == self.server),
        })
    }

    fn json(&self, message: &Message, topic: &str) -> Result<String, Refusal> {
        let context = self.context(message);
        let locale = message.to.locale.as_deref();
        let part = |name| self.templates.render(locale, name, &context).map_err(Refusal::Permanent);
        let mut json = Object::default();
        json.text("topic", topic);
        json.text("title", &part("title")?);
        json.text("message", cut(part("message")?.trim(), MESSAGE_BYTES_MAX));
        if let Some(url) = context.items.first().and_then(|item| item.url.as_deref()) {
            json.text("click", url);
        }
        if let Some(tags) = &self.tags {
            json.raw("tags", tags);
        }
        json.raw("priority", &self.priority.to_string());
        Ok(json.end())
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
            url: attribute("url").filter(|url| self.may_lead(url)).map(str::to_owned),
        }
    }

    fn may_lead(&self, url: &str) -> bool {
        host_of(url).is_some_and(|host| {
            self.link_hosts.is_empty() || self.link_hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
        })
    }
}

fn server(settings: &Settings) -> Result<String, Problem> {
    server_of(&settings.text("server")?).ok_or_else(|| {
        problem("server", "must be an http or https URL without a path, such as https://ntfy.sh")
    })
}

fn priority(settings: &Settings) -> Result<i64, Problem> {
    let priority = settings.number("priority")?;
    match (1..=5).contains(&priority) {
        true => Ok(priority),
        false => Err(problem("priority", format!("must be from 1 to 5, not {priority}"))),
    }
}

fn tags(settings: &Settings) -> Result<Option<String>, Problem> {
    let tags = settings.words("tags")?;
    let is_tag = |tag: &String| {
        !tag.is_empty() && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-_".contains(&b))
    };
    if let Some(wrong) = tags.iter().find(|tag| !is_tag(tag)) {
        return Err(problem("tags", format!("a tag has letters, digits, +, - and _ only: {wrong}")));
    }
    let quoted: Vec<_> = tags.iter().map(|tag| format!("\"{tag}\"")).collect();
    Ok((!quoted.is_empty()).then(|| format!("[{}]", quoted.join(","))))
}

/// The beginning of a text, in whole characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("a", 9), "a");
    }
}

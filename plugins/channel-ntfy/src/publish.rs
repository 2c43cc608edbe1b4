//! Builds the request: ntfy's JSON form, posted to the root of the server. Everything in it
//! but the settings and templates is untrusted.

use crate::topic::{Topic, server_of};
use pricedrop_plugin_support::channel::{Body, Http, Message, Method, Refusal, Template};
use pricedrop_plugin_support::templates::{Context, Part, Templates};
use pricedrop_plugin_support::types::Problem;
use pricedrop_plugin_support::{LinkHosts, Object, Settings, problem};

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
    link_hosts: LinkHosts,
}

impl Publisher {
    /// Reads the settings and tries the templates.
    ///
    /// # Errors
    /// Every setting or template that cannot be used.
    pub fn new(settings: &Settings, given: Vec<Template>) -> Result<Self, Vec<Problem>> {
        let one = |problem| vec![problem];
        let link_hosts = LinkHosts::new(settings).map_err(one)?;
        Ok(Self {
            templates: Templates::new(PARTS, DEFAULTS, settings, given, &[])?,
            server: server(settings).map_err(one)?,
            credential: settings.credential("credential").map_err(one)?,
            priority: priority(settings).map_err(one)?,
            tags: tags(settings).map_err(one)?,
            link_hosts,
        })
    }

    /// A topic of the configured server is written without the server.
    ///
    /// # Errors
    /// It is neither a topic nor the URL of one.
    pub fn normalize(&self, address: &str) -> Result<String, String> {
        let Topic { server, name } = Topic::parse(address)?;
        Ok(match server.filter(|server| *server != self.server) {
            Some(server) => format!("{server}/{name}"),
            None => name,
        })
    }

    /// One request for one message.
    ///
    /// # Errors
    /// The address is no topic, or a template fails.
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
        let context = Context::new(message, &self.link_hosts);
        let mut json = Object::default();
        json.text("topic", topic);
        json.text("title", &self.templates.render("title", &context)?);
        json.text("message", cut(self.templates.render("message", &context)?.trim(), MESSAGE_BYTES_MAX));
        if let Some(url) = context.items.first().and_then(|item| item.url.as_deref()) {
            json.text("click", url);
        }
        if let Some(tags) = &self.tags {
            json.raw("tags", tags);
        }
        json.raw("priority", &self.priority.to_string());
        Ok(json.end())
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

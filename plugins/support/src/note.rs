//! The title, the body and the link of a push notification.

use crate::channel::{Message, Refusal, Template};
use crate::templates::{Context, Part, Templates};
use crate::types::Problem;
use crate::{LinkHosts, Settings};

const PARTS: &[Part] =
    &[Part { name: "title", line_chars: Some(100) }, Part { name: "body", line_chars: Some(300) }];

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
    link_hosts: LinkHosts,
}

impl Notes {
    /// Reads `link-hosts` and `default-locale`, and tries the templates; the defaults
    /// are of the parts `title` and `body`.
    ///
    /// # Errors
    /// Every setting or template that cannot be used.
    pub fn new(
        defaults: &[(&str, &str, &str)],
        settings: &Settings,
        given: Vec<Template>,
    ) -> Result<Notes, Vec<Problem>> {
        let link_hosts = LinkHosts::new(settings).map_err(|problem| vec![problem])?;
        Ok(Notes { templates: Templates::new(PARTS, defaults, settings, given, &[])?, link_hosts })
    }

    /// The texts of one message, in the recipient's locale.
    ///
    /// # Errors
    /// A template fails with this message.
    pub fn note(&self, message: &Message) -> Result<Note, Refusal> {
        let context = Context::new(message, &self.link_hosts);
        Ok(Note {
            title: self.templates.render("title", &context)?,
            body: self.templates.render("body", &context)?,
            url: context.items.into_iter().next().and_then(|item| item.url),
        })
    }
}

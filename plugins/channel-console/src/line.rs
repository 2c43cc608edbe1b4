//! Builds the line of a notification. Everything in it except the settings and templates is untrusted.

use pricedrop_plugin_support::channel::{Message, Refusal, Template};
use pricedrop_plugin_support::templates::{Context, Part, Templates};
use pricedrop_plugin_support::types::Problem;
use pricedrop_plugin_support::{LinkHosts, Settings, one_line};

/// Longer lines help nobody at a terminal.
const LINE_CHARS_MAX: usize = 1024;

const PARTS: &[Part] = &[Part { name: "line", line_chars: Some(LINE_CHARS_MAX) }];

const DEFAULTS: &[(&str, &str, &str)] = &[
    ("en", "line", include_str!("../channel-console.d/en.line")),
    ("de", "line", include_str!("../channel-console.d/de.line")),
];

/// The settings and the templates.
pub struct Lines {
    templates: Templates,
    prefix: String,
}

impl Lines {
    /// Reads the settings and tries the templates.
    ///
    /// # Errors
    /// Every setting or template that cannot be used.
    pub fn new(settings: &Settings, given: Vec<Template>) -> Result<Self, Vec<Problem>> {
        Ok(Self {
            prefix: settings.text("prefix").map_err(|problem| vec![problem])?,
            templates: Templates::new(PARTS, DEFAULTS, settings, given, &[])?,
        })
    }

    /// One line for one message, such as `u1 told about P7: $79.90 <= $80.00, was $95.00`.
    ///
    /// # Errors
    /// A template fails with this message.
    pub fn render(&self, message: &Message) -> Result<String, Refusal> {
        // The built-in templates show no links; another one may show those to any host.
        let context = Context::new(message, &LinkHosts::default());
        let line = self.templates.render("line", &context)?;
        Ok(one_line(&format!("{}{line}", self.prefix), LINE_CHARS_MAX))
    }
}

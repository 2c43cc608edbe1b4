//! Builds the mail of a notification. Everything in it except the settings is untrusted.

use pricedrop_plugin_support::channel::{Mail, Message, Refusal, Template};
use pricedrop_plugin_support::templates::{Context, Part, Templates};
use pricedrop_plugin_support::types::Problem;
use pricedrop_plugin_support::{LinkHosts, Settings, problem};

/// RFC 5321, section 4.5.3.1.3, without the angle brackets.
const ADDRESS_BYTES_MAX: usize = 254;
/// Longest subject.
const SUBJECT_CHARS_MAX: usize = 250;

const PARTS: &[Part] = &[
    Part { name: "subject", line_chars: Some(SUBJECT_CHARS_MAX) },
    Part { name: "text", line_chars: None },
    Part { name: "html", line_chars: None },
];

const DEFAULTS: &[(&str, &str, &str)] = &[
    ("en", "subject", include_str!("../channel-email.d/en.subject")),
    ("en", "text", include_str!("../channel-email.d/en.text")),
    ("en", "html", include_str!("../channel-email.d/en.html")),
    ("de", "subject", include_str!("../channel-email.d/de.subject")),
    ("de", "text", include_str!("../channel-email.d/de.text")),
    ("de", "html", include_str!("../channel-email.d/de.html")),
];

/// The settings and the templates.
pub struct Letter {
    templates: Templates,
    texts: Vec<(&'static str, String)>,
    link_hosts: LinkHosts,
}

impl Letter {
    /// Reads the settings and tries the templates.
    ///
    /// # Errors
    /// Every setting or template that cannot be used.
    pub fn new(settings: &Settings, given: Vec<Template>) -> Result<Self, Vec<Problem>> {
        let one = |problem| vec![problem];
        let line = |name| {
            let text = settings.text(name)?;
            let sound = !text.chars().any(char::is_control);
            if sound { Ok(text.trim().to_owned()) } else { Err(problem(name, "must be a single line")) }
        };
        let link_hosts = LinkHosts::new(settings).map_err(one)?;
        let texts = vec![
            ("subject_prefix", line("subject-prefix").map_err(one)?),
            ("footer", line("footer").map_err(one)?),
        ];
        Ok(Self { templates: Templates::new(PARTS, DEFAULTS, settings, given, &texts)?, texts, link_hosts })
    }

    /// One mail for one message.
    ///
    /// # Errors
    /// The address is no mail address, or a template fails.
    pub fn render(&self, message: &Message) -> Result<Mail, Refusal> {
        if !is_address(&message.to.address) {
            return Err(Refusal::BadRecipient("the address is not a mail address".into()));
        }
        let texts = self.texts.clone();
        let context = Context { texts, ..Context::new(message, &self.link_hosts) };
        Ok(Mail {
            subject: self.templates.render("subject", &context)?,
            text: self.templates.render("text", &context)?,
            html: Some(self.templates.render("html", &context)?),
            headers: Vec::new(),
        })
    }
}

/// A mailbox; its domain in lower case. The local part is the server's to read.
///
/// # Errors
/// It cannot be a mail address.
pub fn normalize(address: &str) -> Result<String, String> {
    let address = address.trim();
    match address.split_once('@') {
        Some((local, domain)) if is_address(address) => {
            Ok(format!("{local}@{}", domain.to_ascii_lowercase()))
        }
        _ => Err("is not a mail address such as ann@example.com".into()),
    }
}

/// Only what no mail server could take is refused; the rest is for it to say.
fn is_address(address: &str) -> bool {
    let unsound = |c: char| c.is_whitespace() || c.is_control() || "<>,;".contains(c);
    let parts = address.split_once('@');
    address.len() <= ADDRESS_BYTES_MAX
        && !address.contains(unsound)
        && parts
            .is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty() && !domain.contains('@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_one_mailbox() {
        assert!(is_address("a.b+c@mail.example"));
        for wrong in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b,c@d", "<a@b>", "a@b\r\nx"] {
            assert!(!is_address(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn a_mailbox_is_written_in_one_way_only() {
        assert_eq!(normalize(" Ann.B@Mail.Example "), Ok("Ann.B@mail.example".into()));
        assert!(normalize("ann").is_err());
    }
}

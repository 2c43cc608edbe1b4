//! The mail. Everything in it but the settings is untrusted.

use crate::bindings::exports::pricedrop::channel::channel::{Item, Mail, Message, Reason, Refusal};
use pricedrop_plugin_support::templates::{self, Context, Part, Templates};
use pricedrop_plugin_support::types::Problem;
use pricedrop_plugin_support::{Settings, host_of, problem};

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
    /// In lower case; empty: any.
    link_hosts: Vec<String>,
}

impl Letter {
    /// Reads the settings and tries the templates.
    pub fn new(settings: &Settings, given: Vec<(String, String, String)>) -> Result<Self, Vec<Problem>> {
        let one = |problem| vec![problem];
        let line = |name| {
            let text = settings.text(name)?;
            let sound = !text.chars().any(char::is_control);
            if sound { Ok(text.trim().to_owned()) } else { Err(problem(name, "must be a single line")) }
        };
        let link_hosts = settings.words("link-hosts").map_err(one)?;
        if let Some(wrong) = link_hosts.iter().find(|host| host_of(&format!("https://{host}")) != Some(host))
        {
            return Err(vec![problem("link-hosts", format!("not the bare name of a host: {wrong}"))]);
        }
        let texts = vec![
            ("subject_prefix", line("subject-prefix").map_err(one)?),
            ("footer", line("footer").map_err(one)?),
        ];
        let default_locale = settings.text("default-locale").map_err(one)?;
        Ok(Self {
            templates: Templates::new(PARTS, DEFAULTS, given, default_locale, &texts)?,
            texts,
            link_hosts: link_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
        })
    }

    /// One mail for one message.
    pub fn render(&self, message: &Message) -> Result<Mail, Refusal> {
        if !is_address(&message.to.address) {
            return Err(Refusal::BadRecipient("the address is not a mail address".into()));
        }
        let context = self.context(message);
        let locale = message.to.locale.as_deref();
        let part = |name| self.templates.render(locale, name, &context).map_err(Refusal::Permanent);
        Ok(Mail {
            subject: part("subject")?,
            text: part("text")?,
            html: Some(part("html")?),
            headers: Vec::new(),
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
            texts: self.texts.clone(),
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

/// A mailbox; its domain in lower case. The local part is the server's to read.
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

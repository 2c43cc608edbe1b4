//! The mail. Everything in it but the settings is untrusted.

use crate::bindings::exports::pricedrop::channel::channel::{Delivery, Mail, Refusal};
use pricedrop_plugin_support::types::Problem;
use pricedrop_plugin_support::{Settings, host_of, one_line, problem};

/// RFC 5321, section 4.5.3.1.3, without the angle brackets.
const ADDRESS_BYTES_MAX: usize = 254;
/// Of a product in a mail; longer ones are cut.
const TITLE_CHARS_MAX: usize = 120;
/// Of a price in words.
const MONEY_CHARS_MAX: usize = 60;

/// The settings.
pub struct Letter {
    subject_prefix: String,
    footer: String,
    /// In lower case; empty: any.
    link_hosts: Vec<String>,
}

/// The parts of a delivery, each made safe for one line.
struct Parts<'a> {
    title: String,
    price: String,
    reasons: Vec<String>,
    link: Option<&'a str>,
}

impl Letter {
    /// Reads the settings; the problem is the first one found.
    pub fn new(settings: &Settings) -> Result<Self, Problem> {
        let line = |name| {
            let text = settings.text(name)?;
            let sound = !text.chars().any(char::is_control);
            if sound { Ok(text.trim().to_owned()) } else { Err(problem(name, "must be a single line")) }
        };
        let link_hosts = settings.words("link-hosts")?;
        if let Some(wrong) = link_hosts.iter().find(|host| host_of(&format!("https://{host}")) != Some(host))
        {
            return Err(problem("link-hosts", format!("not the bare name of a host: {wrong}")));
        }
        Ok(Self {
            subject_prefix: line("subject-prefix")?,
            footer: line("footer")?,
            link_hosts: link_hosts.iter().map(|host| host.to_ascii_lowercase()).collect(),
        })
    }

    /// One mail for one delivery.
    pub fn render(&self, delivery: &Delivery) -> Result<Mail, Refusal> {
        if !is_address(&delivery.to.address) {
            return Err(Refusal::BadRecipient("the address is not a mail address".into()));
        }
        let parts = self.parts(delivery);
        let subject = format!("{} {} now {}", self.subject_prefix, parts.title, parts.price);
        Ok(Mail {
            subject: subject.trim_start().to_owned(),
            text: self.text(&parts),
            html: Some(self.html(&parts)),
            headers: Vec::new(),
        })
    }

    fn parts<'a>(&self, delivery: &'a Delivery) -> Parts<'a> {
        let attribute = |name| {
            delivery.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
        };
        let title = attribute("title")
            .map(|title| one_line(title, TITLE_CHARS_MAX))
            .filter(|title| !title.is_empty());
        let money = |text: &str| one_line(text, MONEY_CHARS_MAX);
        let told_at = delivery
            .watch_price
            .as_ref()
            .map(|at| format!("You asked to be told at {} or less.", money(&at.text)));
        let before =
            delivery.previous_price.as_ref().map(|was| format!("It cost {} before.", money(&was.text)));
        Parts {
            title: title.unwrap_or_else(|| one_line(&delivery.product, TITLE_CHARS_MAX)),
            price: money(&delivery.new_price.text),
            reasons: told_at.into_iter().chain(before).collect(),
            link: attribute("url").filter(|link| self.may_lead(link)),
        }
    }

    fn may_lead(&self, link: &str) -> bool {
        host_of(link).is_some_and(|host| {
            self.link_hosts.is_empty() || self.link_hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
        })
    }

    fn text(&self, parts: &Parts) -> String {
        let mut text = format!("{} now costs {}.\n", parts.title, parts.price);
        for reason in &parts.reasons {
            text += &format!("{reason}\n");
        }
        if let Some(link) = parts.link {
            text += &format!("\n{link}\n");
        }
        if !self.footer.is_empty() {
            text += &format!("\n{}\n", self.footer);
        }
        text
    }

    fn html(&self, parts: &Parts) -> String {
        let title = escaped(&parts.title);
        let title = match parts.link {
            Some(link) => format!("<a href=\"{}\">{title}</a>", escaped(link)),
            None => title,
        };
        let mut html = String::from("<!doctype html>\n<html><body>\n");
        html += &format!("<p>{title} now costs <strong>{}</strong>.</p>\n", escaped(&parts.price));
        if !parts.reasons.is_empty() {
            html += &format!("<p>{}</p>\n", escaped(&parts.reasons.join(" ")));
        }
        if !self.footer.is_empty() {
            html += &format!("<p><small>{}</small></p>\n", escaped(&self.footer));
        }
        html + "</body></html>\n"
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

/// Text for HTML, between tags or in double quotes.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place_in_html() {
        assert_eq!(escaped("<a href=\"x\">&'"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
    }

    #[test]
    fn an_address_names_one_mailbox() {
        assert!(is_address("a.b+c@mail.example"));
        for wrong in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b,c@d", "<a@b>", "a@b\r\nx"] {
            assert!(!is_address(wrong), "{wrong:?}");
        }
    }
}

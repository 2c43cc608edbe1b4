//! The request that sends one text message. Everything but the settings is untrusted.

use crate::bindings::exports::pricedrop::channel::channel::{
    Body, Http, Item, Message, Method, Reason, Refusal,
};
use crate::segments::{plain, segments};
use crate::sender::Senders;
use crate::{form, phone};
use pricedrop_plugin_support::templates::{self, Context, Part, Templates};
use pricedrop_plugin_support::types::Problem;
use pricedrop_plugin_support::{Settings, host_of, one_line, problem};

const PARTS: &[Part] = &[Part { name: "text", line_chars: None }];
const DEFAULTS: &[(&str, &str, &str)] = &[
    ("en", "text", include_str!("../channel-sms.d/en.text")),
    ("de", "text", include_str!("../channel-sms.d/de.text")),
];
/// Characters of a title, tried in this order until the text fits.
const TITLE_CHARS: [usize; 4] = [120, 60, 40, 24];
/// How long the provider may keep a message, seconds.
const VALIDITY_S_MAX: i64 = 36_000;

/// The settings and the templates.
pub struct TextMessages {
    templates: Templates,
    /// None: the sidecar names no account.
    url: Option<String>,
    credential: Option<String>,
    senders: Senders,
    max_segments: usize,
    /// In lower case; empty: any.
    link_hosts: Vec<String>,
}

impl TextMessages {
    /// Reads the settings and tries the templates.
    pub fn new(settings: &Settings, given: Vec<(String, String, String)>) -> Result<Self, Vec<Problem>> {
        let one = |problem| vec![problem];
        let default_locale = settings.text("default-locale").map_err(one)?;
        Ok(Self {
            templates: Templates::new(PARTS, DEFAULTS, given, default_locale, &[])?,
            url: url(settings).map_err(one)?,
            credential: settings.credential("credential").map_err(one)?,
            senders: settings.words("senders").and_then(|words| Senders::new(&words)).map_err(one)?,
            max_segments: max_segments(settings).map_err(one)?,
            link_hosts: link_hosts(settings).map_err(one)?,
        })
    }

    /// One request for one message.
    pub fn render(&self, message: &Message) -> Result<Http, Refusal> {
        let to = phone::normalize(&message.to.address).map_err(Refusal::BadRecipient)?;
        let sender = self.senders.choose(&to).ok_or_else(|| {
            let why =
                "no sender for the recipient's country; add one to the setting senders, such as \"*=MG...\"";
            Refusal::Permanent(why.into())
        })?;
        let url = self.url.clone().ok_or_else(|| {
            Refusal::Permanent("no account: set account-sid under [settings] in the sidecar".into())
        })?;
        let text = self.text(message)?;
        let from = if sender.starts_with("MG") { "MessagingServiceSid" } else { "From" };
        let mut fields = vec![("To", to.as_str()), (from, sender), ("Body", text.as_str())];
        fields.extend(message.callback_url.as_deref().map(|url| ("StatusCallback", url)));
        let validity = message.expires_ms.map(|expires_ms| validity_s(expires_ms, message.sent_ms));
        fields.extend(validity.as_deref().map(|seconds| ("ValidityPeriod", seconds)));
        Ok(Http {
            method: Method::Post,
            url,
            headers: vec![("content-type".into(), "application/x-www-form-urlencoded".into())],
            body: Body::Text(form::encode(&fields)),
            credential: self.credential.clone(),
        })
    }

    /// The text with the longest titles that fit, without links only if none fits with them.
    fn text(&self, message: &Message) -> Result<String, Refusal> {
        for with_links in [true, false] {
            for title_chars in TITLE_CHARS {
                let context = self.context(message, title_chars, with_links);
                let text = self.templates.render(message.to.locale.as_deref(), "text", &context);
                let text = plain(text.map_err(Refusal::Permanent)?.trim());
                if segments(&text) <= self.max_segments {
                    return Ok(text);
                }
            }
        }
        Err(Refusal::Permanent(format!("the text needs more than {} segments", self.max_segments)))
    }

    fn context(&self, message: &Message, title_chars: usize, with_links: bool) -> Context {
        Context {
            user: message.to.user.clone(),
            reason: match message.reason {
                Reason::PriceDrop => "price-drop",
                Reason::Digest => "digest",
                Reason::Test => "test",
            },
            items: message.items.iter().map(|item| self.item(item, title_chars, with_links)).collect(),
            unsubscribe_url: message.unsubscribe_url.clone().filter(|url| host_of(url).is_some()),
            texts: Vec::new(),
        }
    }

    fn item(&self, item: &Item, title_chars: usize, with_links: bool) -> templates::Item {
        let attribute =
            |name| item.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let title = attribute("title").filter(|title| !title.trim().is_empty()).unwrap_or(&item.product);
        templates::Item {
            title: one_line(title, title_chars),
            product: one_line(&item.product, title_chars),
            price: item.new_price.text.clone(),
            watch_price: item.watch_price.as_ref().map(|money| money.text.clone()),
            previous_price: item.previous_price.as_ref().map(|money| money.text.clone()),
            url: attribute("url").filter(|link| with_links && self.may_lead(link)).map(str::to_owned),
        }
    }

    /// ASCII only: other characters would be replaced, or cost the short alphabet.
    fn may_lead(&self, link: &str) -> bool {
        let is_allowed = |host: &str| {
            self.link_hosts.is_empty() || self.link_hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
        };
        link.is_ascii() && host_of(link).is_some_and(is_allowed)
    }
}

fn validity_s(expires_ms: i64, sent_ms: i64) -> String {
    (expires_ms.saturating_sub(sent_ms) / 1000).clamp(1, VALIDITY_S_MAX).to_string()
}

fn url(settings: &Settings) -> Result<Option<String>, Problem> {
    let base = settings.text("base-url")?;
    if host_of(&base).is_none() {
        return Err(problem("base-url", "must be an http or https URL"));
    }
    let account = settings.text("account-sid")?;
    if !account.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(problem("account-sid", "must be the account's id, letters and digits such as AC0123"));
    }
    let url = format!("{}/2010-04-01/Accounts/{account}/Messages.json", base.trim_end_matches('/'));
    Ok(Some(url).filter(|_| !account.is_empty()))
}

fn max_segments(settings: &Settings) -> Result<usize, Problem> {
    let number = usize::try_from(settings.number("max-segments")?).unwrap_or_default();
    if (1..=10).contains(&number) { Ok(number) } else { Err(problem("max-segments", "must be 1 to 10")) }
}

fn link_hosts(settings: &Settings) -> Result<Vec<String>, Problem> {
    let hosts = settings.words("link-hosts")?;
    match hosts.iter().find(|host| host_of(&format!("https://{host}")) != Some(host)) {
        Some(wrong) => Err(problem("link-hosts", format!("not the bare name of a host: {wrong}"))),
        None => Ok(hosts.iter().map(|host| host.to_ascii_lowercase()).collect()),
    }
}

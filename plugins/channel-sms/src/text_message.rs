//! Builds the request that sends one text message. Everything in it except the settings is untrusted.

use crate::segments::{plain, segments};
use crate::sender::Senders;
use crate::{form, phone};
use pricedrop_plugin_support::channel::{Body, Http, Message, Method, Refusal, Template};
use pricedrop_plugin_support::templates::{Context, Part, Templates};
use pricedrop_plugin_support::types::Problem;
use pricedrop_plugin_support::{LinkHosts, Settings, host_of, one_line, problem};

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
    link_hosts: LinkHosts,
}

impl TextMessages {
    /// Reads the settings and tries the templates.
    ///
    /// # Errors
    /// Every setting or template that cannot be used.
    pub fn new(settings: &Settings, given: Vec<Template>) -> Result<Self, Vec<Problem>> {
        let one = |problem| vec![problem];
        Ok(Self {
            templates: Templates::new(PARTS, DEFAULTS, settings, given, &[])?,
            url: url(settings).map_err(one)?,
            credential: settings.credential("credential").map_err(one)?,
            senders: settings.words("senders").and_then(|words| Senders::new(&words)).map_err(one)?,
            max_segments: max_segments(settings).map_err(one)?,
            link_hosts: LinkHosts::new(settings).map_err(one)?,
        })
    }

    /// One request for one message.
    ///
    /// # Errors
    /// The address is no phone number, no sender or account is set for it, a template
    /// fails, or its text needs too many segments.
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
                let context = shortened(Context::new(message, &self.link_hosts), title_chars, with_links);
                let text = plain(self.templates.render("text", &context)?.trim());
                if segments(&text) <= self.max_segments {
                    return Ok(text);
                }
            }
        }
        Err(Refusal::Permanent(format!("the text needs more than {} segments", self.max_segments)))
    }
}

/// The context with shorter titles, and without the links that a text message cannot carry.
/// Those are in ASCII only: other characters would be replaced, or cost the short alphabet.
fn shortened(mut context: Context, title_chars: usize, with_links: bool) -> Context {
    for item in &mut context.items {
        item.title = one_line(&item.title, title_chars);
        item.product = one_line(&item.product, title_chars);
        item.url = item.url.take().filter(|link| with_links && link.is_ascii());
    }
    context
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

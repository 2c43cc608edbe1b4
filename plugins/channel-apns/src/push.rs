//! Builds the request to APNs.

use crate::id::apns_id;
use pricedrop_plugin_support::channel::{Body, Http, Message, Method, Refusal, Template};
use pricedrop_plugin_support::types::Problem;
use pricedrop_plugin_support::{Note, Notes, Object, Settings, host_of, problem};

/// APNs refuses larger payloads.
const PAYLOAD_BYTES_MAX: usize = 4096;
const ELLIPSIS: char = '…';

const DEFAULTS: &[(&str, &str, &str)] = &[
    ("en", "title", include_str!("../channel-apns.d/en.title")),
    ("en", "body", include_str!("../channel-apns.d/en.body")),
    ("de", "title", include_str!("../channel-apns.d/de.title")),
    ("de", "body", include_str!("../channel-apns.d/de.body")),
];

/// The settings and the templates.
pub struct Push {
    notes: Notes,
    topic: String,
    base: String,
    priority: i64,
    credential: Option<String>,
}

impl Push {
    /// Reads the settings and tries the templates.
    ///
    /// # Errors
    /// Every setting or template that cannot be used.
    pub fn new(settings: &Settings, given: Vec<Template>) -> Result<Self, Vec<Problem>> {
        let one = |problem| vec![problem];
        let topic = settings.text("topic").map_err(one)?;
        if !topic.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b)) {
            return Err(vec![problem("topic", "must be the bundle id of an app")]);
        }
        let base = settings.text("base-url").map_err(one)?;
        if host_of(&base).is_none() {
            return Err(vec![problem("base-url", "must be an http or https URL")]);
        }
        let priority = settings.number("priority").map_err(one)?;
        if ![1, 5, 10].contains(&priority) {
            return Err(vec![problem("priority", format!("must be 1, 5 or 10, not {priority}"))]);
        }
        Ok(Self {
            notes: Notes::new(DEFAULTS, settings, given)?,
            topic,
            base: base.trim_end_matches('/').to_owned(),
            priority,
            credential: settings.credential("credential").map_err(one)?,
        })
    }

    /// One request for one message.
    ///
    /// # Errors
    /// The address is no device token, a template fails, or the message is too large.
    pub fn render(&self, message: &Message) -> Result<Http, Refusal> {
        let token = normalize(&message.to.address).map_err(Refusal::BadRecipient)?;
        if self.topic.is_empty() {
            let why = "no topic: set topic, the app's bundle id, under [settings] in the sidecar";
            return Err(Refusal::Permanent(why.into()));
        }
        let note = self.notes.note(message)?;
        let product = message.items.first().map(|item| item.product.as_str()).unwrap_or_default();
        let body = fitting(note, product).map_err(Refusal::Permanent)?;
        Ok(Http {
            method: Method::Post,
            url: format!("{}/3/device/{token}", self.base),
            headers: self.headers(message),
            body: Body::Text(body),
            credential: self.credential.clone(),
        })
    }

    fn headers(&self, message: &Message) -> Vec<(String, String)> {
        let mut headers = vec![
            ("content-type".into(), "application/json".into()),
            ("apns-topic".into(), self.topic.clone()),
            ("apns-push-type".into(), "alert".into()),
            ("apns-priority".into(), self.priority.to_string()),
            ("apns-id".into(), apns_id(&message.key)),
        ];
        if let Some(key) = &message.collapse_key {
            headers.push(("apns-collapse-id".into(), key.clone()));
        }
        if let Some(expires) = message.expires_ms {
            headers.push(("apns-expiration".into(), (expires.max(0) / 1000).to_string()));
        }
        headers
    }
}

/// A device token in lower case, without blanks around it.
///
/// # Errors
/// It cannot be a device token.
pub fn normalize(address: &str) -> Result<String, String> {
    let token = address.trim();
    let long_enough = (64..=200).contains(&token.len()) && token.len().is_multiple_of(2);
    match long_enough && token.bytes().all(|b| b.is_ascii_hexdigit()) {
        true => Ok(token.to_ascii_lowercase()),
        false => Err("must be a device token: 64 to 200 hexadecimal digits, an even number of them".into()),
    }
}

/// The payload: with a shorter text if it would be too large, and without the
/// link if that is not enough.
fn fitting(mut note: Note, product: &str) -> Result<String, String> {
    loop {
        let whole = payload(&note, &note.body, product);
        let Some(excess) = whole.len().checked_sub(PAYLOAD_BYTES_MAX + 1) else { return Ok(whole) };
        if let Some(text) = shortened(&note.body, excess + 1) {
            return Ok(payload(&note, &text, product));
        }
        if note.url.take().is_none() {
            return Err(format!("the payload is larger than {PAYLOAD_BYTES_MAX} bytes"));
        }
    }
}

/// The text with an ellipsis in place of its end, at least `excess` bytes shorter
/// as JSON. `None` means nothing would be left. Every character counts as its UTF-8
/// bytes, never more than it takes as JSON.
fn shortened(text: &str, excess: usize) -> Option<String> {
    let kept_bytes = text.len().checked_sub(excess + ELLIPSIS.len_utf8())?;
    let mut kept = &text[..text.floor_char_boundary(kept_bytes)];
    kept = kept.trim_end();
    if kept.is_empty() { None } else { Some(format!("{kept}{ELLIPSIS}")) }
}

fn payload(note: &Note, text: &str, product: &str) -> String {
    let mut alert = Object::default();
    alert.text("title", &note.title);
    alert.text("body", text);
    let mut aps = Object::default();
    aps.raw("alert", &alert.end());
    aps.text("sound", "default");
    aps.text("thread-id", product);
    let mut outer = Object::default();
    outer.raw("aps", &aps.end());
    outer.text("productId", product);
    if let Some(url) = &note.url {
        outer.text("url", url);
    }
    outer.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(body: String, url: Option<String>) -> Note {
        Note { title: "T".into(), body, url }
    }

    #[test]
    fn a_token_is_hexadecimal_and_written_in_lower_case() {
        assert_eq!(normalize(&format!(" {}\n", "AB".repeat(32))), Ok("ab".repeat(32)));
        assert!(normalize(&"a".repeat(200)).is_ok());
        for wrong in ["", "ab", &"a".repeat(62), &"a".repeat(65), &"a".repeat(202), &"g".repeat(64)] {
            assert!(normalize(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_large_payload_loses_the_end_of_its_text_and_stays_json() {
        for (text, link) in [("é\"", 3300), ("\\", 3700), ("€ ", 3600)] {
            let url = format!("https://a.example/{}", "x".repeat(link));
            let body = fitting(note(text.repeat(300), Some(url.clone())), "P").unwrap();
            let json: serde_json::Value = serde_json::from_str(&body).unwrap();
            assert!(body.len() <= PAYLOAD_BYTES_MAX);
            assert_eq!(json["productId"], "P");
            assert!(json["url"].is_null() || json["aps"]["alert"]["body"].as_str().unwrap().ends_with('…'));
        }
    }

    #[test]
    fn a_link_that_fills_the_payload_is_left_out_and_a_product_refused() {
        let body = fitting(note("text".into(), Some("u".repeat(5000))), "P").unwrap();
        assert!(body.contains("text") && !body.contains("url"));
        assert!(fitting(note("text".into(), None), &"p".repeat(5000)).is_err());
    }
}

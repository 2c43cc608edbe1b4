//! Builds the push message: its payload, and how long the push service keeps it.

use crate::subscription::Subscription;
use pricedrop_plugin_support::channel::{Message, Refusal, Template, Urgency, WebPush};
use pricedrop_plugin_support::types::Problem;
use pricedrop_plugin_support::{Note, Notes, Object, Settings, one_line, problem};

/// What fits into one record of RFC 8291.
const PAYLOAD_BYTES_MAX: usize = 3993;

const DEFAULTS: &[(&str, &str, &str)] = &[
    ("en", "title", include_str!("../channel-webpush.d/en.title")),
    ("en", "body", include_str!("../channel-webpush.d/en.body")),
    ("de", "title", include_str!("../channel-webpush.d/de.title")),
    ("de", "body", include_str!("../channel-webpush.d/de.body")),
];

/// The settings and the templates.
pub struct Push {
    notes: Notes,
    credential: Option<String>,
    ttl_ms: u64,
    urgency: Urgency,
}

impl Push {
    /// Reads the settings and tries the templates.
    ///
    /// # Errors
    /// Every setting or template that cannot be used.
    pub fn new(settings: &Settings, given: Vec<Template>) -> Result<Self, Vec<Problem>> {
        let one = |problem| vec![problem];
        Ok(Self {
            notes: Notes::new(DEFAULTS, settings, given)?,
            credential: settings.credential("credential").map_err(one)?,
            ttl_ms: settings.millis("ttl").map_err(one)?,
            urgency: urgency(&settings.text("urgency").map_err(one)?).map_err(one)?,
        })
    }

    /// One push message for one message.
    ///
    /// # Errors
    /// The address is no subscription, or a template fails.
    pub fn render(&self, message: &Message) -> Result<WebPush, Refusal> {
        let to = Subscription::parse(&message.to.address).map_err(Refusal::BadRecipient)?;
        let note = self.notes.note(message)?;
        let payload = payload(&note, message.collapse_key.as_deref(), PAYLOAD_BYTES_MAX)
            .ok_or_else(|| Refusal::Permanent("the payload is too long without its body, too".into()))?;
        Ok(WebPush {
            endpoint: to.endpoint,
            p256dh: to.p256dh,
            auth: to.auth,
            payload: payload.into_bytes(),
            ttl_s: ttl_s(message.expires_ms, message.sent_ms, self.ttl_ms),
            topic: message.collapse_key.clone(),
            urgency: self.urgency,
            credential: self.credential.clone(),
        })
    }
}

fn urgency(word: &str) -> Result<Urgency, Problem> {
    Ok(match word {
        "very-low" => Urgency::VeryLow,
        "low" => Urgency::Low,
        "normal" => Urgency::Normal,
        "high" => Urgency::High,
        _ => return Err(problem("urgency", "must be very-low, low, normal or high")),
    })
}

/// Seconds until the message expires, at most the longest time in milliseconds.
fn ttl_s(expires_ms: Option<i64>, sent_ms: i64, longest_ms: u64) -> u32 {
    let left = |expires: i64| u64::try_from(expires.saturating_sub(sent_ms)).unwrap_or(0);
    let ms = expires_ms.map_or(longest_ms, |expires| left(expires).min(longest_ms));
    u32::try_from(ms / 1000).unwrap_or(u32::MAX)
}

/// The payload; its body is cut until the JSON fits.
fn payload(note: &Note, tag: Option<&str>, bytes_max: usize) -> Option<String> {
    let chars = note.body.chars().count();
    (0..=chars).rev().map(|kept| json(note, kept, chars, tag)).find(|json| json.len() <= bytes_max)
}

fn json(note: &Note, kept: usize, chars: usize, tag: Option<&str>) -> String {
    let body = match kept {
        0 => String::new(),
        _ if kept == chars => note.body.clone(),
        _ => one_line(&note.body, kept),
    };
    let mut object = Object::default();
    object.text("title", &note.title);
    object.text("body", &body);
    if let Some(url) = &note.url {
        object.text("url", url);
    }
    if let Some(tag) = tag {
        object.text("tag", tag);
    }
    object.end()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_long_body_is_cut_and_the_payload_stays_json() {
        let note = Note { title: "A \"B\"".into(), body: "\"é".repeat(40), url: None };
        for bytes_max in 50..200 {
            let json = payload(&note, Some("k"), bytes_max).unwrap();
            assert!(json.len() <= bytes_max, "{json}");
            let read: serde_json::Value = serde_json::from_str(&json).unwrap();
            assert_eq!(read["title"], "A \"B\"");
        }
        assert_eq!(payload(&note, None, 5), None);
    }

    #[test]
    fn a_message_is_kept_until_it_expires_but_no_longer_than_the_setting() {
        assert_eq!(ttl_s(None, 1_000, 86_400_000), 86_400);
        assert_eq!(ttl_s(Some(61_000), 1_000, 86_400_000), 60);
        assert_eq!(ttl_s(Some(61_000), 1_000, 30_000), 30);
        assert_eq!(ttl_s(Some(500), 1_000, 30_000), 0);
    }
}

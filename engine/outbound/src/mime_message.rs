//! Builds the MIME message of a mail.
//!
//! Invariant: no text of a plugin or a product can add a recipient, a reserved header or an SMTP
//! command.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::{Address, Message};
use pricedrop_model::channel::{Mail, SendError};

use super::limits::{HEADER_BYTES, HEADERS};

/// Headers that only the host sets.
const RESERVED: [&str; 16] = [
    "auto-submitted",
    "bcc",
    "cc",
    "date",
    "dkim-signature",
    "from",
    "message-id",
    "mime-version",
    "received",
    "return-path",
    "sender",
    "subject",
    "to",
    "arc-seal",
    "arc-message-signature",
    "authentication-results",
];

/// Builds the message. Its Message-ID is derived from the idempotency key, so that receivers can
/// recognize a repeated mail. `most_bytes` limits text and HTML together.
///
/// # Errors
/// The mail is too long, or has a header that is invalid or reserved.
pub(super) fn build_message(
    from: &Mailbox,
    to: &Address,
    mail: &Mail,
    key: &str,
    unsubscribe_url: Option<&str>,
    most_bytes: usize,
) -> Result<Message, SendError> {
    let refused = |reason: String| SendError::Refused(reason);
    let bytes = mail.text.len() + mail.html.as_ref().map_or(0, String::len);
    if bytes > most_bytes {
        return Err(refused(format!("a mail of {bytes} bytes; it has at most {most_bytes}")));
    }
    let envelope = Envelope::new(Some(from.email.clone()), vec![to.clone()])
        .map_err(|error| refused(error.to_string()))?;
    let mut builder = Message::builder()
        .envelope(envelope)
        .from(from.clone())
        .to(Mailbox::new(None, to.clone()))
        .raw_header(text_header(HeaderName::new_from_ascii_str("Subject"), one_line(&mail.subject)))
        .message_id(Some(message_id(key, from.email.domain())))
        .date_now()
        .raw_header(HeaderValue::new(
            HeaderName::new_from_ascii_str("Auto-Submitted"),
            "auto-generated".into(),
        ));
    let own = unsubscribe_url.map(unsubscribe).transpose().map_err(refused)?.unwrap_or_default();
    let own_names: Vec<_> = own.iter().map(|(name, _)| *name).collect();
    for (name, value) in &own {
        let name = HeaderName::new_from_ascii_str(name);
        builder = builder.raw_header(HeaderValue::new(name, value.clone()));
    }
    for (name, value) in plugin_headers(&mail.headers).map_err(refused)? {
        let plain: &str = &name;
        if own_names.iter().any(|own| plain.eq_ignore_ascii_case(own)) {
            return Err(refused(format!("the header {plain} is reserved for the host")));
        }
        builder = builder.raw_header(text_header(name, value));
    }
    let built = match &mail.html {
        Some(html) => builder.multipart(MultiPart::alternative_plain_html(mail.text.clone(), html.clone())),
        None => builder.singlepart(SinglePart::plain(mail.text.clone())),
    };
    built.map_err(|error| SendError::Refused(error.to_string()))
}

/// Returns `List-Unsubscribe` and, if the URL is https, `List-Unsubscribe-Post` (RFC 8058).
fn unsubscribe(url: &str) -> Result<Vec<(&'static str, String)>, String> {
    let https = url.starts_with("https://");
    let fits = url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'<' && byte != b'>');
    if !fits || !(https || url.starts_with("http://")) || url.len() > HEADER_BYTES {
        return Err("the unsubscribe URL must be a URL on one line without angle brackets".into());
    }
    let mut headers = vec![("List-Unsubscribe", format!("<{url}>"))];
    if https {
        headers.push(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".into()));
    }
    Ok(headers)
}

fn message_id(key: &str, domain: &str) -> String {
    let hash = digest(&SHA256, key.as_bytes());
    let name: String = hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("<{name}@{domain}>")
}

fn plugin_headers(headers: &[(String, String)]) -> Result<Vec<(HeaderName, String)>, String> {
    if headers.len() > HEADERS {
        return Err(format!("{} headers; a mail has at most {HEADERS}", headers.len()));
    }
    headers.iter().map(|(name, value)| Ok((header_name(name)?, header_value(name, value)?))).collect()
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    let lower = name.to_ascii_lowercase();
    let fits = lower.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if RESERVED.contains(&lower.as_str()) || lower.starts_with("content-") || lower.starts_with("resent-") {
        return Err(format!("the header {name} is reserved for the host"));
    }
    match HeaderName::new_from_ascii(name.to_owned()) {
        Ok(header) if fits => Ok(header),
        _ => Err(format!("{name:?} is not a header name")),
    }
}

fn header_value(name: &str, value: &str) -> Result<String, String> {
    if value.len() > HEADER_BYTES || value.chars().any(char::is_control) {
        return Err(format!("the header {name} is longer than {HEADER_BYTES} bytes or more than one line"));
    }
    Ok(value.to_owned())
}

/// Most bytes of a text in one encoded word, so that a line with the header's name is at most 76 bytes.
const WORD_BYTES: usize = 39;

/// Returns a header that readers show as this text. lettre leaves ASCII as it is, so a text that looks
/// like an encoded word (RFC 2047), such as `=?utf-8?q?fake?=`, is encoded here.
fn text_header(name: HeaderName, text: String) -> HeaderValue {
    let looks_encoded = text.contains("=?") && (text.contains("?=") || !text.is_ascii());
    match looks_encoded {
        true => {
            let encoded = encoded_words(&text);
            HeaderValue::dangerous_new_pre_encoded(name, text, encoded)
        }
        false => HeaderValue::new(name, text),
    }
}

/// Encodes a text as encoded words in base64, one a line. Words are cut between characters.
fn encoded_words(text: &str) -> String {
    let mut words = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (word, others) = rest.split_at(rest.floor_char_boundary(WORD_BYTES));
        words.push(format!("=?utf-8?b?{}?=", STANDARD.encode(word)));
        rest = others;
    }
    words.join("\r\n ")
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn written(mail: &Mail) -> Result<String, SendError> {
        let from = "Price drops <alerts@shop.test>".parse().unwrap();
        let message = build_message(&from, &"u@example.test".parse().unwrap(), mail, "id:c:a", None, 1000)?;
        Ok(String::from_utf8(message.formatted()).unwrap())
    }

    fn mail(subject: &str, headers: &[(&str, &str)]) -> Mail {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Mail { subject: subject.into(), text: "now 79.90".into(), html: None, headers }
    }

    #[test]
    fn a_title_cannot_add_a_header() {
        let text = written(&mail("cheap\r\nBcc: all@example.test", &[])).unwrap();
        assert!(text.contains("Subject: cheap  Bcc: all@example.test\r\n"), "{text}");
        assert!(!text.contains("\r\nBcc:"));
        for (name, value) in
            [("X-A", "b\r\nBcc: c"), ("Bcc", "all@example.test"), ("X A", "b"), ("Content-Type", "x")]
        {
            assert!(written(&mail("s", &[(name, value)])).is_err(), "{name}");
        }
        assert!(written(&mail("s", &[("List-Unsubscribe", "<https://shop.test/u>")])).is_ok());
    }

    #[test]
    fn a_repeated_mail_has_the_same_message_id() {
        let id = |text: String| text.lines().find(|line| line.starts_with("Message-ID:")).map(str::to_owned);
        let first = id(written(&mail("a", &[])).unwrap());
        assert!(first.is_some());
        assert_eq!(first, id(written(&mail("b", &[])).unwrap()));
    }
}

//! Converts what a channel asks the host to send, and checks its form. The sender
//! (`engine/outbound`) checks whether it may be sent.

use pricedrop_model::channel::{HttpRequest, Mail, Method, Outgoing, Urgency, WebPush};

use super::bindings::channel::exports::pricedrop::channel::channel as wire;
use crate::limits::{HEADERS, LINE_BYTES, STATEMENT_BYTES};
use crate::settings::truncate;

/// Converts an outgoing message. Fields of one line may contain no line break, so that no text of a
/// product becomes a header or a second message.
pub(super) fn read_outgoing(outgoing: wire::Outgoing) -> Result<Outgoing, String> {
    Ok(match outgoing {
        wire::Outgoing::Http(http) => Outgoing::Http(read_http(http)?),
        wire::Outgoing::Mail(mail) => {
            one_line("subject", &mail.subject)?;
            Outgoing::Mail(Mail {
                subject: mail.subject,
                text: mail.text,
                html: mail.html,
                headers: read_headers(mail.headers)?,
            })
        }
        wire::Outgoing::WebPush(push) => Outgoing::WebPush(read_web_push(push)?),
        wire::Outgoing::Line(line) => {
            one_line("line", &line)?;
            Outgoing::Line(line)
        }
    })
}

fn read_http(http: wire::Http) -> Result<HttpRequest, String> {
    one_line("url", &http.url)?;
    credential_name(http.credential.as_ref())?;
    Ok(HttpRequest {
        method: match http.method {
            wire::Method::Get => Method::Get,
            wire::Method::Post => Method::Post,
            wire::Method::Put => Method::Put,
            wire::Method::Patch => Method::Patch,
            wire::Method::Delete => Method::Delete,
        },
        url: http.url,
        headers: read_headers(http.headers)?,
        body: match http.body {
            wire::Body::None => Vec::new(),
            wire::Body::Text(text) => text.into_bytes(),
            wire::Body::Bytes(bytes) => bytes,
        },
        credential: http.credential,
    })
}

fn read_web_push(push: wire::WebPush) -> Result<WebPush, String> {
    let texts = [("endpoint", &push.endpoint), ("p256dh", &push.p256dh), ("auth", &push.auth)];
    for (what, text) in texts.into_iter().chain(push.topic.iter().map(|topic| ("topic", topic))) {
        one_line(what, text)?;
    }
    credential_name(push.credential.as_ref())?;
    if let Some(topic) = push.topic.as_ref().filter(|topic| !is_topic(topic)) {
        return Err(format!("topic: \"{}\" is not 1 to 32 of A-Z, a-z, 0-9, - and _", truncate(topic)));
    }
    Ok(WebPush {
        endpoint: push.endpoint,
        p256dh: push.p256dh,
        auth: push.auth,
        payload: push.payload,
        ttl_s: push.ttl_s,
        topic: push.topic,
        urgency: match push.urgency {
            wire::Urgency::VeryLow => Urgency::VeryLow,
            wire::Urgency::Low => Urgency::Low,
            wire::Urgency::Normal => Urgency::Normal,
            wire::Urgency::High => Urgency::High,
        },
        credential: push.credential,
    })
}

/// Returns whether this is a topic by RFC 8030 section 5.4.
fn is_topic(topic: &str) -> bool {
    let in_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=32).contains(&topic.len()) && topic.bytes().all(in_base64url)
}

fn credential_name(name: Option<&String>) -> Result<(), String> {
    match name.filter(|name| name.len() > STATEMENT_BYTES) {
        Some(name) => Err(format!("credential: a name of {} bytes", name.len())),
        None => Ok(()),
    }
}

fn read_headers(headers: Vec<(String, String)>) -> Result<Vec<(String, String)>, String> {
    if headers.len() > HEADERS {
        return Err(format!("{} headers; at most {HEADERS}", headers.len()));
    }
    for (name, value) in &headers {
        one_line("header name", name)?;
        one_line("header value", value)?;
    }
    Ok(headers)
}

fn one_line(what: &str, text: &str) -> Result<(), String> {
    if text.len() > LINE_BYTES {
        return Err(format!("{what}: {} bytes; at most {LINE_BYTES}", text.len()));
    }
    match text.contains(['\r', '\n', '\0']) {
        true => Err(format!("{what}: more than one line")),
        false => Ok(()),
    }
}

//! Reads the provider's status callbacks and the recipients' STOP and START.

use crate::{form, phone};
use pricedrop_plugin_support::callbacks::{Bounce, Event, Outcome};

/// The events of one request.
///
/// # Errors
/// The body is neither a status nor an opt-out or opt-in.
pub fn receive(body: &[u8]) -> Result<Vec<Event>, String> {
    let fields = form::decode(body).ok_or("the body is not a form")?;
    let field = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    match field("MessageStatus") {
        Some(status) => status_event(status, field("MessageSid"), field("ErrorCode")),
        None => consent_event(field("OptOutType").or(field("Body")), field("From"), field("MessageSid")),
    }
}

fn status_event(status: &str, message: Option<&str>, code: Option<&str>) -> Result<Vec<Event>, String> {
    let outcome = match status {
        "queued" | "accepted" | "scheduled" | "sending" | "sent" => return Ok(Vec::new()),
        "delivered" => Outcome::Delivered,
        "undelivered" | "failed" => match code {
            Some("30003") => Outcome::Bounced(Bounce::Soft),
            Some("30005" | "30006") => Outcome::Bounced(Bounce::Hard),
            _ => Outcome::Failed,
        },
        _ => return Err("the message status is not known".into()),
    };
    let message = message.ok_or("the status has no MessageSid")?;
    Ok(vec![Event {
        id: None,
        key: None,
        provider_message: Some(message.to_owned()),
        address: None,
        at_ms: None,
        outcome,
        status: status.to_owned(),
        reason: code.map(|code| format!("error {code}")),
    }])
}

fn consent_event(
    word: Option<&str>,
    from: Option<&str>,
    message: Option<&str>,
) -> Result<Vec<Event>, String> {
    let word = word.ok_or("the body is neither a status nor a message")?.trim().to_ascii_uppercase();
    let outcome = match word.as_str() {
        "STOP" | "STOPALL" | "UNSUBSCRIBE" => Outcome::OptedOut,
        "START" => Outcome::OptedIn,
        _ => return Err("the message is neither STOP nor START".into()),
    };
    let address = phone::normalize(from.ok_or("the message has no From")?)?;
    Ok(vec![Event {
        id: message.map(str::to_owned),
        key: None,
        provider_message: None,
        address: Some(address),
        at_ms: None,
        outcome,
        status: word,
        reason: None,
    }])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn outcome(body: &str) -> Option<Outcome> {
        receive(body.as_bytes()).unwrap().first().map(|event| event.outcome)
    }

    #[test]
    fn a_status_becomes_an_outcome() {
        assert!(matches!(outcome("MessageSid=S&MessageStatus=delivered"), Some(Outcome::Delivered)));
        assert!(matches!(outcome("MessageSid=S&MessageStatus=failed"), Some(Outcome::Failed)));
        let soft = outcome("MessageSid=S&MessageStatus=undelivered&ErrorCode=30003");
        assert!(matches!(soft, Some(Outcome::Bounced(Bounce::Soft))));
        let hard = outcome("MessageSid=S&MessageStatus=undelivered&ErrorCode=30005");
        assert!(matches!(hard, Some(Outcome::Bounced(Bounce::Hard))));
        assert!(outcome("MessageSid=S&MessageStatus=sent").is_none());
    }

    #[test]
    fn a_recipient_may_stop_and_start() {
        let events = receive(b"From=%2B49151234567&Body=+stop").unwrap();
        assert!(matches!(events[0].outcome, Outcome::OptedOut));
        assert_eq!(events[0].address.as_deref(), Some("+49151234567"));
        assert!(matches!(outcome("From=%2B49151234567&OptOutType=START"), Some(Outcome::OptedIn)));
    }

    #[test]
    fn anything_else_cannot_be_read() {
        for body in ["", "x", "Body=hello&From=%2B49151234567", "MessageStatus=odd", "Body=%"] {
            assert!(receive(body.as_bytes()).is_err(), "{body}");
        }
    }
}

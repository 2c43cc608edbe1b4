//! Classifies the responses of APNs by their status and the reason in their body.

use pricedrop_plugin_support::channel::{BadRecipient, Classification, Reply, Scope, Temporary};
use pricedrop_plugin_support::one_line;
use serde_json::Value;

/// What the answer means.
pub fn classification(reply: Reply) -> Classification {
    let Reply::Http(response) = reply else { return Classification::Standard };
    let json: Value = serde_json::from_str(&response.body).unwrap_or_default();
    let code = json["reason"].as_str().unwrap_or_default();
    let reason = one_line(&format!("{} {code}", response.status), 200);
    let temporary = |scope| {
        let retry_after_ms = response.retry_after_ms();
        Classification::Temporary(Temporary { reason: reason.clone(), retry_after_ms, scope })
    };
    match (response.status, code) {
        (200, _) => Classification::Delivered(response.header("apns-id").map(str::to_owned)),
        (410, _) => bad_recipient(reason, json["timestamp"].as_i64()),
        (400, "BadDeviceToken" | "DeviceTokenNotForTopic") => bad_recipient(reason, None),
        (403, "ExpiredProviderToken") | (429, "TooManyRequests") => temporary(Scope::Message),
        (429, "TooManyProviderTokenUpdates") | (500 | 503, _) => temporary(Scope::Provider),
        (201..=299 | 408 | 425 | 429 | 501.., _) => Classification::Standard,
        _ => Classification::Permanent(reason),
    }
}

fn bad_recipient(reason: String, since_ms: Option<i64>) -> Classification {
    Classification::BadRecipient(BadRecipient { reason, since_ms })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pricedrop_plugin_support::channel::Response;

    fn of(status: u16, body: &str) -> Classification {
        let headers = vec![("apns-id".into(), "id-1".into()), ("retry-after".into(), "7".into())];
        classification(Reply::Http(Response { status, headers, body: body.into(), truncated: false }))
    }

    fn because(status: u16, reason: &str) -> Classification {
        of(status, &format!(r#"{{"reason":"{reason}"}}"#))
    }

    #[test]
    fn an_accepted_notification_has_the_id_of_the_header() {
        assert!(matches!(of(200, ""), Classification::Delivered(Some(id)) if id == "id-1"));
    }

    #[test]
    fn a_bad_token_is_a_bad_recipient_since_the_time_of_the_body() {
        let gone = of(410, r#"{"reason":"Unregistered","timestamp":1700000000123}"#);
        assert!(matches!(gone, Classification::BadRecipient(bad) if bad.since_ms == Some(1_700_000_000_123)));
        for reason in ["BadDeviceToken", "DeviceTokenNotForTopic"] {
            let bad = because(400, reason);
            assert!(matches!(bad, Classification::BadRecipient(bad) if bad.since_ms.is_none()));
        }
    }

    #[test]
    fn a_temporary_failure_concerns_the_message_or_the_provider() {
        for (status, reason, provider) in [
            (403, "ExpiredProviderToken", false),
            (429, "TooManyRequests", false),
            (429, "TooManyProviderTokenUpdates", true),
            (500, "InternalServerError", true),
            (503, "Shutdown", true),
        ] {
            let Classification::Temporary(it) = because(status, reason) else { panic!("{reason}") };
            assert_eq!(matches!(it.scope, Scope::Provider), provider, "{reason}");
            assert_eq!(it.retry_after_ms, Some(7000));
        }
    }

    #[test]
    fn anything_else_is_permanent_with_its_reason_or_the_hosts_to_judge() {
        let refused = because(403, "InvalidProviderToken");
        assert!(matches!(refused, Classification::Permanent(why) if why == "403 InvalidProviderToken"));
        assert!(matches!(of(404, "no json"), Classification::Permanent(_)));
        assert!(matches!(of(502, ""), Classification::Standard));
        assert!(matches!(classification(Reply::Unanswered("refused".into())), Classification::Standard));
    }
}

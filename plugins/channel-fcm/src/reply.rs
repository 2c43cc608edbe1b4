//! Classifies the responses of FCM by their `FcmError` and the status of the API.

use pricedrop_plugin_support::channel::{BadRecipient, Classification, Reply, Scope, Temporary};
use pricedrop_plugin_support::one_line;
use serde_json::Value;

/// What the answer means.
pub fn classification(reply: Reply) -> Classification {
    let Reply::Http(response) = reply else { return Classification::Standard };
    let json: Value = serde_json::from_str(&response.body).unwrap_or_default();
    if (200..300).contains(&response.status) {
        return Classification::Delivered(json["name"].as_str().map(str::to_owned));
    }
    let message = json["error"]["message"].as_str().unwrap_or_default();
    let code = error_code(&json["error"]);
    let reason = one_line(&format!("{} {code} {message}", response.status), 200);
    match (response.status, code) {
        (_, "UNREGISTERED" | "SENDER_ID_MISMATCH") => bad_recipient(reason),
        // A wrong project or base-url is 404 too, and says nothing about the token.
        (404, _) => Classification::Permanent(reason),
        (_, "INVALID_ARGUMENT") if message.to_ascii_lowercase().contains("registration token") => {
            bad_recipient(reason)
        }
        (401, _) | (_, "UNAUTHENTICATED") => {
            Classification::Temporary(Temporary { reason, retry_after_ms: None, scope: Scope::Message })
        }
        (403, _) | (_, "INVALID_ARGUMENT") => Classification::Permanent(reason),
        _ => Classification::Standard,
    }
}

fn bad_recipient(reason: String) -> Classification {
    Classification::BadRecipient(BadRecipient { reason, since_ms: None })
}

fn error_code(error: &Value) -> &str {
    let details = error["details"].as_array().into_iter().flatten();
    let code = details.filter_map(|detail| detail["errorCode"].as_str()).next();
    code.or(error["status"].as_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::from_str;

    #[test]
    fn the_code_of_fcm_counts_before_the_status_of_the_api() {
        let error: Value = from_str(r#"{"status":"NOT_FOUND","details":[{},{"errorCode":"UNREGISTERED"}]}"#)
            .unwrap_or_default();
        assert_eq!(error_code(&error), "UNREGISTERED");
        assert_eq!(error_code(&Value::Null), "");
    }
}

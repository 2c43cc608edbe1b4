//! Classifies the provider's responses by their status and the error code in their JSON.

use pricedrop_plugin_support::channel::{BadRecipient, Classification, Reply, Response, Scope, Temporary};
use pricedrop_plugin_support::one_line;
use serde_json::Value;

/// Invalid number, not reachable, not a mobile number, and a recipient who replied STOP.
const BAD_NUMBER: [i64; 5] = [21211, 21214, 21217, 21614, 21610];
const TOO_MANY_REQUESTS: i64 = 20429;
const UNAUTHORIZED: i64 = 20003;
const REASON_CHARS: usize = 200;

/// What a reply means.
pub fn classify(reply: &Reply) -> Classification {
    match reply {
        Reply::Http(response) => http(response),
        _ => Classification::Standard,
    }
}

fn http(response: &Response) -> Classification {
    let body: Value = serde_json::from_str(&response.body).unwrap_or_default();
    let code = body["code"].as_i64().unwrap_or_default();
    let reason = reason(&body, response.status);
    match (response.status, code) {
        (200..=299, _) => Classification::Delivered(body["sid"].as_str().map(str::to_owned)),
        (_, code) if BAD_NUMBER.contains(&code) => {
            Classification::BadRecipient(BadRecipient { reason, since_ms: None })
        }
        (429, _) | (_, TOO_MANY_REQUESTS) => Classification::Temporary(Temporary {
            reason,
            retry_after_ms: response.retry_after_ms(),
            scope: Scope::Provider,
        }),
        (401, _) | (_, UNAUTHORIZED) => {
            Classification::Permanent(format!("the provider refused the credential: {reason}"))
        }
        (400..=499, _) => Classification::Permanent(reason),
        _ => Classification::Standard,
    }
}

fn reason(body: &Value, status: u16) -> String {
    let message = one_line(body["message"].as_str().unwrap_or("no reason given"), REASON_CHARS);
    let code = body["code"].as_i64().unwrap_or_else(|| status.into());
    format!("{code}: {message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Classification {
        let headers = vec![("retry-after".to_owned(), "3".to_owned())];
        classify(&Reply::Http(Response { status, headers, body: body.into(), truncated: false }))
    }

    #[test]
    fn the_code_decides() {
        use Classification::{BadRecipient, Delivered, Permanent, Standard, Temporary};
        assert!(matches!(answer(201, r#"{"sid":"SM1"}"#), Delivered(Some(sid)) if sid == "SM1"));
        assert!(matches!(answer(400, r#"{"code":21211}"#), BadRecipient(_)));
        assert!(matches!(answer(400, r#"{"code":21610}"#), BadRecipient(_)));
        assert!(matches!(answer(429, ""), Temporary(it) if it.retry_after_ms == Some(3000)));
        assert!(matches!(answer(401, r#"{"code":20003}"#), Permanent(_)));
        assert!(
            matches!(answer(400, r#"{"code":21,"message":"no"}"#), Permanent(reason) if reason == "21: no")
        );
        assert!(matches!(answer(503, ""), Standard));
    }
}

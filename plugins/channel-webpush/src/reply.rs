//! Classifies the responses of push services, RFC 8030 and RFC 8292.

use pricedrop_plugin_support::channel::{BadRecipient, Classification, Reply};
use pricedrop_plugin_support::one_line;

const REASON_CHARS: usize = 200;

/// What the answer means.
pub fn classification(reply: Reply) -> Classification {
    let Reply::Http(response) = reply else { return Classification::Standard };
    let first_line = one_line(response.body.lines().next().unwrap_or_default(), REASON_CHARS);
    match response.status {
        200..=299 => Classification::Delivered(response.header("location").map(str::to_owned)),
        404 | 410 => Classification::BadRecipient(BadRecipient {
            reason: "the subscription has ended".into(),
            since_ms: None,
        }),
        413 => Classification::Permanent("the push service finds the payload too large".into()),
        status @ (400 | 401 | 403) if first_line.is_empty() => {
            Classification::Permanent(format!("the push service answered {status}"))
        }
        status @ (400 | 401 | 403) => {
            Classification::Permanent(format!("the push service answered {status}: {first_line}"))
        }
        _ => Classification::Standard,
    }
}

//! The standard table that classifies replies of providers. It applies if a plugin asks for it,
//! fails, or did not render the message.

use pricedrop_model::dispatch::{Classification, Reply, Scope};
use pricedrop_model::{WallTime, time};

/// Classifies a reply:
///
/// - HTTP and SMTP 2xx: delivered.
/// - HTTP 408, 425, 429, 5xx, SMTP 4xx, no reply: temporary, with the wait of `Retry-After`. It
///   concerns the whole provider for 429, 503 with `Retry-After`, and SMTP 421.
/// - HTTP 404, 410: bad recipient.
/// - Everything else: permanent.
pub fn standard(reply: &Reply, now: WallTime) -> Classification {
    match reply {
        Reply::Http { status, headers, body, .. } => http(*status, headers, body, now),
        Reply::Smtp(code, text) => smtp(*code, text),
        Reply::Unanswered(reason) => temporary(reason.clone(), None, Scope::Message),
        Reply::Done => Classification::Delivered(None),
    }
}

/// Returns a reply in words: its code and the first line of its text, or why there was none.
pub(super) fn describe(reply: &Reply) -> String {
    match reply {
        Reply::Http { status, body, .. } => coded("HTTP", *status, body),
        Reply::Smtp(code, text) => coded("SMTP", *code, text),
        Reply::Unanswered(reason) => first_line(reason),
        Reply::Done => "done".into(),
    }
}

fn coded(protocol: &str, code: u16, text: &str) -> String {
    format!("{protocol} {code} {}", first_line(text)).trim_end().to_owned()
}

fn http(status: u16, headers: &[(String, String)], body: &str, now: WallTime) -> Classification {
    let reason = || coded("HTTP", status, body);
    match status {
        200..=299 => Classification::Delivered(None),
        408 | 425 | 429 | 500..=599 => {
            let wait = retry_after_ms(headers, now);
            let of_provider = status == 429 || status == 503 && wait.is_some();
            temporary(reason(), wait, if of_provider { Scope::Provider } else { Scope::Message })
        }
        404 | 410 => Classification::BadRecipient { reason: reason(), since_ms: None },
        300..=399 => Classification::Permanent(format!("HTTP {status}: redirects are not followed")),
        _ => Classification::Permanent(reason()),
    }
}

fn smtp(code: u16, text: &str) -> Classification {
    let reason = || coded("SMTP", code, text);
    match code {
        200..=299 => Classification::Delivered(None),
        421 => temporary(reason(), None, Scope::Provider),
        400..=499 => temporary(reason(), None, Scope::Message),
        _ => Classification::Permanent(reason()),
    }
}

fn temporary(reason: String, retry_after_ms: Option<u64>, scope: Scope) -> Classification {
    Classification::Temporary { reason, retry_after_ms, scope }
}

/// The wait that `Retry-After` asks for, milliseconds. The header has seconds or an HTTP date. None if
/// it has neither, such as a negative number.
fn retry_after_ms(headers: &[(String, String)], now: WallTime) -> Option<u64> {
    let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"))?;
    if let Some(seconds) = seconds(value.trim()) {
        return Some(seconds.saturating_mul(1000));
    }
    let at = time::parse_http_date(value, now)?;
    Some(u64::try_from(at.saturating_sub(now.0)).unwrap_or(0))
}

/// Parses seconds. A fraction, which RFC 9110 does not allow but some providers send, is rounded up. A
/// number that is too large is `u64::MAX`.
fn seconds(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole = whole.parse::<u64>().unwrap_or(u64::MAX);
    Some(whole.saturating_add(u64::from(fraction.bytes().any(|digit| digit != b'0'))))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)]) -> Classification {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let reply = Reply::Http { status, headers, body: "no\u{7}\nmore".into(), truncated: false };
        standard(&reply, WallTime(784_111_770_000))
    }

    #[test]
    fn every_http_status_is_classified() {
        for status in [200, 202, 299] {
            assert_eq!(answer(status, &[]), Classification::Delivered(None));
        }
        for status in [408, 425, 429, 500, 503] {
            assert!(matches!(answer(status, &[]), Classification::Temporary { retry_after_ms: None, .. }));
        }
        for status in [404, 410] {
            let reason = format!("HTTP {status} no");
            assert_eq!(answer(status, &[]), Classification::BadRecipient { reason, since_ms: None });
        }
        for status in [100, 301, 400, 401, 403, 422] {
            assert!(matches!(answer(status, &[]), Classification::Permanent(_)), "{status}");
        }
    }

    #[test]
    fn smtp_codes_and_missing_replies_are_classified() {
        let now = WallTime(0);
        assert_eq!(standard(&Reply::Smtp(250, "ok".into()), now), Classification::Delivered(None));
        assert!(matches!(standard(&Reply::Smtp(451, "later".into()), now), Classification::Temporary { .. }));
        assert_eq!(
            standard(&Reply::Smtp(550, "no\r\nbox".into()), now),
            Classification::Permanent("SMTP 550 no".into())
        );
        assert!(matches!(standard(&Reply::Unanswered("away".into()), now), Classification::Temporary { .. }));
    }

    #[test]
    fn retry_after_is_parsed_as_seconds_or_date() {
        for (value, expected) in [
            ("7", Some(7_000)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7_000)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("1.5", Some(2_000)),
            ("2.0", Some(2_000)),
            ("18446744073709551616", Some(u64::MAX)),
            ("18446744073709551615.5", Some(u64::MAX)),
            ("-5", None),
            ("1e3", None),
            (".5", None),
            ("soon", None),
        ] {
            let classification = answer(429, &[("Retry-After", value)]);
            assert!(
                matches!(classification, Classification::Temporary { retry_after_ms, .. } if retry_after_ms == expected),
                "{value}"
            );
        }
    }

    #[test]
    fn failures_of_the_provider_are_distinguished_from_failures_of_a_message() {
        let scope = |classification| match classification {
            Classification::Temporary { scope, .. } => scope,
            other => panic!("{other:?}"),
        };
        assert_eq!(scope(answer(429, &[])), Scope::Provider);
        assert_eq!(scope(answer(503, &[("Retry-After", "1")])), Scope::Provider);
        for status in [408, 500, 503] {
            assert_eq!(scope(answer(status, &[])), Scope::Message, "{status}");
        }
        assert_eq!(scope(standard(&Reply::Smtp(421, String::new()), WallTime(0))), Scope::Provider);
        assert_eq!(scope(standard(&Reply::Smtp(450, String::new()), WallTime(0))), Scope::Message);
    }
}

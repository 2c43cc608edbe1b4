//! The host's table of what a reply means.

use pricedrop_model::dispatch::{Reply, Verdict};
use pricedrop_model::{WallTime, time};

/// 2xx delivered; 408, 425, 429, 5xx, SMTP 4yz and no answer temporary, with
/// the wait the reply asks for; 404 and 410 bad recipient; all else permanent.
pub fn standard(reply: &Reply, now: WallTime) -> Verdict {
    match reply {
        Reply::Http { status, headers, body, .. } => http(*status, headers, body, now),
        Reply::Smtp(code, text) => smtp(*code, text),
        Reply::Unanswered(reason) => Verdict::Temporary { reason: reason.clone(), retry_after_ms: None },
        Reply::Done => Verdict::Delivered(None),
    }
}

fn http(status: u16, headers: &[(String, String)], body: &str, now: WallTime) -> Verdict {
    let reason = || format!("HTTP {status} {}", first_line(body)).trim_end().to_owned();
    match status {
        200..=299 => Verdict::Delivered(None),
        408 | 425 | 429 | 500..=599 => {
            Verdict::Temporary { reason: reason(), retry_after_ms: retry_after_ms(headers, now) }
        }
        404 | 410 => Verdict::BadRecipient(reason()),
        300..=399 => Verdict::Permanent(format!("HTTP {status}: redirects are not followed")),
        _ => Verdict::Permanent(reason()),
    }
}

fn smtp(code: u16, text: &str) -> Verdict {
    let reason = || format!("SMTP {code} {}", first_line(text)).trim_end().to_owned();
    match code {
        200..=299 => Verdict::Delivered(None),
        400..=499 => Verdict::Temporary { reason: reason(), retry_after_ms: None },
        _ => Verdict::Permanent(reason()),
    }
}

/// Seconds, or an HTTP date.
fn retry_after_ms(headers: &[(String, String)], now: WallTime) -> Option<u64> {
    let (_, value) = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"))?;
    if let Ok(seconds) = value.trim().parse::<u64>() {
        return Some(seconds.saturating_mul(1000));
    }
    let at = time::parse_http_date(value)?;
    Some(u64::try_from(at.saturating_sub(now.0)).unwrap_or(0))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)]) -> Verdict {
        let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let reply = Reply::Http { status, headers, body: "no\u{7}\nmore".into(), truncated: false };
        standard(&reply, WallTime(784_111_770_000))
    }

    #[test]
    fn every_status_has_its_meaning() {
        for status in [200, 202, 299] {
            assert_eq!(answer(status, &[]), Verdict::Delivered(None));
        }
        for status in [408, 425, 429, 500, 503] {
            assert!(matches!(answer(status, &[]), Verdict::Temporary { retry_after_ms: None, .. }));
        }
        for status in [404, 410] {
            assert_eq!(answer(status, &[]), Verdict::BadRecipient(format!("HTTP {status} no")));
        }
        for status in [100, 301, 400, 401, 403, 422] {
            assert!(matches!(answer(status, &[]), Verdict::Permanent(_)), "{status}");
        }
    }

    #[test]
    fn mail_codes_and_silence_have_their_meaning() {
        let now = WallTime(0);
        assert_eq!(standard(&Reply::Smtp(250, "ok".into()), now), Verdict::Delivered(None));
        assert!(matches!(standard(&Reply::Smtp(451, "later".into()), now), Verdict::Temporary { .. }));
        assert_eq!(
            standard(&Reply::Smtp(550, "no\r\nbox".into()), now),
            Verdict::Permanent("SMTP 550 no".into())
        );
        assert!(matches!(standard(&Reply::Unanswered("away".into()), now), Verdict::Temporary { .. }));
    }

    #[test]
    fn the_wait_a_provider_asks_for_is_read_as_seconds_or_date() {
        for (value, expected) in [
            ("7", Some(7_000)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7_000)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("soon", None),
        ] {
            let verdict = answer(429, &[("Retry-After", value)]);
            assert!(
                matches!(verdict, Verdict::Temporary { retry_after_ms, .. } if retry_after_ms == expected),
                "{value}"
            );
        }
    }
}

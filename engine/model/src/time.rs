//! Event time and wall time as two types, the clock port, and parsers of times.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::limits::{EARLIEST_MS, LATEST_MS};

/// When a price changed, in epoch milliseconds: an update's `occurredAt`, or its record's timestamp
/// if it has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventTime(pub i64);

/// A time of the engine's clock, in epoch milliseconds. The `updated_at` of a watch is such a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WallTime(pub i64);

/// The port for wall time. Tests and `simulate` have their own implementations.
pub trait Clock: Send + Sync {
    /// Returns the current time.
    fn now(&self) -> WallTime;
}

/// The clock of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> WallTime {
        WallTime((OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000) as i64)
    }
}

/// Reads an RFC 3339 time as epoch milliseconds; smaller fractions are cut off.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(time.unix_timestamp_nanos().div_euclid(1_000_000) as i64)
}

/// Why a time cannot be used: it is outside the limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value}{} is outside 2000-01-01 to 2200-01-01", .looks_like.map_or(String::new(), |unit| format!(" looks like {unit}, and")))]
pub struct OutsideLimits {
    /// The time as it was written.
    pub value: String,
    /// The unit that would be within the limits, if it is a number.
    pub looks_like: Option<&'static str>,
}

/// Returns whether a time is from 2000-01-01 to before 2200-01-01.
pub fn is_within_limits(millis: i64) -> bool {
    (EARLIEST_MS..LATEST_MS).contains(&millis)
}

/// Checks that a time is from 2000-01-01 to before 2200-01-01. `value` is the text from which the
/// time was read; the error quotes it.
///
/// # Errors
/// The time is outside these limits.
pub fn within_limits(millis: i64, value: &str) -> Result<i64, OutsideLimits> {
    if is_within_limits(millis) {
        return Ok(millis);
    }
    let units = [
        ("seconds", millis.saturating_mul(1_000)),
        ("microseconds", millis / 1_000),
        ("nanoseconds", millis / 1_000_000),
    ];
    let is_number = value.parse::<i64>().is_ok();
    let unit = units.iter().find(|(_, millis)| is_number && is_within_limits(*millis));
    Err(OutsideLimits { value: value.to_owned(), looks_like: unit.map(|(unit, _)| *unit) })
}

/// Reads the date of an HTTP header as epoch milliseconds, in any form of RFC 9110: `Sun, 06 Nov
/// 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT` or `Sun Nov  6 08:49:37 1994`. A year of two
/// digits is the one at most 50 years after `now`.
pub fn parse_http_date(text: &str, now: WallTime) -> Option<i64> {
    const FORMS: [&str; 2] = [
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT",
        "[weekday repr:short] [month repr:short] [day padding:space] [hour]:[minute]:[second] [year]",
    ];
    let text = text.trim();
    let parse = |form: &str, text: &str| {
        let format = time::format_description::parse_borrowed::<2>(form).ok()?;
        time::PrimitiveDateTime::parse(text, &format).ok()
    };
    let time = FORMS.iter().find_map(|form| parse(form, text)).or_else(|| parse_rfc850(text, now, parse))?;
    Some(time.assume_utc().unix_timestamp() * 1000)
}

/// Reads `Sunday, 06-Nov-94 08:49:37 GMT`.
fn parse_rfc850(
    text: &str,
    now: WallTime,
    parse: impl Fn(&str, &str) -> Option<time::PrimitiveDateTime>,
) -> Option<time::PrimitiveDateTime> {
    let (_, date) = text.split_once(", ")?;
    let (day_month, rest) = (date.get(..7)?, date.get(7..)?);
    let (two_digits, time) = (rest.get(..2)?, rest.get(2..)?);
    let this_year = OffsetDateTime::from_unix_timestamp(now.0.div_euclid(1000)).ok()?.year();
    let century = this_year - this_year.rem_euclid(100);
    let year = century
        + two_digits.parse::<i32>().ok().filter(|_| two_digits.bytes().all(|b| b.is_ascii_digit()))?;
    let year = match year > this_year + 50 {
        true => year - 100,
        false => year,
    };
    parse(
        "[day]-[month repr:short]-[year] [hour]:[minute]:[second] GMT",
        &format!("{day_month}{year:04}{time}"),
    )
}

/// Reads epoch milliseconds or an RFC 3339 time as epoch milliseconds. Files contain both.
pub fn parse_millis(text: &str) -> Option<i64> {
    text.parse().ok().or_else(|| parse_rfc3339(text))
}

/// Writes epoch milliseconds as RFC 3339 in UTC, or as a number if RFC 3339 cannot express the
/// year.
pub fn write_rfc3339(millis: i64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| millis.to_string())
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write_rfc3339(self.0))
    }
}

impl fmt::Display for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write_rfc3339(self.0))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_an_http_header_is_read_in_every_form() {
        let now = WallTime(1_796_006_060_000);
        for form in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(parse_http_date(form, now), Some(784_111_777_000), "{form}");
        }
        let later = parse_http_date("Tuesday, 01-Dec-26 00:00:00 GMT", now);
        assert_eq!(later, Some(1_796_083_200_000));
        for text in ["soon", "Sunday, 06-Nov-+4 08:49:37 GMT", "Sunday, 06-Nov-94", ""] {
            assert_eq!(parse_http_date(text, now), None, "{text}");
        }
    }

    #[test]
    fn a_time_outside_the_limits_is_refused_with_the_unit_it_looks_like() {
        assert_eq!(within_limits(EARLIEST_MS, ""), Ok(EARLIEST_MS));
        assert_eq!(within_limits(LATEST_MS - 1, ""), Ok(LATEST_MS - 1));
        for (millis, text) in [
            (1_796_006_060, "1796006060 looks like seconds, and is outside 2000-01-01 to 2200-01-01"),
            (
                1_796_006_060_000_000,
                "1796006060000000 looks like microseconds, and is outside 2000-01-01 to 2200-01-01",
            ),
            (
                1_796_006_060_000_000_000,
                "1796006060000000000 looks like nanoseconds, and is outside 2000-01-01 to 2200-01-01",
            ),
            (1, "1 is outside 2000-01-01 to 2200-01-01"),
            (i64::MIN, "-9223372036854775808 is outside 2000-01-01 to 2200-01-01"),
        ] {
            assert_eq!(within_limits(millis, &millis.to_string()).unwrap_err().to_string(), text);
        }
        let year = within_limits(parse_rfc3339("1970-01-01T00:00:00Z").unwrap(), "1970-01-01T00:00:00Z");
        assert_eq!(year.unwrap_err().to_string(), "1970-01-01T00:00:00Z is outside 2000-01-01 to 2200-01-01");
    }
}

//! Event time and wall time as two types, the clock port, and parsers of times.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

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

/// Reads the date of an HTTP header (`Sun, 06 Nov 1994 08:49:37 GMT`) as epoch milliseconds.
pub fn parse_http_date(text: &str) -> Option<i64> {
    const IMF_FIXDATE: &str =
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT";
    let format = time::format_description::parse_borrowed::<2>(IMF_FIXDATE).ok()?;
    let time = time::PrimitiveDateTime::parse(text.trim(), &format).ok()?;
    Some(time.assume_utc().unix_timestamp() * 1000)
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
mod tests {
    use super::parse_http_date;

    #[test]
    fn the_date_of_an_http_header_is_read() {
        assert_eq!(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777_000));
        assert_eq!(parse_http_date("soon"), None);
    }
}

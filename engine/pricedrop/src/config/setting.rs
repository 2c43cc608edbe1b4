//! The types that a configuration key may have: how each is read, described and written.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use pricedrop_model::{Currency, Hysteresis};
use serde_json::{Value, json};

use super::field::Kind;
use super::raw::Raw;
use super::units::{self, ByteSize};

/// A type that a key may have.
pub trait Setting: Sized {
    /// The type of the bounds of a range; `()` if the type has no range. A number without a
    /// range does not compile.
    type Bound;

    /// Reads a value; `None`: it has the wrong type, or is out of range.
    fn read(raw: &Raw, range: &RangeInclusive<Self::Bound>) -> Option<Self>;

    /// Describes which values are valid.
    fn kind(range: &RangeInclusive<Self::Bound>) -> Kind;

    /// Writes the value for a file; `None`: it is not set.
    fn write(&self) -> Option<Value>;
}

/// An optional key has no default.
impl<T: Setting> Setting for Option<T> {
    type Bound = T::Bound;

    fn read(raw: &Raw, range: &RangeInclusive<T::Bound>) -> Option<Self> {
        T::read(raw, range).map(Some)
    }

    fn kind(range: &RangeInclusive<T::Bound>) -> Kind {
        T::kind(range)
    }

    fn write(&self) -> Option<Value> {
        self.as_ref().and_then(T::write)
    }
}

macro_rules! whole_numbers {
    ($($number:ty),+) => {$(
        impl Setting for $number {
            type Bound = $number;

            fn read(raw: &Raw, range: &RangeInclusive<$number>) -> Option<Self> {
                raw.whole()?.try_into().ok().filter(|number| range.contains(number))
            }

            fn kind(range: &RangeInclusive<$number>) -> Kind {
                let (from, to) = (*range.start(), *range.end());
                let mut schema = json!({"type": "integer", "minimum": from});
                let mut expected = format!("a whole number from {from}");
                if to != <$number>::MAX {
                    schema["maximum"] = json!(to);
                    expected += &format!(" to {to}");
                }
                Kind { label: "number", expected, schema }
            }

            fn write(&self) -> Option<Value> {
                Some(json!(self))
            }
        }
    )+};
}

whole_numbers!(u8, u16, u32, u64, usize);

/// A duration with its unit; 0 needs no unit.
impl Setting for Duration {
    type Bound = Duration;

    fn read(raw: &Raw, range: &RangeInclusive<Duration>) -> Option<Self> {
        let span = match raw.digits()? {
            "0" => Duration::ZERO,
            _ => humantime::parse_duration(raw.text()?).ok()?,
        };
        Some(span).filter(|span| range.contains(span))
    }

    fn kind(range: &RangeInclusive<Duration>) -> Kind {
        let (from, to) = (units::write_duration(*range.start()), units::write_duration(*range.end()));
        Kind {
            label: "duration",
            expected: format!("a duration such as \"90s\" or \"24h\", from {from} to {to}"),
            schema: json!({"anyOf": [
                {"type": "string", "pattern": "^(0|( *[0-9]+ *[A-Za-z]+)+) *$"},
                {"const": 0},
            ]}),
        }
    }

    fn write(&self) -> Option<Value> {
        Some(units::write_duration(*self).into())
    }
}

impl Setting for ByteSize {
    type Bound = ByteSize;

    fn read(raw: &Raw, range: &RangeInclusive<ByteSize>) -> Option<Self> {
        units::parse_size(raw.digits()?).filter(|size| range.contains(size))
    }

    fn kind(range: &RangeInclusive<ByteSize>) -> Kind {
        let (from, to) = (*range.start(), *range.end());
        let words = (units::write_size(from), units::write_size(to));
        Kind {
            label: "size",
            expected: format!("a size such as \"64MiB\", from {} to {}", words.0, words.1),
            schema: json!({"anyOf": [
                {"type": "string", "pattern": "^[0-9_]+ *([kMG]?B|[KMG]iB)?$"},
                {"type": "integer", "minimum": from.bytes(), "maximum": to.bytes()},
            ]}),
        }
    }

    fn write(&self) -> Option<Value> {
        Some(units::write_size(*self).into())
    }
}

/// Implements [`Setting`] for a type without a range.
macro_rules! unranged {
    ($type:ty, $label:literal, $expected:expr, $schema:tt, $read:expr, $write:expr) => {
        impl Setting for $type {
            type Bound = ();

            fn read(raw: &Raw, _: &RangeInclusive<()>) -> Option<Self> {
                let read: fn(&Raw) -> Option<Self> = $read;
                read(raw)
            }

            fn kind(_: &RangeInclusive<()>) -> Kind {
                Kind { label: $label, expected: $expected.into(), schema: json!($schema) }
            }

            fn write(&self) -> Option<Value> {
                let write: fn(&Self) -> Value = $write;
                Some(write(self))
            }
        }
    };
}

unranged!(bool, "true or false", "true or false", {"type": "boolean"}, Raw::flag, |flag| json!(flag));
unranged!(
    String,
    "text",
    "a text in quotes",
    {"type": "string", "minLength": 1},
    |raw| raw.text().map(Into::into),
    |text| json!(text)
);
unranged!(
    PathBuf,
    "path",
    "a path in quotes",
    {"type": "string", "minLength": 1},
    |raw| raw.text().map(Into::into),
    |path| json!(path)
);
unranged!(
    Vec<String>,
    "list of texts",
    "a list of texts such as [\"a\", \"b\"]",
    {"type": "array", "items": {"type": "string", "minLength": 1}},
    |raw| Some(raw.texts()?.into_iter().map(str::to_owned).collect()),
    |texts| json!(texts)
);
unranged!(
    Listen,
    "address",
    "an address and a port such as \"127.0.0.1:8080\"",
    {"type": "string", "pattern": "^.+:[0-9]{1,5}$"},
    |raw| Listen::new(raw.text()?),
    |listen| json!(listen.0)
);
unranged!(
    Currency,
    "currency",
    "three capital letters, such as \"EUR\"",
    {"type": "string", "pattern": "^[A-Z]{3}$"},
    |raw| Currency::new(raw.text()?).ok(),
    |currency| json!(currency.as_str())
);
// Parsed from its digits, because a float would round it.
unranged!(
    Hysteresis,
    "decimal",
    "a decimal from 0 to 1000 with at most 6 decimals, such as 0.05",
    {"anyOf": [
        {"type": "number", "minimum": 0, "maximum": 1000},
        {"type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,6})?$"},
    ]},
    |raw| Hysteresis::new(raw.digits()?.parse().ok()?),
    |hysteresis| json!(hysteresis.share().to_string())
);

/// An address `host:port`. The host is resolved when the server starts to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen(String);

impl Listen {
    /// Returns `None` if the host or the port is missing.
    pub fn new(text: &str) -> Option<Listen> {
        let (host, port) = text.rsplit_once(':')?;
        (!host.is_empty() && port.parse::<u16>().is_ok()).then(|| Listen(text.to_owned()))
    }

    /// Returns the address as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Listen {
    fn default() -> Listen {
        Listen("127.0.0.1:8080".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_sizes_may_have_one() {
        let read = |raw: Raw| Duration::read(&raw, &(Duration::ZERO..=Duration::MAX));
        assert_eq!(read(Raw::Text("1h 30m".into())), Some(units::minutes(90)));
        assert_eq!(read(Raw::Number("0".into())), Some(Duration::ZERO));
        assert_eq!(read(Raw::Number("24".into())), None);
        let read = |raw: Raw| ByteSize::read(&raw, &(units::kib(0)..=units::gib(1)));
        assert_eq!(read(Raw::Text("64MiB".into())), Some(units::mib(64)));
        assert_eq!(read(Raw::Number("65_536".into())), Some(units::kib(64)));
        assert_eq!(read(Raw::Text("64 miles".into())), None);
    }

    #[test]
    fn a_hysteresis_is_read_digit_by_digit_quoted_or_not() {
        let read = |raw: Raw| Hysteresis::read(&raw, &(()..=()));
        let quoted = read(Raw::Text("0.1".into()));
        assert!(quoted.is_some());
        assert_eq!(quoted, read(Raw::Number("0.1".into())));
        assert_eq!(read(Raw::Number("0.0000001".into())), None);
        assert_eq!(read(Raw::Number("-1".into())), None);
    }
}

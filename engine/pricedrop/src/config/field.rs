//! One field of the configuration, and how its value is read and checked.

use pricedrop_model::{Currency, Hysteresis};

/// One key of one table.
#[derive(Debug)]
pub struct Field {
    /// `table.key`.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// As it stands in a file; none: not set.
    pub default: Option<&'static str>,
    /// What it does, in full sentences.
    pub doc: &'static str,
}

/// What a field holds, with its range.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Any text but an empty one.
    Text,
    /// A path, relative to the working directory.
    Path,
    /// An address and a port.
    Listen,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// True or false.
    Flag,
    /// A whole number from..=to.
    Count(u64, u64),
    /// A time span, from..=to in milliseconds.
    Millis(u64, u64),
    /// A size, from..=to in bytes.
    Bytes(u64, u64),
    /// A hysteresis, read digit by digit.
    Share,
    /// Three capital letters.
    Currency,
    /// A list of texts.
    Texts,
}

/// A value that was read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text, path, listen, choice.
    Text(String),
    /// Flag.
    Flag(bool),
    /// Count, milliseconds, bytes.
    Number(u64),
    /// Share.
    Share(Hysteresis),
    /// Currency.
    Currency(Currency),
    /// Texts.
    Texts(Vec<String>),
}

/// A value as it stands: in a file with its type, in the environment without.
#[derive(Debug, Clone)]
pub enum Raw {
    /// A quoted text.
    Text(String),
    /// A number, as written.
    Number(String),
    /// True or false.
    Flag(bool),
    /// A list.
    List(Vec<Raw>),
    /// Anything else, by its name.
    Other(&'static str),
    /// The text of an environment variable.
    Variable(String),
}

impl Raw {
    /// In words, for an error.
    pub fn describe(&self) -> String {
        match self {
            Raw::Text(text) | Raw::Variable(text) => format!("\"{text}\""),
            Raw::Number(number) => format!("the number {number}"),
            Raw::Flag(flag) => flag.to_string(),
            Raw::List(_) => "a list".into(),
            Raw::Other(name) => (*name).into(),
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Raw::Text(text) | Raw::Variable(text) => Some(text),
            _ => None,
        }
    }

    /// Digits, quoted or not.
    fn digits(&self) -> Option<&str> {
        match self {
            Raw::Number(number) => Some(number),
            _ => self.text(),
        }
    }
}

impl Field {
    /// Its table.
    pub fn table(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(table, _)| table)
    }

    /// Its key within the table.
    pub fn key(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, key)| key)
    }

    /// The environment variable that overrides it.
    pub fn variable(&self) -> String {
        format!("PRICEDROP_{}__{}", self.table().to_uppercase(), self.key().to_uppercase())
    }

    /// Reads and checks a value.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence that began with the field's name.
    pub fn read(&self, raw: &Raw) -> Result<Value, String> {
        let value = self.kind.read(raw);
        value.ok_or_else(|| format!("must be {}, not {}", self.kind.expected(), raw.describe()))
    }
}

impl Kind {
    /// What a value must be, in words.
    pub fn expected(self) -> String {
        match self {
            Kind::Text => "a text in quotes".into(),
            Kind::Path => "a path in quotes".into(),
            Kind::Listen => "an address and a port such as \"127.0.0.1:8080\"".into(),
            Kind::Choice(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                format!("one of {}", quoted.join(", "))
            }
            Kind::Flag => "true or false".into(),
            Kind::Count(from, to) if to == u64::MAX => format!("a whole number from {from}"),
            Kind::Count(from, to) => format!("a whole number from {from} to {to}"),
            Kind::Millis(from, to) => format!(
                "a duration such as \"90s\" or \"24h\", from {} to {}",
                write_millis(from),
                write_millis(to)
            ),
            Kind::Bytes(from, to) => {
                format!("a size such as \"64MiB\", from {} to {}", write_bytes(from), write_bytes(to))
            }
            Kind::Share => "a decimal from 0 to 1000 with at most 6 decimals, such as 0.05".into(),
            Kind::Currency => "three capital letters, such as \"EUR\"".into(),
            Kind::Texts => "a list of texts such as [\"a\", \"b\"]".into(),
        }
    }

    /// Its type in one or two words, for the reference.
    pub fn label(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Path => "path",
            Kind::Listen => "address",
            Kind::Choice(_) => "word",
            Kind::Flag => "true or false",
            Kind::Count(..) => "number",
            Kind::Millis(..) => "duration",
            Kind::Bytes(..) => "size",
            Kind::Share => "decimal",
            Kind::Currency => "currency",
            Kind::Texts => "list of texts",
        }
    }

    fn read(self, raw: &Raw) -> Option<Value> {
        match self {
            Kind::Text | Kind::Path => raw.text().filter(|text| !text.is_empty()).map(owned_text),
            Kind::Listen => raw.text().filter(|text| is_listen(text)).map(owned_text),
            Kind::Choice(words) => raw.text().filter(|text| words.contains(text)).map(owned_text),
            Kind::Flag => read_flag(raw).map(Value::Flag),
            Kind::Count(from, to) => within(read_count(raw)?, from, to),
            Kind::Millis(from, to) => within(read_millis(raw)?, from, to),
            Kind::Bytes(from, to) => within(read_bytes(raw)?, from, to),
            Kind::Share => {
                let share = raw.digits()?.parse().ok()?;
                Hysteresis::new(share).map(Value::Share)
            }
            Kind::Currency => Currency::new(raw.text()?).ok().map(Value::Currency),
            Kind::Texts => read_texts(raw).map(Value::Texts),
        }
    }
}

fn owned_text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn within(number: u64, from: u64, to: u64) -> Option<Value> {
    (from..=to).contains(&number).then_some(Value::Number(number))
}

/// `host:port`; the host is resolved when it is listened on.
fn is_listen(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

fn read_flag(raw: &Raw) -> Option<bool> {
    match raw {
        Raw::Flag(flag) => Some(*flag),
        Raw::Variable(text) => text.parse().ok(),
        _ => None,
    }
}

/// Digits with underscores, as TOML writes them.
fn read_count(raw: &Raw) -> Option<u64> {
    match raw {
        Raw::Number(digits) | Raw::Variable(digits) => digits.replace('_', "").parse().ok(),
        _ => None,
    }
}

/// A span with its unit; a bare 0 needs none.
fn read_millis(raw: &Raw) -> Option<u64> {
    match raw.digits()? {
        "0" => Some(0),
        text if raw.text().is_some() => {
            let span = humantime::parse_duration(text).ok()?;
            u64::try_from(span.as_millis()).ok()
        }
        _ => None,
    }
}

const SIZE_UNITS: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// A number of bytes, with or without its unit.
fn read_bytes(raw: &Raw) -> Option<u64> {
    let text = raw.digits()?;
    for (unit, bytes) in SIZE_UNITS {
        if let Some(number) = text.strip_suffix(unit) {
            return number.trim_end().parse::<u64>().ok()?.checked_mul(bytes);
        }
    }
    text.replace('_', "").parse().ok()
}

/// A list; in a variable, words between commas.
fn read_texts(raw: &Raw) -> Option<Vec<String>> {
    match raw {
        Raw::List(items) => items.iter().map(|item| item.text().map(str::to_owned)).collect(),
        Raw::Variable(text) => {
            let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
            Some(words.map(str::to_owned).collect())
        }
        _ => None,
    }
}

/// A span as people write it, in its largest whole unit.
pub fn write_millis(millis: u64) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let unit = units.iter().find(|(_, length)| millis.is_multiple_of(*length));
    match unit {
        Some(_) if millis == 0 => "0s".into(),
        Some((name, length)) => format!("{}{name}", millis / length),
        None => format!("{millis}ms"),
    }
}

/// A size as people write it, in its largest whole unit.
pub fn write_bytes(bytes: u64) -> String {
    let binary = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = binary.iter().find(|(_, shift)| bytes != 0 && bytes.is_multiple_of(1 << shift));
    match unit {
        Some((name, shift)) => format!("{}{name}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, raw: &Raw) -> Option<Value> {
        kind.read(raw)
    }

    #[test]
    fn durations_need_a_unit_and_sizes_may_have_one() {
        let millis = Kind::Millis(0, u64::MAX);
        assert_eq!(read(millis, &Raw::Text("1h 30m".into())), Some(Value::Number(5_400_000)));
        assert_eq!(read(millis, &Raw::Number("0".into())), Some(Value::Number(0)));
        assert_eq!(read(millis, &Raw::Number("24".into())), None);
        let bytes = Kind::Bytes(0, u64::MAX);
        assert_eq!(read(bytes, &Raw::Text("64MiB".into())), Some(Value::Number(64 << 20)));
        assert_eq!(read(bytes, &Raw::Number("65_536".into())), Some(Value::Number(65_536)));
        assert_eq!(read(bytes, &Raw::Text("64 miles".into())), None);
    }

    #[test]
    fn a_hysteresis_is_read_digit_by_digit_quoted_or_not() {
        let quoted = read(Kind::Share, &Raw::Text("0.1".into()));
        assert!(quoted.is_some());
        assert_eq!(quoted, read(Kind::Share, &Raw::Number("0.1".into())));
        assert_eq!(read(Kind::Share, &Raw::Number("0.0000001".into())), None);
        assert_eq!(read(Kind::Share, &Raw::Number("-1".into())), None);
    }

    #[test]
    fn spans_and_sizes_are_written_as_they_are_read() {
        for bytes in [1, 1000, 1024, 3 << 20, 1 << 30] {
            let raw = Raw::Text(write_bytes(bytes));
            assert_eq!(read(Kind::Bytes(0, u64::MAX), &raw), Some(Value::Number(bytes)));
        }
        for millis in [1, 1500, 60_000, 86_400_000, 7 * 86_400_000] {
            let raw = Raw::Text(write_millis(millis));
            assert_eq!(read(Kind::Millis(0, u64::MAX), &raw), Some(Value::Number(millis)));
        }
    }
}

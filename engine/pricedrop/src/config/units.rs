//! Durations, sizes and lists: how they are written in the file, and short constructors for the tables.

use std::time::Duration;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// Returns the number of bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// Returns the number of bytes as a `usize`. A size beyond the address space means no limit.
    pub fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

pub(super) const fn kib(number: u64) -> ByteSize {
    ByteSize(number << 10)
}

pub(super) const fn mib(number: u64) -> ByteSize {
    kib(number << 10)
}

pub(super) const fn gib(number: u64) -> ByteSize {
    mib(number << 10)
}

pub(super) const fn millis(number: u64) -> Duration {
    Duration::from_millis(number)
}

pub(super) const fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

pub(super) const fn minutes(number: u64) -> Duration {
    seconds(60 * number)
}

pub(super) const fn hours(number: u64) -> Duration {
    minutes(60 * number)
}

pub(super) const fn days(number: u64) -> Duration {
    hours(24 * number)
}

pub(super) fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Returns a duration in milliseconds, as the options of other crates take it. No key
/// allows a duration that does not fit.
pub(crate) fn to_millis<T: TryFrom<u128>>(span: Duration) -> T {
    let Ok(millis) = T::try_from(span.as_millis()) else {
        unreachable!("{span:?} is beyond the range of every key")
    };
    millis
}

const SIZES: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// Parses a number of bytes, with or without a unit; `None`: it is invalid.
pub(super) fn parse_size(text: &str) -> Option<ByteSize> {
    for (unit, bytes) in SIZES {
        if let Some(number) = text.strip_suffix(unit) {
            return Some(ByteSize(number.trim_end().parse::<u64>().ok()?.checked_mul(bytes)?));
        }
    }
    text.replace('_', "").parse().ok().map(ByteSize)
}

/// Writes a size in the largest unit that divides it.
pub(super) fn write_size(size: ByteSize) -> String {
    let binary = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match binary.iter().find(|(_, shift)| size.0 != 0 && size.0.is_multiple_of(1 << shift)) {
        Some((unit, shift)) => format!("{}{unit}", size.0 >> shift),
        None => format!("{}B", size.0),
    }
}

/// Writes a duration in the largest unit that divides it.
pub(super) fn write_duration(span: Duration) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let millis = span.as_millis();
    match units.iter().find(|(_, length)| millis.is_multiple_of(*length)) {
        Some(_) if millis == 0 => "0s".into(),
        Some((unit, length)) => format!("{}{unit}", millis / length),
        None => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_written_as_they_are_read() {
        for bytes in [1, 1000, 1024, 3 << 20, 1 << 30] {
            assert_eq!(parse_size(&write_size(ByteSize(bytes))), Some(ByteSize(bytes)));
        }
        for span in [millis(1), millis(1500), seconds(60), days(1), days(7)] {
            assert_eq!(humantime::parse_duration(&write_duration(span)), Ok(span));
        }
    }
}

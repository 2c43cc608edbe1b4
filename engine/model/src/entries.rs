//! Splits text into the JSON values of a sequence. Blanks, newlines, the record separator of
//! RFC 7464, byte order marks, or nothing at all may separate two values; an array is replaced by
//! its items. Text that is not JSON is one entry up to the end of its line, so that one bad line
//! costs one entry and the next line is read.
//!
//! Every byte is scanned at most twice: within a value that proved to be invalid, the later lines
//! are read one by one.

use serde::de::IgnoredAny;

/// The byte order mark of UTF-8.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The record separator of RFC 7464.
pub const RECORD_SEPARATOR: u8 = 0x1e;
/// An array on one line is taken as a whole up to this length in bytes; a longer one, item by item.
const LONG_LINE: usize = 1 << 20;

/// Splits the text that it is given piece by piece. It keeps the line number, not the text.
#[derive(Debug)]
pub struct Splitter {
    /// The line of the next byte, from 1.
    line: u64,
    /// The array that is being read.
    array: Option<Array>,
    /// The arrays that were begun.
    arrays: u64,
    /// So many of the next bytes belong to an invalid value: no value in them exceeds its line.
    single_lines: usize,
    /// The end of the line of the next byte, as far as it was searched.
    line_end: LineEnd,
}

/// Remembers the end of a line, so that a line with many entries is searched once.
#[derive(Debug, Clone, Copy, Default)]
struct LineEnd {
    /// Up to here the bytes were searched.
    searched: usize,
    /// Whether the line ends there.
    found: bool,
}

impl LineEnd {
    /// Returns the end of the line in which `at` is, if it is known.
    fn of(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        if self.searched < at {
            *self = LineEnd { searched: at, found: false };
        }
        if !self.found {
            let rest = &bytes[self.searched.min(bytes.len())..];
            let end = rest.iter().position(|byte| matches!(*byte, b'\n' | RECORD_SEPARATOR));
            self.searched += end.unwrap_or(rest.len());
            self.found = end.is_some();
        }
        self.found.then_some(self.searched)
    }

    /// The same after the first `bytes` were read.
    fn after(self, bytes: usize) -> LineEnd {
        match self.searched.checked_sub(bytes) {
            Some(searched) => LineEnd { searched, ..self },
            None => LineEnd::default(),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Array {
    line: u64,
    /// The items that were read.
    items: u64,
}

/// One entry within the bytes that were passed to [`Splitter::next`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The line where the entry begins, from 1.
    pub line: u64,
    /// The number of the item in its array, from 1.
    pub index: Option<u64>,
    /// Where the entry begins. It equals `end` for an array that is not closed.
    pub start: usize,
    /// The end of the entry. The bytes after it are passed to the next call.
    pub end: usize,
}

impl Entry {
    /// The entry's text: `[` for an array that is not closed.
    pub fn text<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        if self.start == self.end { b"[" } else { bytes[self.start..self.end].trim_ascii_end() }
    }
}

/// What [`Splitter::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// An entry.
    Entry(Entry),
    /// The bytes may end within an entry. The same bytes are passed again, with more after them.
    More,
    /// Nothing is left.
    End,
}

/// Why no value ends in the scanned bytes.
enum Invalid {
    /// The bytes end within the value.
    Incomplete,
    /// The line on which the value is wrong, from 0, counted from its start.
    OnLine(usize),
}

impl Default for Splitter {
    fn default() -> Splitter {
        Splitter { line: 1, array: None, arrays: 0, single_lines: 0, line_end: LineEnd::default() }
    }
}

impl Splitter {
    /// Finds the next entry in `bytes`, which follow the end of the last entry. `ended`: no bytes
    /// come after them.
    pub fn next(&mut self, bytes: &[u8], ended: bool) -> Step {
        let mut array = self.array;
        let mut arrays = self.arrays;
        let mut line = self.line;
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            match rest {
                [] if !ended => return Step::More,
                [] => return self.end(array, bytes.len()),
                [b'\n', ..] => line += 1,
                [b' ' | b'\t' | b'\r' | RECORD_SEPARATOR, ..] => {}
                [0xef, ..] if !ended && rest.len() < 3 => return Step::More,
                _ if rest.starts_with(BYTE_ORDER_MARK) => at += 2,
                [b',', ..] if array.is_some() => {}
                [b']', ..] if array.is_some() => array = None,
                [b'[', ..] if array.is_none() => match self.begins_array(bytes, at, ended) {
                    None => return Step::More,
                    Some(false) => break,
                    Some(true) => {
                        array = Some(Array { line, items: 0 });
                        arrays += 1;
                    }
                },
                _ => break,
            }
            at += 1;
        }
        let Some((end, single_lines)) = self.entry_end(bytes, at, ended, array.is_some()) else {
            return Step::More;
        };
        let index = array.as_mut().map(|array| {
            array.items += 1;
            array.items
        });
        let newlines = bytes[at..end].iter().filter(|byte| **byte == b'\n').count() as u64;
        let (single_lines, line_end) = (remaining(single_lines, end), self.line_end.after(end));
        *self = Splitter { line: line + newlines, array, arrays, single_lines, line_end };
        Step::Entry(Entry { line, index, start: at, end })
    }

    /// Whether the bracket begins an array of entries, not a line that is no JSON, such as
    /// `[info] started`; `None`: more bytes have to come. Only the first line is read, because an array
    /// of many lines is taken item by item.
    fn begins_array(&mut self, bytes: &[u8], at: usize, ended: bool) -> Option<bool> {
        let end = self.line_end.of(bytes, at);
        let line = &bytes[at..end.unwrap_or(bytes.len())];
        match value_end(line) {
            Ok(_) => Some(true),
            Err(Invalid::OnLine(_)) => Some(false),
            Err(Invalid::Incomplete) if end.is_some() || line.len() > LONG_LINE => Some(true),
            Err(Invalid::Incomplete) => ended.then_some(false),
        }
    }

    /// Whether all entries so far are items of one array.
    pub fn one_array(&self) -> bool {
        self.arrays == 1
    }

    /// At the end of the text: an array that is not closed is an entry of its own.
    fn end(&mut self, array: Option<Array>, end: usize) -> Step {
        self.array = None;
        match array {
            Some(array) => Step::Entry(Entry { line: array.line, index: None, start: end, end }),
            None => Step::End,
        }
    }

    /// Returns where the entry that begins at `at` ends, and how many bytes have to be read line by
    /// line; `None`: more bytes have to come.
    fn entry_end(&mut self, bytes: &[u8], at: usize, ended: bool, in_array: bool) -> Option<(usize, usize)> {
        let mut end_of_line = || self.line_end.of(bytes, at).or(ended.then_some(bytes.len()));
        if !in_array && !matches!(bytes[at], b'{' | b'[') {
            return Some((end_of_line()?, self.single_lines));
        }
        if at < self.single_lines {
            let end = end_of_line()?;
            let length = value_end(&bytes[at..end]);
            return Some((length.map_or(end, |length| at + length), self.single_lines));
        }
        match value_end(&bytes[at..]) {
            Ok(length) if at + length == bytes.len() && !ended => None,
            Ok(length) => Some((at + length, 0)),
            Err(Invalid::Incomplete) if !ended => None,
            Err(Invalid::Incomplete) => Some((end_of_line()?, usize::MAX)),
            Err(Invalid::OnLine(lines)) => {
                let newlines = (at..bytes.len()).filter(|byte| bytes[*byte] == b'\n');
                Some((end_of_line()?, newlines.take(lines).last().unwrap_or(0)))
            }
        }
    }
}

/// Returns the bytes that still have to be read line by line after `end` bytes were read.
fn remaining(single_lines: usize, end: usize) -> usize {
    if single_lines == usize::MAX { usize::MAX } else { single_lines.saturating_sub(end) }
}

/// Returns the length of the JSON value at the start of `bytes`.
fn value_end(bytes: &[u8]) -> Result<usize, Invalid> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => Ok(values.byte_offset()),
        Some(Err(error)) if !error.is_eof() => Err(Invalid::OnLine(error.line().saturating_sub(1))),
        Some(Err(_)) | None => Err(Invalid::Incomplete),
    }
}

/// Returns the encoding of a text that is not UTF-8, judged by its first bytes.
pub fn foreign_encoding(start: &[u8]) -> Option<&'static str> {
    match start {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Some("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [1..=127, 0, 1..=127, ..] | [0, 1..=127, 0, ..] => {
            Some("UTF-16")
        }
        [0x1f, 0x8b, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The entries with their lines, if the text arrives in pieces of `piece` bytes.
    fn split(text: &str, piece: usize) -> Vec<(u64, String)> {
        let (mut splitter, mut entries) = (Splitter::default(), Vec::new());
        let (mut from, mut to) = (0, 0);
        loop {
            let bytes = &text.as_bytes()[from..to];
            match splitter.next(bytes, to == text.len()) {
                Step::End => return entries,
                Step::More => to = (to + piece).min(text.len()),
                Step::Entry(entry) => {
                    entries.push((entry.line, String::from_utf8_lossy(entry.text(bytes)).into_owned()));
                    from += entry.end;
                }
            }
        }
    }

    fn check(text: &str, entries: &[(u64, &str)]) {
        let entries: Vec<_> = entries.iter().map(|(line, entry)| (*line, (*entry).to_owned())).collect();
        for piece in [1, 2, 3, 7, 1_000] {
            assert_eq!(split(text, piece), entries, "{text:?} in pieces of {piece}");
        }
    }

    #[test]
    fn values_are_read_however_they_are_separated() {
        check("{\"a\":1}{\"b\":2}", &[(1, "{\"a\":1}"), (1, "{\"b\":2}")]);
        check("{} {}\r\n\n\t{}\n", &[(1, "{}"), (1, "{}"), (3, "{}")]);
        check("\u{1e}{}\n\u{1e}{}\n", &[(1, "{}"), (2, "{}")]);
        check("{\n \"a\": {\n }\n}\n{\n}", &[(1, "{\n \"a\": {\n }\n}"), (5, "{\n}")]);
        check("", &[]);
    }

    /// If every entry searched the rest of its line, each of these would take hours.
    #[test]
    fn many_entries_on_one_line_take_time_in_proportion_to_their_length() {
        const COUNT: usize = 500_000;
        for (text, entries) in [
            (format!("[{}1]", "1,".repeat(COUNT - 1)), COUNT),
            (format!("[{}{{}}]\n{{}}", "{},".repeat(COUNT - 1)), COUNT + 1),
            ("{}".repeat(COUNT), COUNT),
            ("[1]".repeat(COUNT), COUNT),
            // The first object is invalid, so the next line is read as a line.
            (format!("{{\"a\":\n{}x\n", "{}".repeat(COUNT)), COUNT + 2),
        ] {
            for piece in [64 << 10, text.len()] {
                assert_eq!(split(&text, piece).len(), entries, "{}...", &text[..9]);
            }
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped_wherever_a_file_was_appended() {
        check("\u{feff}{}\n\u{feff}{}", &[(1, "{}"), (2, "{}")]);
        check("\u{feff}[{}]", &[(1, "{}")]);
    }

    #[test]
    fn one_bad_line_costs_one_entry() {
        check("{}\nnonsense\n{}", &[(1, "{}"), (2, "nonsense"), (3, "{}")]);
        check("{\"a\":1\n{\"b\":2}\n", &[(1, "{\"a\":1"), (2, "{\"b\":2}")]);
        check("{\"a\":\"x\n{\"b\":2}\r\n{}", &[(1, "{\"a\":\"x"), (2, "{\"b\":2}"), (3, "{}")]);
        check("{\"a\":[\n{}\n{}", &[(1, "{\"a\":["), (2, "{}"), (3, "{}")]);
        check("{} trailing\n7{}\n{}", &[(1, "{}"), (1, "trailing"), (2, "7{}"), (3, "{}")]);
        check("[info] a\n{}", &[(1, "[info] a"), (2, "{}")]);
        check("[{}, nonsense]\n{}", &[(1, "[{}, nonsense]"), (2, "{}")]);
        check("[{},{}", &[(1, "[{},{}")]);
        check("{\u{1e}{}", &[(1, "{"), (1, "{}")]);
    }

    #[test]
    fn after_an_invalid_value_of_several_lines_such_values_are_read_again() {
        check("{\n\"a\"\n}\n{\n}", &[(1, "{"), (2, "\"a\""), (3, "}"), (4, "{\n}")]);
    }

    #[test]
    fn an_array_is_replaced_by_its_items() {
        check("[{}, 7,\n {\"a\":[1]}]\n{}", &[(1, "{}"), (1, "7"), (2, "{\"a\":[1]}"), (3, "{}")]);
        check("[1,\"a\",null][]", &[(1, "1"), (1, "\"a\""), (1, "null")]);
        check("[{},\nbad,\n{}\n]", &[(1, "{}"), (2, "bad,"), (3, "{}")]);
        check("[\n{},\n{}", &[(2, "{}"), (3, "{}"), (1, "[")]);
    }

    #[test]
    fn the_time_to_split_grows_with_the_length_of_the_text() {
        for line in ["[\n", "{\"a\":\n", "[{\n", "{\n"] {
            let text = line.repeat(200_000);
            let (mut splitter, mut from, mut entries) = (Splitter::default(), 0, 0);
            while let Step::Entry(entry) = splitter.next(&text.as_bytes()[from..], true) {
                from += entry.end;
                entries += 1;
            }
            assert!(entries >= 200_000, "{line:?}: {entries}");
        }
    }

    #[test]
    fn encodings_other_than_utf_8_are_recognized() {
        for (start, encoding) in [
            (&b"\xff\xfe{\0"[..], Some("UTF-16")),
            (b"{\0\"\0", Some("UTF-16")),
            (b"\0{\0\"", Some("UTF-16")),
            (b"\x1f\x8b\x08", Some("gzip")),
            (b"\xef\xbb\xbf{}", None),
            (b"{}", None),
            (b"", None),
        ] {
            assert_eq!(foreign_encoding(start), encoding, "{start:?}");
        }
    }
}

//! One data object: lines of JSON, compressed by Zstandard. Builds and reads it.
//!
//! Invariant: the lines of an object cover its offsets without a hole.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pricedrop_model::archive::ArchivedRecord;
use sha2::{Digest, Sha256};
use zstd::stream::read::Decoder;
use zstd::stream::write::Encoder;

use crate::name::Range;
use crate::record::Line;

/// Compression level of Zstandard.
const LEVEL: i32 = 3;
/// Longest line that is read, bytes. A record of 100 MB in base64 fits.
const LINE_BYTES: u64 = 160 << 20;

/// An object under construction.
pub struct Builder {
    encoder: Encoder<'static, Vec<u8>>,
    first: i64,
    next: i64,
    /// The object ends before this offset: the topic was read up to it. At least `next`.
    passed: i64,
    records: u64,
    first_timestamp_ms: i64,
    last_line: Vec<u8>,
    line_bytes: usize,
    first_pushed: Option<Instant>,
}

/// A complete object.
#[derive(Debug, Clone)]
pub struct Object {
    /// The offsets it covers.
    pub range: Range,
    /// Number of records.
    pub records: u64,
    /// Timestamp of the first record, epoch milliseconds.
    pub first_timestamp_ms: i64,
    /// The compressed lines.
    pub bytes: Bytes,
    /// Offset of the last record.
    pub last_offset: i64,
    /// SHA-256 of the last record's line, hexadecimal. See [`crate::LastRecord`].
    pub last_line_sha256: String,
}

/// The result of closing a [`Builder`].
#[derive(Debug, Clone)]
pub enum Closed {
    /// An object with at least one record.
    Object(Object),
    /// These offsets hold no record, so no object is needed.
    Empty(Range),
}

impl Builder {
    /// An empty object that begins at this offset.
    pub fn new(first: i64) -> Builder {
        let mut encoder = Encoder::new(Vec::new(), LEVEL).expect("the level is one of the library's");
        encoder.include_checksum(true).expect("the library can add a checksum");
        Builder {
            encoder,
            first,
            next: first,
            passed: first,
            records: 0,
            first_timestamp_ms: 0,
            last_line: Vec::new(),
            line_bytes: 0,
            first_pushed: None,
        }
    }

    /// Adds a record, and a gap for the offsets before it.
    ///
    /// # Panics
    /// If the offset is not past the last one. The caller reads in offset order.
    pub fn push(&mut self, record: ArchivedRecord) {
        assert!(record.offset >= self.next, "offset {} after {}", record.offset, self.next - 1);
        if self.records == 0 {
            self.first_timestamp_ms = record.timestamp_ms;
            self.first_pushed = Some(Instant::now());
        }
        if record.offset > self.next {
            self.write(&Line::Gap { first: self.next, last: record.offset - 1 }.to_json());
        }
        self.next = record.offset + 1;
        // An earlier `pass` ends before this record.
        self.passed = self.next;
        self.records += 1;
        self.last_line = Line::Record(record).to_json();
        let line = std::mem::take(&mut self.last_line);
        self.write(&line);
        self.last_line = line;
    }

    fn write(&mut self, line: &[u8]) {
        self.line_bytes += line.len() + 1;
        let written = self.encoder.write_all(line).and_then(|()| self.encoder.write_all(b"\n"));
        written.expect("memory takes every byte");
    }

    /// Extends the object up to this offset: the topic was read up to it, and every record before
    /// it was added. The next record replaces this value.
    pub fn pass(&mut self, offset: i64) {
        if self.is_empty() && offset > self.first {
            self.first_pushed = Some(Instant::now());
        }
        self.passed = self.next.max(offset);
    }

    /// The offset after the last record.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// Whether it covers no offset.
    pub fn is_empty(&self) -> bool {
        self.records == 0 && self.passed == self.first
    }

    /// Compressed bytes so far, without those in the compressor's buffer.
    pub fn bytes(&self) -> usize {
        self.encoder.get_ref().len()
    }

    /// Uncompressed bytes so far.
    pub fn line_bytes(&self) -> usize {
        self.line_bytes
    }

    /// Time since the first record was added, or the first offset passed.
    pub fn age(&self) -> Duration {
        self.first_pushed.map_or(Duration::ZERO, |at| at.elapsed())
    }

    /// Timestamp of the first record, epoch milliseconds.
    pub fn first_timestamp_ms(&self) -> i64 {
        self.first_timestamp_ms
    }

    /// Completes the object. It must cover at least one offset; without a record, the result is
    /// [`Closed::Empty`].
    pub fn close(self) -> Closed {
        match self.records {
            0 => Closed::Empty(Range { first: self.first, last: self.passed - 1 }),
            _ => Closed::Object(self.finish()),
        }
    }

    /// Completes the object. It must hold at least one record.
    pub fn finish(mut self) -> Object {
        assert!(self.records > 0, "an object without records");
        if self.passed > self.next {
            self.write(&Line::Gap { first: self.next, last: self.passed - 1 }.to_json());
        }
        Object {
            range: Range { first: self.first, last: self.passed - 1 },
            last_offset: self.next - 1,
            records: self.records,
            first_timestamp_ms: self.first_timestamp_ms,
            bytes: self.encoder.finish().expect("memory takes every byte").into(),
            last_line_sha256: sha256(&self.last_line),
        }
    }
}

/// Returns the SHA-256 of these bytes, hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Calls `see` with every line of an object, in order, and checks that the lines cover the object's
/// offsets without a hole. Returns the number of records and the SHA-256 of the last record's line.
///
/// # Errors
/// The object cannot be decompressed, a line cannot be read, or lines are missing.
pub fn read(bytes: &[u8], range: Range, mut see: impl FnMut(Line)) -> Result<(u64, String), String> {
    let decoder = Decoder::with_buffer(bytes).map_err(|error| format!("not Zstandard: {error}"))?;
    let mut lines = BufReader::new(decoder);
    let (mut next, mut records, mut last_line) = (range.first, 0, Vec::new());
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut lines).take(LINE_BYTES).read_until(b'\n', &mut line);
        if read.map_err(|error| format!("at offset {next}: {error}"))? == 0 {
            break;
        }
        if line.pop() != Some(b'\n') {
            return Err(format!("at offset {next}: a line is not complete"));
        }
        let parsed = Line::from_json(&line).map_err(|error| format!("at offset {next}: {error}"))?;
        let (first, last) = parsed.offsets();
        if first != next || last > range.last {
            return Err(format!("offset {first} where {next} is expected, in an object of {range}"));
        }
        next = last + 1;
        if matches!(parsed, Line::Record(_)) {
            records += 1;
            std::mem::swap(&mut last_line, &mut line);
        }
        see(parsed);
    }
    match next == range.last + 1 {
        true => Ok((records, sha256(&last_line))),
        false => Err(format!("it ends before offset {next}, and should end with {}", range.last)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn record(offset: i64) -> ArchivedRecord {
        let value = Some(Bytes::from(format!("value {offset}")));
        ArchivedRecord { offset, timestamp_ms: offset * 10, key: None, value, headers: Vec::new() }
    }

    fn object() -> Object {
        let mut builder = Builder::new(3);
        [5, 6, 9].into_iter().for_each(|offset| builder.push(record(offset)));
        builder.finish()
    }

    #[test]
    fn an_object_holds_its_records_and_the_gaps_between_them() {
        let object = object();
        assert_eq!((object.range, object.records), (Range { first: 3, last: 9 }, 3));
        let mut lines = Vec::new();
        let (records, last) = read(&object.bytes, object.range, |line| lines.push(line)).unwrap();
        assert_eq!((records, &last), (3, &object.last_line_sha256));
        let gap = |first, last| Line::Gap { first, last };
        let record = |offset| Line::Record(record(offset));
        assert_eq!(lines, [gap(3, 4), record(5), record(6), gap(7, 8), record(9)]);
    }

    #[test]
    fn offsets_that_were_read_past_the_last_record_are_a_gap_at_the_end() {
        let mut builder = Builder::new(3);
        builder.push(record(3));
        builder.pass(9);
        // A further record replaces the offset that was passed.
        builder.push(record(5));
        assert_eq!(builder.next(), 6);
        builder.pass(8);
        let object = builder.finish();
        assert_eq!((object.range, object.last_offset), (Range { first: 3, last: 7 }, 5));
        let mut lines = Vec::new();
        let (records, last) = read(&object.bytes, object.range, |line| lines.push(line)).unwrap();
        assert_eq!((records, last), (2, sha256(&Line::Record(record(5)).to_json())));
        assert_eq!(
            lines[1..],
            [Line::Gap { first: 4, last: 4 }, Line::Record(record(5)), Line::Gap { first: 6, last: 7 }]
        );
    }

    #[test]
    fn offsets_without_any_record_need_no_object() {
        let mut builder = Builder::new(3);
        builder.pass(3);
        assert!(builder.is_empty());
        builder.pass(5);
        assert!(!builder.is_empty());
        assert!(matches!(builder.close(), Closed::Empty(Range { first: 3, last: 4 })));
    }

    #[test]
    fn damage_is_noticed() {
        let Object { bytes, range, .. } = object();
        let refused = |bytes: &[u8], range| read(bytes, range, |_| {}).unwrap_err();
        refused(&bytes[..bytes.len() - 1], range);
        refused(b"", range);
        refused(&bytes, Range { first: 2, last: 9 });
        refused(&bytes, Range { first: 3, last: 8 });
        refused(&bytes, Range { first: 3, last: 10 });
        for at in 0..bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 1;
            // Some flags in the first bytes of a frame do not change the content.
            let read = read(&flipped, range, |_| {});
            assert!(read.is_err() || at < 6, "byte {at} of {} was flipped unnoticed", bytes.len());
        }
    }
}

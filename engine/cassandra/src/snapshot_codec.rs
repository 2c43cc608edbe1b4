//! The encoding of a cache entry: all watches of a product or bucket, sorted, so that any range
//! can be read from it.
//!
//! ```text
//! snapshot  = hash of the body (8 bytes), body
//! body   = format, flags, [last_changed], rows, group*
//! group  = units, scale, rows, bytes, row*        one threshold; `bytes` allows skipping it
//! row    = user bytes, user, kind, [currency], [updated_at], write_time
//! ```
//! Numbers are LEB128; signed ones are zigzag-encoded first. A write time is stored as its
//! difference from `updated_at`, which is usually zero or small.

use bytes::Bytes;
use pricedrop_model::{Currency, Cursor, Mode, Price, WallTime, WatchPage, WatchRow, WriteTime};

use xxhash_rust::xxh3::xxh3_64;

use super::rows::Bounds;

/// The format that `Encoder` writes. An entry of any other format is ignored.
const FORMAT: u8 = 1;

const EVERY_DROP: u8 = 1;
const CROSSING: u8 = 2;
const MODELESS: u8 = 4;
const CHANGED: u8 = 8;
/// The product or bucket has more rows than an entry holds; no rows follow.
const TOO_LARGE: u8 = 16;

const HAS_CURRENCY: u8 = 4;
const HAS_UPDATED_AT: u8 = 8;

/// What is known about all rows of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Header {
    pub(super) every_drop: bool,
    pub(super) crossing: bool,
    pub(super) modeless: bool,
    pub(super) last_changed: Option<WallTime>,
    pub(super) too_large: bool,
    pub(super) rows: u64,
}

impl Header {
    /// Counts a row.
    pub(super) fn count(&mut self, mode: Option<Mode>, updated_at: Option<WallTime>) {
        match mode {
            None => self.modeless = true,
            Some(Mode::EveryDrop) => self.every_drop = true,
            Some(Mode::Crossing | Mode::Once) => self.crossing = true,
        }
        self.last_changed = self.last_changed.max(updated_at);
        self.rows += 1;
    }

    fn flags(&self) -> u8 {
        let all = [
            (self.every_drop, EVERY_DROP),
            (self.crossing, CROSSING),
            (self.modeless, MODELESS),
            (self.last_changed.is_some(), CHANGED),
            (self.too_large, TOO_LARGE),
        ];
        all.into_iter().filter(|(set, _)| *set).map(|(_, flag)| flag).sum()
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.extend([FORMAT, self.flags()]);
        if let Some(WallTime(changed)) = self.last_changed {
            put_signed(out, changed);
        }
        put(out, self.rows);
    }

    fn read(input: &mut Input<'_>) -> Option<Header> {
        if input.byte()? != FORMAT {
            return None;
        }
        let flags = input.byte()?;
        let last_changed = match flags & CHANGED {
            0 => None,
            _ => Some(WallTime(input.signed()?)),
        };
        Some(Header {
            every_drop: flags & EVERY_DROP != 0,
            crossing: flags & CROSSING != 0,
            modeless: flags & MODELESS != 0,
            last_changed,
            too_large: flags & TOO_LARGE != 0,
            rows: input.number()?,
        })
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_signed(out: &mut Vec<u8>, number: i64) {
    put(out, (number.wrapping_shl(1) ^ (number >> 63)) as u64);
}

/// A reader of bytes. Its methods return `None` if the bytes end too early.
#[derive(Clone, Copy)]
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn take(&mut self, bytes: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(bytes).ok()?)?;
        self.0 = rest;
        Some(taken)
    }
}

/// Encodes rows that are added in order.
#[derive(Default)]
pub(super) struct Encoder {
    header: Header,
    groups: Vec<u8>,
    group: Vec<u8>,
    threshold: Option<Price>,
    in_group: u64,
}

impl Encoder {
    /// Appends rows, which must come after those already added.
    pub(super) fn add(&mut self, page: &WatchPage) {
        for row in page.iter() {
            if self.threshold != Some(row.threshold) {
                self.close_group();
                self.threshold = Some(row.threshold);
            }
            self.header.count(row.mode, row.updated_at);
            self.in_group += 1;
            put_row(&mut self.group, &row);
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.header.rows
    }

    fn close_group(&mut self) {
        if let Some(threshold) = self.threshold.take() {
            put(&mut self.groups, threshold.units().unsigned_abs());
            self.groups.push(threshold.scale());
            put(&mut self.groups, self.in_group);
            put(&mut self.groups, self.group.len() as u64);
            self.groups.append(&mut self.group);
            self.in_group = 0;
        }
    }

    pub(super) fn finish(mut self) -> Bytes {
        self.close_group();
        let mut body = Vec::with_capacity(self.groups.len() + 32);
        self.header.write(&mut body);
        body.append(&mut self.groups);
        sealed(body)
    }
}

/// Encodes an entry that says only that its rows are too many.
pub(super) fn too_large(rows: u64) -> Bytes {
    let mut body = Vec::new();
    let all = Header { every_drop: true, crossing: true, modeless: true, ..Header::default() };
    Header { too_large: true, rows, ..all }.write(&mut body);
    sealed(body)
}

const HASH_BYTES: usize = 8;

fn sealed(body: Vec<u8>) -> Bytes {
    let mut sealed = Vec::with_capacity(HASH_BYTES + body.len());
    sealed.extend(xxh3_64(&body).to_be_bytes());
    sealed.extend(body);
    sealed.into()
}

fn put_row(out: &mut Vec<u8>, row: &WatchRow<'_>) {
    put(out, row.user.len() as u64);
    out.extend_from_slice(row.user.as_bytes());
    let mode = row.mode.map_or(0, |mode| mode as u8 + 1);
    let currency = if row.currency.is_some() { HAS_CURRENCY } else { 0 };
    let updated = if row.updated_at.is_some() { HAS_UPDATED_AT } else { 0 };
    out.push(mode | currency | updated);
    if let Some(currency) = row.currency {
        out.extend_from_slice(currency.as_str().as_bytes());
    }
    let mut near = 0;
    if let Some(WallTime(at)) = row.updated_at {
        put_signed(out, at);
        near = at.wrapping_mul(1000);
    }
    put_signed(out, row.write_time.0.wrapping_sub(near));
}

fn read_row<'a>(input: &mut Input<'a>, threshold: Price) -> Option<WatchRow<'a>> {
    let user = input.number()?;
    let user = std::str::from_utf8(input.take(user)?).ok()?;
    let kind = input.byte()?;
    let mode = match kind & 3 {
        0 => None,
        number => Some(Mode::ALL[usize::from(number) - 1].1),
    };
    let currency = match kind & HAS_CURRENCY {
        0 => None,
        _ => Some(Currency::new(std::str::from_utf8(input.take(3)?).ok()?).ok()?),
    };
    let updated_at = match kind & HAS_UPDATED_AT {
        0 => None,
        _ => Some(WallTime(input.signed()?)),
    };
    let near = updated_at.map_or(0, |WallTime(at)| at.wrapping_mul(1000));
    let write_time = WriteTime(input.signed()?.wrapping_add(near));
    Some(WatchRow { threshold, user, mode, currency, updated_at, write_time })
}

/// A decoded entry whose hash matched, so it is complete.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    bytes: Bytes,
    groups_at: usize,
    header: Header,
}

impl Snapshot {
    /// Opens an entry. Returns `None` if its hash or format does not match.
    pub(super) fn open(bytes: Bytes) -> Option<Snapshot> {
        let (hash, body) = bytes.split_first_chunk()?;
        if xxh3_64(body) != u64::from_be_bytes(*hash) {
            return None;
        }
        let mut input = Input(body);
        let header = Header::read(&mut input)?;
        let groups_at = bytes.len() - input.0.len();
        Some(Snapshot { bytes, groups_at, header })
    }

    pub(super) fn header(&self) -> &Header {
        &self.header
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Fills a page with up to `most` rows within `bounds` and after `after`. Returns whether
    /// there may be more, or `None` if the bytes are damaged.
    pub(super) fn fill(
        &self,
        bounds: &Bounds,
        after: Option<&Cursor>,
        most: usize,
        page: &mut WatchPage,
    ) -> Option<bool> {
        let from = after.map_or(bounds.from, |after| after.threshold.max(bounds.from));
        let mut input = Input(&self.bytes[self.groups_at..]);
        while !input.0.is_empty() {
            let group = Group::read(&mut input)?;
            if group.threshold < from {
                continue;
            }
            if bounds.ends_at(group.threshold) {
                return Some(false);
            }
            let behind = after.filter(|after| after.threshold == group.threshold);
            let mut bytes = Input(group.bytes);
            for _ in 0..group.rows {
                let row = read_row(&mut bytes, group.threshold)?;
                if behind.is_some_and(|after| row.user <= after.user.as_str()) {
                    continue;
                }
                if page.len() >= most {
                    return Some(true);
                }
                page.push(row);
            }
        }
        Some(false)
    }
}

/// The rows of one threshold.
struct Group<'a> {
    threshold: Price,
    rows: u64,
    bytes: &'a [u8],
}

impl<'a> Group<'a> {
    fn read(input: &mut Input<'a>) -> Option<Group<'a>> {
        let units = i64::try_from(input.number()?).ok()?;
        let threshold = Price::new(units, input.byte()?.into()).ok()?;
        let (rows, bytes) = (input.number()?, input.number()?);
        Some(Group { threshold, rows, bytes: input.take(bytes)? })
    }
}

#[cfg(test)]
#[path = "snapshot_codec_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;

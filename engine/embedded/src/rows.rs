//! Encodes and decodes the values of rows.

use pricedrop_model::{Cause, Currency, Mode, Price, UserId, WallTime, Watch, WatchRow, WriteTime};
use serde::{Deserialize, Serialize};

use super::error::Broken;
use super::keys;
use super::watch_clock::Stamp;

/// A flag in the first byte of a watch. The lower bits are the threshold's decimals and the mode.
const HAS_CURRENCY: u8 = 1 << 6;

/// Encodes a watch: a byte of flags, the write time (microseconds), the difference of
/// `updated_at` from it (milliseconds), and the currency.
pub(super) fn encode_watch(watch: &Watch, stamp: Stamp) -> Vec<u8> {
    let mode = watch.mode.map_or(0, |mode| 1 + mode as u8);
    let currency = watch.currency.map_or(0, |_| HAS_CURRENCY);
    let mut value = Vec::with_capacity(14);
    value.push(watch.price_watch_value.scale() | (mode << 4) | currency);
    value.extend(stamp.write_time.0.to_be_bytes());
    push_varint(&mut value, zigzag(stamp.updated_at.0 - stamp.write_time.0.div_euclid(1000)));
    if let Some(currency) = watch.currency {
        value.extend(currency.as_str().as_bytes());
    }
    value
}

/// A decoded watch, without its key.
#[derive(Debug, Clone, Copy)]
pub(super) struct WatchValue {
    scale: u8,
    pub(super) mode: Option<Mode>,
    pub(super) currency: Option<Currency>,
    pub(super) updated_at: WallTime,
    pub(super) write_time: WriteTime,
}

impl WatchValue {
    pub(super) fn decode(value: &[u8]) -> Result<WatchValue, Broken> {
        let broken = || Broken("a watch's value is not as it was written".into());
        let (&flags, rest) = value.split_first().ok_or_else(broken)?;
        let (write_time, rest) = rest.split_first_chunk().ok_or_else(broken)?;
        let write_time = i64::from_be_bytes(*write_time);
        let (ahead, rest) = take_varint(rest).ok_or_else(broken)?;
        let currency = match flags & HAS_CURRENCY {
            0 => None,
            _ => Some(
                std::str::from_utf8(rest)
                    .ok()
                    .and_then(|text| Currency::new(text).ok())
                    .ok_or_else(broken)?,
            ),
        };
        let mode = match (flags >> 4) & 3 {
            0 => None,
            known => Some(Mode::ALL[usize::from(known) - 1].1),
        };
        Ok(WatchValue {
            scale: flags & 15,
            mode,
            currency,
            updated_at: WallTime(write_time.div_euclid(1000) + unzigzag(ahead)),
            write_time: WriteTime(write_time),
        })
    }

    /// Returns the threshold of a sort key. The stored number of decimals makes this cheap,
    /// because trailing zeros need not be searched.
    pub(super) fn threshold(&self, key: [u8; 12]) -> Result<Price, Broken> {
        let mut wide = [0; 16];
        wide[4..].copy_from_slice(&key);
        let finer = 9u32.checked_sub(self.scale.into()).ok_or_else(|| Broken("a price's decimals".into()))?;
        let units = u128::from_be_bytes(wide) / 10u128.pow(finer);
        let units = i64::try_from(units).map_err(|error| Broken(Cause::of(error)))?;
        Price::new(units, self.scale.into()).map_err(|error| Broken(Cause::of(error)))
    }

    /// Returns it as the row of a page.
    pub(super) fn row<'a>(&self, threshold: Price, user: &'a str) -> WatchRow<'a> {
        WatchRow {
            threshold,
            user,
            mode: self.mode,
            currency: self.currency,
            updated_at: Some(self.updated_at),
            write_time: self.write_time,
        }
    }

    /// Returns the watch that has this key.
    pub(super) fn watch(&self, key: &[u8]) -> Result<Watch, Broken> {
        let (product_id, price_watch_value, user_id): (_, _, UserId) = keys::split_watch(key)?;
        Ok(Watch {
            product_id,
            price_watch_value,
            user_id,
            mode: self.mode,
            currency: self.currency,
            updated_at: Some(self.updated_at),
        })
    }
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unzigzag(number: u64) -> i64 {
    ((number >> 1) as i64) ^ -((number & 1) as i64)
}

fn push_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 128 {
        out.push(number as u8 | 128);
        number >>= 7;
    }
    out.push(number as u8);
}

fn take_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (at, &byte) in bytes.iter().take(10).enumerate() {
        number |= u64::from(byte & 127) << (7 * at);
        if byte < 128 {
            return Some((number, &bytes[at + 1..]));
        }
    }
    None
}

/// What is known of a product's watches without reading them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ProductRow {
    /// How many watches have no mode, then how many have each mode, in the order of
    /// [`Mode::ALL`].
    pub(super) counts: [u64; 4],
    /// When a watch was last written, in milliseconds since the epoch.
    pub(super) last_changed: i64,
    /// Its indexes by bucket: the one that is read, and one being built.
    pub(super) indexes: Vec<IndexSlot>,
}

/// An index by bucket of one product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IndexSlot {
    /// The number of the mapping that assigns its buckets.
    pub(super) mapping: u32,
    /// Its own number, with which the keys of its rows begin.
    pub(super) index: u64,
    /// Whether it contains every watch of the product.
    pub(super) complete: bool,
}

impl ProductRow {
    pub(super) fn watches(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns the count of a mode.
    pub(super) fn count(&mut self, mode: Option<Mode>) -> &mut u64 {
        &mut self.counts[mode.map_or(0, |mode| 1 + mode as usize)]
    }

    /// Returns the complete index of a mapping.
    pub(super) fn index_of(&self, mapping: u32) -> Option<u64> {
        self.indexes.iter().find(|slot| slot.mapping == mapping && slot.complete).map(|slot| slot.index)
    }
}

/// Encodes a row as postcard. Only a type with exactly the same fields can decode it.
pub(super) fn encode<T: Serialize>(row: &T) -> Vec<u8> {
    postcard::to_allocvec(row).expect("rows hold only plain values")
}

/// Decodes a row from postcard.
pub(super) fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Broken> {
    postcard::from_bytes(bytes).map_err(|error| Broken(Cause::new("a stored row", error)))
}

/// Encodes a row as JSON, for types that omit absent fields.
pub(super) fn to_json<T: Serialize>(row: &T) -> Vec<u8> {
    serde_json::to_vec(row).expect("rows hold only plain values")
}

/// Decodes a row from JSON.
pub(super) fn from_json<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, Broken> {
    serde_json::from_slice(bytes).map_err(|error| Broken(Cause::new("a stored row", error)))
}

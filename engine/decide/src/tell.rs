//! The exact filter: every candidate of a fan-out goes through it, whatever
//! store, cache or plugin it came through.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use pricedrop_model::limits::ONCE_RANGE_MS;
use pricedrop_model::{Currency, FanOut, Mode, OnceRange, WatchRow};
use xxhash_rust::xxh3::xxh3_128;

/// What a fan-out does with a watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It fires, and its user hears of it.
    Told,
    /// It fires, and a lower watch of the same user already told them.
    Covered,
    /// It does not fire.
    Silent(Silence),
}

/// Why a watch does not fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// The price is above its threshold.
    NotReached,
    /// It waits for another currency.
    OtherCurrency,
    /// An every-drop watch that was told this price within the window.
    ToldBefore,
    /// A crossing or once watch that fired, and was not re-armed.
    Spent,
    /// A once-watch that was told; its row is about to go.
    Gone,
}

/// Decides one fan-out, watch by watch, in ascending order of threshold.
/// Remembers 16 bytes per user told.
#[derive(Debug, Default)]
pub struct Teller {
    told: HashSet<u128, BuildHasherDefault<AlreadyHashed>>,
}

impl Teller {
    /// Decides one watch. `rules_currency` stands in where the watch names none.
    pub fn consider(
        &mut self,
        fan_out: &mut FanOut,
        once_ranges: &[OnceRange],
        currency: Currency,
        rules_currency: Currency,
        row: &WatchRow<'_>,
    ) -> Verdict {
        let mode = row.mode.unwrap_or(fan_out.mode);
        if row.threshold < fan_out.priced.price {
            return Verdict::Silent(Silence::NotReached);
        }
        if row.currency.unwrap_or(rules_currency) != currency {
            return Verdict::Silent(Silence::OtherCurrency);
        }
        if let Some(silence) = silence(fan_out, once_ranges, mode, row) {
            return Verdict::Silent(silence);
        }
        fan_out.told_every_drop |= mode == Mode::EveryDrop;
        fan_out.told_once |= mode == Mode::Once;
        match self.told.insert(xxh3_128(row.user.as_bytes())) {
            true => Verdict::Told,
            false => Verdict::Covered,
        }
    }
}

fn silence(fan_out: &FanOut, once_ranges: &[OnceRange], mode: Mode, row: &WatchRow<'_>) -> Option<Silence> {
    if mode == Mode::EveryDrop {
        let entry = fan_out.told_before?;
        let changed_since = row.updated_at.is_some_and(|at| at > entry.wall_time);
        return (!changed_since).then_some(Silence::ToldBefore);
    }
    if fan_out.floor.spends(row.threshold, fan_out.hysteresis) {
        return Some(Silence::Spent);
    }
    let told_once = |range: &OnceRange| {
        let kept = fan_out.wall_time.0.saturating_sub(range.wall_time.0) < ONCE_RANGE_MS;
        let changed_since = row.updated_at.is_some_and(|at| at > range.wall_time);
        kept && range.contains(row.threshold) && !changed_since
    };
    (mode == Mode::Once && once_ranges.iter().any(told_once)).then_some(Silence::Gone)
}

/// Passes on what is a hash already.
#[derive(Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        let half = bytes.first_chunk().expect("a u128 has sixteen bytes");
        self.0 = u64::from_ne_bytes(*half);
    }
    fn write_u128(&mut self, hash: u128) {
        self.0 = hash as u64;
    }
}

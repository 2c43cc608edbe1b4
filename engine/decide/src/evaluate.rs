//! Detects drops: compares a price with the last evaluated price of the product, and updates the
//! product's state.

use pricedrop_model::limits::{LEDGER_ENTRIES, ONCE_RANGES};
use pricedrop_model::{
    Evaluated, EventTime, FanOut, FirstPrice, LedgerEntry, OnceRange, Priced, ProductState, ReadPath, Rules,
    ViewTime,
};

/// The result of an evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evaluation {
    /// The first price of the product: it is stored and notifies nobody.
    Baseline,
    /// Not below the last price: it is stored.
    NotLower,
    /// A drop. The state changes when its fan-out is finished, in [`finish`].
    Drop(Box<FanOut>),
}

/// Evaluates a price. `now` is the time of the view from which its watches are read.
pub fn evaluate(state: &mut ProductState, priced: &Priced, rules: &Rules, now: ViewTime) -> Evaluation {
    let price = priced.price;
    let here = Evaluated { price, at: now.wall_time };
    match state.last {
        None if rules.first_price == FirstPrice::Baseline => {
            state.last = Some(here);
            state.floor = state.floor.drop_to(price, rules.hysteresis);
            Evaluation::Baseline
        }
        Some(last) if price >= last.price => {
            state.last = Some(here);
            state.floor = state.floor.rise_to(price, rules.hysteresis);
            Evaluation::NotLower
        }
        previous => Evaluation::Drop(Box::new(FanOut {
            priced: priced.clone(),
            previous: previous.map(|last| last.price),
            floor: state.floor,
            told_before: told_before(state, priced, rules.dedup_window_ms),
            began: now,
            mode: rules.mode,
            hysteresis: rules.hysteresis,
            path: ReadPath::Plain,
            cursor: None,
            told: 0,
            told_every_drop: false,
            told_once: false,
        })),
    }
}

/// Returns the ledger's entry of this price, unless it has expired.
fn told_before(state: &ProductState, priced: &Priced, window_ms: i64) -> Option<LedgerEntry> {
    let entry = state.ledger.iter().find(|entry| entry.price == priced.price)?;
    (!expired(entry, priced.event_time, window_ms)).then_some(*entry)
}

/// Whether the deduplication window of an entry has ended at event time `now`.
fn expired(entry: &LedgerEntry, now: EventTime, window_ms: i64) -> bool {
    now.0.saturating_sub(entry.event_time.0) >= window_ms
}

/// Updates the state for a fan-out whose last chunk is decided. Returns how many prices left the
/// full ledger before their window ended: drops to them may notify the same users again.
pub fn finish(state: &mut ProductState, fan_out: &FanOut, dedup_window_ms: i64) -> usize {
    let priced = &fan_out.priced;
    state.last = Some(Evaluated { price: priced.price, at: fan_out.began.wall_time });
    state.floor = fan_out.floor.drop_to(priced.price, fan_out.hysteresis);
    let forgotten = set_ledger(state, fan_out, dedup_window_ms);
    add_once_range(state, fan_out);
    state.fan_out = None;
    forgotten
}

/// Updates the ledger for a drop. A price is entered if an every-drop watch fired. Each further drop
/// to it within the window restarts the window, whether it notifies anyone or not.
fn set_ledger(state: &mut ProductState, fan_out: &FanOut, window_ms: i64) -> usize {
    let (price, event_time) = (fan_out.priced.price, fan_out.priced.event_time);
    state.ledger.retain(|entry| entry.price != price && !expired(entry, event_time, window_ms));
    if fan_out.told_every_drop || fan_out.told_before.is_some() {
        state.ledger.push(LedgerEntry { price, event_time, evaluated: fan_out.began });
    }
    let over = state.ledger.len().saturating_sub(LEDGER_ENTRIES);
    state.ledger.drain(..over);
    over
}

fn add_once_range(state: &mut ProductState, fan_out: &FanOut) {
    state.once_ranges.retain(|range| range.is_kept(fan_out.began));
    if fan_out.told_once {
        state.once_ranges.push(OnceRange {
            from: fan_out.priced.price,
            below: fan_out.floor,
            hysteresis: fan_out.hysteresis,
            evaluated: fan_out.began,
        });
    }
    let over = state.once_ranges.len().saturating_sub(ONCE_RANGES);
    state.once_ranges.drain(..over);
}

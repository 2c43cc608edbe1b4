//! The steps of a history, and the proptest strategies that generate them.

use pricedrop_model::limits::{EARLIEST_MS, LATEST_MS};
use pricedrop_model::{Currency, FirstPrice, Hysteresis, Mode, Rules};
use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::select;

use super::spelling::{MALFORMED, SPELLINGS};

const SECOND: i64 = 1_000;
const DAY: i64 = 24 * 3600 * SECOND;

/// The parameters of a history, and its steps. Steps name products, users and prices by number,
/// modulo the sizes given here.
#[derive(Debug, Clone)]
pub struct Plot {
    /// How many products, 1 to 3.
    pub products: u8,
    /// How many users, 1 to 6.
    pub users: u8,
    /// How many prices of the list, 2 to 15.
    pub prices: u8,
    /// Whether updates may have sequences.
    pub counts: bool,
    /// The steps, in order.
    pub steps: Vec<Step>,
}

/// One step of a history.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub enum Step {
    Update {
        product: u8,
        price: u8,
        currency: Option<Currency>,
        seq: Seq,
        when: When,
        spelling: u8,
    },
    Malformed {
        product: u8,
        kind: u8,
        when: When,
    },
    Tombstone {
        product: u8,
        readable: bool,
    },
    Put(Watched),
    Delete {
        product: u8,
        user: u8,
        threshold: u8,
    },
    ApplyRemovals,
    /// More drops in a row than the ledger has entries.
    Staircase {
        product: u8,
        user: u8,
        back: u8,
    },
    /// Once-watches that are notified one after the other, about as many as there are once-ranges.
    OnceQueue {
        product: u8,
        user: u8,
        length: u8,
        late: Option<i64>,
    },
}

/// A watch to write.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct Watched {
    pub product: u8,
    pub user: u8,
    pub threshold: u8,
    pub mode: Option<Mode>,
    pub currency: Option<Currency>,
    /// Milliseconds relative to the history's time. `None` means the row has no `updated_at`. Ignored
    /// in a history with a clock.
    pub at: Option<i64>,
}

/// The sequence of an update.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub enum Seq {
    Absent,
    Next,
    Repeated,
    Older(u8),
    Extreme(i64),
}

/// The `occurredAt` of an update, in milliseconds relative to the history's time.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub enum When {
    Absent,
    Same,
    Forward(i64),
    Back(i64),
    Extreme(i64),
}

/// Generates rules.
pub fn rules() -> impl Strategy<Value = Rules> {
    let mode = select(vec![Mode::EveryDrop, Mode::Crossing, Mode::Once]);
    let first_price = select(vec![FirstPrice::Notify, FirstPrice::Baseline]);
    let window = select(vec![DAY, 20, 5, 1, 0, 30 * DAY]);
    let hysteresis = select(vec!["0", "0.05", "0.1", "0.333333"])
        .prop_map(|share| Hysteresis::new(share.parse().expect("a number")).expect("a share"));
    let round_decimals = weighted(0.25, select(vec![0, 1, 2, 9]));
    (mode, first_price, window, hysteresis, currency(), round_decimals).prop_map(
        |(mode, first_price, dedup_window_ms, hysteresis, currency, round_decimals)| Rules {
            mode,
            first_price,
            dedup_window_ms,
            hysteresis,
            currency,
            round_decimals,
        },
    )
}

/// Generates steps for a history: up to 11 watches, then fewer than `most_steps` other steps.
pub fn plots(most_steps: usize) -> impl Strategy<Value = Plot> {
    let watches = vec(watched().prop_map(Step::Put), 0..12);
    let products = prop_oneof![2 => Just(1u8), 1 => 2..=3u8];
    let prices = prop_oneof![3 => 2..=6u8, 1 => 2..=15u8];
    (products, 1..=6u8, prices, any::<bool>(), watches, vec(step(), 1..most_steps)).prop_map(
        |(products, users, prices, counts, watches, steps)| {
            let steps = watches.into_iter().chain(steps).collect();
            Plot { products, users, prices, counts, steps }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let number = || 0..30u8;
    let update = (number(), number(), weighted(0.3, currency()), seq(), when(), 0..SPELLINGS);
    prop_oneof![
        600 => update.prop_map(|(product, price, currency, seq, when, spelling)| {
            Step::Update { product, price, currency, seq, when, spelling }
        }),
        200 => watched().prop_map(Step::Put),
        60 => (number(), number(), number())
            .prop_map(|(product, user, threshold)| Step::Delete { product, user, threshold }),
        40 => Just(Step::ApplyRemovals),
        30 => (number(), 0..MALFORMED, when())
            .prop_map(|(product, kind, when)| Step::Malformed { product, kind, when }),
        30 => (number(), weighted_bool(0.8))
            .prop_map(|(product, readable)| Step::Tombstone { product, readable }),
        1 => (number(), number(), 0..6u8)
            .prop_map(|(product, user, back)| Step::Staircase { product, user, back }),
        3 => (number(), number(), select(vec![0, 14, 15, 16]), weighted(0.4, -1..=1i64)).prop_map(
            |(product, user, length, late)| Step::OnceQueue { product, user, length, late }
        ),
    ]
}

fn weighted_bool(probability: f64) -> impl Strategy<Value = bool> {
    proptest::bool::weighted(probability)
}

fn watched() -> impl Strategy<Value = Watched> {
    let mode = weighted(0.8, select(vec![Mode::EveryDrop, Mode::Crossing, Mode::Once]));
    let at = weighted(0.85, select(vec![0, 1, -1, -5, 5, 100, DAY, -DAY, -60 * DAY, 60_000 * DAY]));
    (0..30u8, 0..30u8, 0..30u8, mode, weighted(0.25, currency()), at).prop_map(
        |(product, user, threshold, mode, currency, at)| Watched {
            product,
            user,
            threshold,
            mode,
            currency,
            at,
        },
    )
}

fn currency() -> impl Strategy<Value = Currency> {
    select(vec![Currency::USD, Currency::new("EUR").expect("three capital letters")])
}

fn seq() -> impl Strategy<Value = Seq> {
    prop_oneof![
        4 => Just(Seq::Absent),
        10 => Just(Seq::Next),
        1 => Just(Seq::Repeated),
        2 => (1..5u8).prop_map(Seq::Older),
        1 => select(vec![i64::MIN, 0, i64::MAX - 3]).prop_map(Seq::Extreme),
    ]
}

fn when() -> impl Strategy<Value = When> {
    let soon = vec![1, 4, 5, 6, 20, 100];
    let late = vec![DAY - 1, DAY, 7 * DAY - 1, 7 * DAY, 7 * DAY + 1];
    prop_oneof![
        40 => Just(When::Absent),
        40 => Just(When::Same),
        80 => select(soon).prop_map(When::Forward),
        20 => select(late).prop_map(When::Forward),
        20 => select(vec![1, 5, 20, DAY, 7 * DAY]).prop_map(When::Back),
        1 => select(vec![i64::MIN, EARLIEST_MS - 1, EARLIEST_MS, LATEST_MS - 1, LATEST_MS, i64::MAX])
            .prop_map(When::Extreme),
    ]
}

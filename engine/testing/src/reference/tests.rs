//! Tests of the reference: histories whose expected results were computed by hand.

#![allow(clippy::unwrap_used)]

use pricedrop_model::{Currency, Hysteresis};

use super::*;

const DAY: i64 = 24 * 3600 * 1000;
/// Times of these histories count from here.
const T: i64 = pricedrop_model::limits::EARLIEST_MS;

fn billionths(price: &str) -> i128 {
    read::price(price).unwrap()
}

fn update(json: &str) -> Event {
    Event::Record { key: None, value: Some(json.into()), timestamp_ms: 0, wall_ms: 0 }
}

/// Returns a record with a price of product P at a time.
fn price(price: &str, at: i64) -> Event {
    update(&format!(r#"{{"productId":"P","newPrice":{price},"occurredAt":{}}}"#, T + at))
}

fn tombstone(key: &str) -> Event {
    Event::Record { key: Some(key.into()), value: None, timestamp_ms: 0, wall_ms: 0 }
}

fn put(user: &str, threshold: &str, mode: Mode, at: impl Into<Option<i64>>) -> Event {
    Event::Put {
        product: "P".into(),
        user: user.into(),
        threshold: billionths(threshold),
        mode: Some(mode),
        currency: None,
        at: at.into().map(|at| T + at),
    }
}

/// Returns whom each record notified, as `user<=threshold` separated by blanks.
fn told(rules: &Rules, events: &[Event]) -> Vec<String> {
    let answer = who_is_told(rules, Times::OfRecords, events);
    let mut lines = vec![String::new(); answer.settled.len()];
    for told in &answer.told {
        let line = &mut lines[told.record];
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&format!("{}<={}", told.user, told.watch_price / 1_000_000_000));
    }
    lines
}

fn with_hysteresis(share: &str) -> Rules {
    let hysteresis = Hysteresis::new(share.parse().unwrap()).unwrap();
    Rules { hysteresis, ..Rules::default() }
}

#[test]
fn every_drop_notifies_each_matching_user_once_per_window() {
    let events = [
        put("u1", "80", Mode::EveryDrop, 0),
        put("u2", "70", Mode::EveryDrop, None),
        price("80", 0),
        price("90", 1),
        price("80.0", 2),
        price("70", 3),
        price("90", 4),
        put("u3", "75", Mode::EveryDrop, 4),
        price("70", 5),
        price("90", 6),
        // The window starts at the last drop to a price, even if that drop notified nobody.
        price("70", 5 + DAY - 1),
        price("90", 5 + DAY),
        price("70", 5 + DAY + DAY - 1),
    ];
    assert_eq!(
        told(&Rules::default(), &events),
        ["u1<=80", "", "", "u2<=70 u1<=80", "", "u3<=75", "", "", "", "u2<=70 u3<=75 u1<=80"]
    );
}

#[test]
fn a_crossing_watch_fires_again_after_a_rise_above_its_threshold_and_the_hysteresis() {
    let events =
        |risen: &str| [put("u", "100", Mode::Crossing, 0), price("90", 0), price(risen, 1), price("100", 2)];
    assert_eq!(told(&Rules::default(), &events("100.000000001")), ["u<=100", "", "u<=100"]);
    assert_eq!(told(&with_hysteresis("0.05"), &events("105")), ["u<=100", "", ""]);
    assert_eq!(told(&with_hysteresis("0.05"), &events("105.000000001")), ["u<=100", "", "u<=100"]);
}

#[test]
fn of_a_watch_and_a_drop_at_the_same_time_the_one_later_in_the_file_is_later() {
    let events = [
        put("every", "80", Mode::EveryDrop, 1),
        put("once", "90", Mode::Once, 1),
        price("80", 1),
        Event::ApplyRemovals,
        put("every2", "80", Mode::EveryDrop, 1),
        put("once", "90", Mode::Once, 1),
        price("95", 1),
        price("80", 1),
        Event::ApplyRemovals,
        price("95", 1),
        price("80", 1),
        // Changed before that drop, by its own time.
        put("earlier", "80", Mode::EveryDrop, 0),
        price("95", 1),
        price("80", 1),
    ];
    let expected = ["every<=80 once<=90", "", "every2<=80 once<=90", "", "", "", ""];
    assert_eq!(told(&Rules::default(), &events), expected);
}

#[test]
fn a_new_watch_starts_in_the_state_of_its_threshold() {
    let events = [
        price("50", 0),
        price("60", 1),
        put("spent", "70", Mode::Crossing, 1),
        put("armed", "55", Mode::Crossing, 1),
        price("54", 2),
        price("53", 3),
        price("71", 4),
        price("70", 5),
    ];
    assert_eq!(told(&Rules::default(), &events), ["", "", "armed<=55", "", "", "spent<=70"]);
}

#[test]
fn a_first_price_that_is_only_recorded_fires_no_watch() {
    let rules = Rules { first_price: FirstPrice::Baseline, ..Rules::default() };
    let events = [
        put("crossing", "100", Mode::Crossing, 0),
        put("every", "100", Mode::EveryDrop, 0),
        price("90", 0),
        price("80", 1),
        tombstone("P"),
        price("70", 2),
        price("60", 3),
    ];
    assert_eq!(told(&rules, &events), ["", "every<=100", "", "", "every<=100"]);
}

#[test]
fn a_fired_once_watch_stays_silent_until_its_removal() {
    let events = |last_at: i64| {
        [
            put("u", "100", Mode::Once, 0),
            price("90", 0),
            price("110", 1),
            price("90", 2),
            price("110", 3),
            tombstone("P"),
            price("95", last_at),
        ]
    };
    let silent = ["u<=100", "", "", "", "", ""];
    assert_eq!(told(&Rules::default(), &events(7 * DAY - 1)), silent);
    assert_eq!(told(&Rules::default(), &events(7 * DAY))[5], "u<=100");
}

#[test]
fn a_once_watch_written_anew_survives_the_removal_and_fires_when_armed() {
    let events = [
        put("u", "100", Mode::Once, 0),
        put("gone", "100", Mode::Once, 0),
        price("90", 0),
        put("u", "100", Mode::Once, 1),
        Event::ApplyRemovals,
        price("80", 1),
        price("110", 2),
        price("90", 3),
        price("110", 4),
        Event::ApplyRemovals,
        put("gone", "100", Mode::Crossing, 4),
        price("90", 5),
    ];
    assert_eq!(told(&Rules::default(), &events), ["gone<=100 u<=100", "", "", "u<=100", "", "gone<=100"]);
}

#[test]
fn a_user_is_told_once_with_the_lowest_threshold_that_fired() {
    let events = [
        put("b", "100", Mode::EveryDrop, 0),
        put("a", "100", Mode::Crossing, 0),
        put("b", "90", Mode::Crossing, 0),
        put("b", "95", Mode::Once, 0),
        price("90", 0),
        price("91", 1),
        Event::ApplyRemovals,
        price("85", 2),
    ];
    assert_eq!(told(&Rules::default(), &events), ["b<=90 a<=100", "", "b<=90"]);
}

#[test]
fn watches_of_another_currency_never_match() {
    let rules = Rules { currency: Currency::new("EUR").unwrap(), ..Rules::default() };
    let mut dollars = put("dollars", "100", Mode::EveryDrop, 0);
    if let Event::Put { currency, .. } = &mut dollars {
        *currency = Some("USD".into());
    }
    let events = [
        dollars,
        put("euros", "100", Mode::EveryDrop, 0),
        update(r#"{"productId":"P","newPrice":9}"#),
        update(r#"{"productId":"P","newPrice":8,"currency":"USD"}"#),
    ];
    assert_eq!(told(&rules, &events), ["euros<=100", "dollars<=100"]);
}

#[test]
fn stale_updates_are_ignored_and_a_newer_sequence_wins_whatever_its_time_says() {
    let events = [
        r#"{"productId":"P","newPrice":100,"sequence":5,"occurredAt":946684800100}"#,
        r#"{"productId":"P","newPrice":90,"sequence":5,"occurredAt":946684800200}"#,
        r#"{"productId":"P","newPrice":90,"occurredAt":946684800099}"#,
        r#"{"productId":"P","newPrice":90,"occurredAt":946684800100}"#,
        r#"{"productId":"P","newPrice":80,"sequence":6,"occurredAt":946684800001}"#,
        r#"{"productId":"P","newPrice":70,"occurredAt":946684800099}"#,
        r#"{"productId":"P","newPrice":60}"#,
        r#"{"productId":"P","newPrice":50,"sequence":0,"currency":"EUR"}"#,
        r#"{"productId":"P"}"#,
    ]
    .map(update);
    let answer = who_is_told(&Rules::default(), Times::OfRecords, &events);
    let drop = Verdict::Drop { told: 0, told_before: false };
    let verdicts: Vec<Verdict> = answer.settled.iter().map(|settled| settled.verdict).collect();
    let stale = Verdict::Stale;
    assert_eq!(verdicts, [drop, stale, stale, drop, drop, stale, drop, drop, Verdict::Dead]);
    let times: Vec<i64> = answer.settled.iter().map(|settled| settled.wall_ms).collect();
    assert_eq!(times[6..8], [T + 100, T + 100]);
    let counts = Counts { updates: 8, stale: 3, drops: 5, notifications: 0, dead: 1 };
    assert_eq!(answer.counts(), counts);
}

#[test]
fn only_the_128_latest_told_prices_are_remembered() {
    let mut events = vec![put("u", "1000", Mode::EveryDrop, 0)];
    for step in 0..129 {
        events.push(price(&(200 - step).to_string(), i64::from(step)));
    }
    let told_again = |first: &str| {
        let mut events = events.clone();
        events.extend([price("999", 200), price(first, 201)]);
        told(&Rules::default(), &events).pop().unwrap()
    };
    assert_eq!(told_again("200"), "u<=1000");
    assert_eq!(told_again("199"), "");
}

#[test]
fn prices_are_read_digit_by_digit() {
    for (text, billionths) in [
        ("79.90", Some(79_900_000_000)),
        ("7.99e1", Some(79_900_000_000)),
        ("0.0799E+3", Some(79_900_000_000)),
        ("799000e-4", Some(79_900_000_000)),
        ("-0", Some(0)),
        ("0e99999999999999999999999999999999999999999999", Some(0)),
        ("0.000000001", Some(1)),
        ("0.0000000001", None),
        ("9007199254740991", Some(9_007_199_254_740_991_000_000_000)),
        ("9007199254740992", None),
        ("9007199.254740991", Some(9_007_199_254_740_991)),
        ("9007199.254740992", None),
        ("90071992547409920", None),
        ("1e16", None),
        ("1e-99999999999999999999999999999999999999999999", None),
        ("-1", None),
        ("+1", None),
        (" 1", None),
        ("01", None),
        ("1.", None),
        (".1", None),
        ("1e", None),
        ("1e+", None),
        ("--1", None),
        ("1,5", None),
        ("NaN", None),
        ("", None),
    ] {
        assert_eq!(read::price(text), billionths, "{text}");
    }
}

#[test]
fn records_are_parsed_strictly() {
    let read = |json: &str| read::record(None, Some(json.as_bytes()), None);
    let Read::Update(update) = read(
        r#" {"product\u0049d":"P","newPrice":"1\u0030","currency":null,"sequence":-3,"x":{"x":[1]},"x":1,
            "title":7,"occurredAt":"2001-03-01T01:00:00.0015+01:00"} "#,
    ) else {
        panic!("readable")
    };
    assert_eq!(update.price, 10_000_000_000);
    assert_eq!((update.currency, update.sequence), (None, Some(-3)));
    assert_eq!(update.occurred_at, Some(T + (366 + 31 + 28) * DAY + 1));
    for dead in [
        "",
        "[]",
        r#"["P",1]"#,
        r#"{"productId":"P","newPrice":1} x"#,
        r#"{"productId":"P","newPrice":1,"newPrice":1}"#,
        r#"{"productId":"P","newPrice":1,"sequence":1.0}"#,
        r#"{"productId":"P","newPrice":1,"sequence":"1"}"#,
        r#"{"productId":"P","newPrice":1,"occurredAt":"1"}"#,
        r#"{"productId":"P","newPrice":1,"occurredAt":"2023-02-29T00:00:00Z"}"#,
        r#"{"productId":"P","newPrice":1,"currency":"EURO"}"#,
        r#"{"productId":"","newPrice":1}"#,
        r#"{"productId":"P","newPrice":true}"#,
        r#"{"productId":"P","newPrice":" 1"}"#,
    ] {
        assert_eq!(read(dead), Read::Dead, "{dead}");
    }
    assert_eq!(read::record(Some(b"P"), None, None), Read::Tombstone { product: "P".into() });
    assert_eq!(read::record(Some(b"\xff"), None, None), Read::Dead);
    assert_eq!(read::record(None, None, None), Read::Dead);
}

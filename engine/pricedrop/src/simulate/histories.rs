//! Random histories, written as a file of updates and watch changes and simulated, are decided as the
//! reference model decides them.

use std::cell::Cell;
use std::io::{Cursor, Write};
use std::sync::{Arc, Mutex};

use pricedrop_model::plugin::NoPlugins;
use pricedrop_model::sync::lock;
use pricedrop_testing::history::{History, billionths_text, plots, rules};
use pricedrop_testing::reference::{Event, Times, read, who_is_told};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::Simulation;

/// A notification: user, product, threshold, price, and the price before.
type Notified = (String, String, i128, i128, Option<i128>);

#[test]
fn files_are_decided_like_the_reference_and_their_order_decides_between_equal_times() {
    let config = ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() };
    let notifications = Cell::new(0);
    let held = TestRunner::new(config).run(&(rules(), plots(40)), |(rules, plot)| {
        let History { rules, events, .. } = History::of_records(rules, &plot);
        let events = as_in_a_file(events, rules.round_decimals);
        let told = who_is_told(&rules, Times::OfRecords, &events).told.into_iter();
        let expected: Vec<Notified> =
            told.map(|told| (told.user, told.product, told.watch_price, told.price, told.previous)).collect();
        notifications.set(notifications.get() + expected.len());
        let simulation = Simulation { rules, plugins: Arc::new(NoPlugins), bucket_threshold: usize::MAX };
        prop_assert_eq!(simulated(simulation, &events), expected);
        Ok(())
    });
    held.unwrap_or_else(|why| panic!("{why}"));
    assert!(notifications.get() > 500, "{} notifications show nothing", notifications.get());
}

/// Returns the events that a file can hold: readable updates, and changes of watches with a time.
/// Removals are applied after every update, as `simulate` does.
fn as_in_a_file(events: Vec<Event>, round_decimals: Option<u8>) -> Vec<Event> {
    let mut kept = Vec::new();
    for event in events {
        match &event {
            Event::Record { key, value, .. } => {
                let read = read::record(key.as_deref(), value.as_deref(), round_decimals);
                if matches!(read, read::Read::Update(_)) {
                    kept.extend([event, Event::ApplyRemovals]);
                }
            }
            Event::Put { at: None, .. } | Event::ApplyRemovals => {}
            Event::Put { .. } | Event::Delete { .. } => kept.push(event),
        }
    }
    kept
}

/// Writes an event as an entry of a file of updates.
fn entry(event: &Event) -> Vec<u8> {
    match event {
        Event::Record { value, .. } => value.clone().unwrap_or_default(),
        Event::Put { product, user, threshold, mode, currency, at } => json!({
            "watch": "put", "productId": product, "userId": user, "mode": mode,
            "priceWatchValue": billionths_text(*threshold), "currency": currency, "at": at,
        })
        .to_string()
        .into(),
        Event::Delete { product, user, threshold, at } => json!({
            "watch": "delete", "productId": product, "userId": user,
            "priceWatchValue": billionths_text(*threshold), "at": at,
        })
        .to_string()
        .into(),
        Event::ApplyRemovals => Vec::new(),
    }
}

fn simulated(simulation: Simulation, events: &[Event]) -> Vec<Notified> {
    let updates = events.iter().map(entry).collect::<Vec<_>>().join(&b'\n');
    let watches = Cursor::new("product_id,price_watch_value,user_id\n");
    let out = Shared::default();
    let complain = |line, why: &str| panic!("line {line}: {why}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let run = simulation.run(watches, Cursor::new(updates), out.clone(), complain);
    runtime.block_on(run).expect("simulated");
    let printed = lock(&out.0).clone();
    printed.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(notified).collect()
}

fn notified(line: &[u8]) -> Notified {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Line {
        user_id: String,
        product_id: String,
        new_price: Box<RawValue>,
        watch_price: Box<RawValue>,
        previous_price: Option<Box<RawValue>>,
    }
    let line: Line = serde_json::from_slice(line).expect("a notification");
    let price = |raw: &RawValue| read::price(raw.get()).expect("a price");
    let previous = line.previous_price.as_deref().map(price);
    (line.user_id, line.product_id, price(&line.watch_price), price(&line.new_price), previous)
}

/// An output that can be read after the simulation.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        lock(&self.0).write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

//! Reads a file of updates and watch changes, or of archived records, as the input of a
//! notifier: one record at a time. The simulated clock follows the times of the records.

use std::collections::HashMap;
use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use async_trait::async_trait;
use bytes::Bytes;
use pricedrop_archive::Line;
use pricedrop_memory::MemoryWatches;
use pricedrop_model::archive::ArchivedRecord;
use pricedrop_model::ports::{Error, Outcome, UpdateSource};
use pricedrop_model::{
    Cause, Clock, Currency, EventTime, Mode, Partition, Position, Price, ProductId, Record, Update, UserId,
    WallTime, Watch, time,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::input::EntryReader;

/// The wait that the notifier passes if no timer is set, in milliseconds. A shorter wait is a timer.
pub const NO_TIMER_MS: u64 = i64::MAX as u64;

/// A clock that shows the time of the current record.
#[derive(Default)]
pub struct SimulatedClock(AtomicI64);

impl Clock for SimulatedClock {
    fn now(&self) -> WallTime {
        WallTime(self.0.load(Relaxed))
    }
}

/// The update source of a simulation: the entries of a file, in order.
pub struct Events<R, C> {
    entries: EntryReader<R>,
    number: u64,
    next: Option<Event>,
    store: Arc<MemoryWatches>,
    clock: Arc<SimulatedClock>,
    complain: C,
    round_decimals: Option<u8>,
    offset: i64,
    /// The record that the notifier is processing.
    current: Option<Current>,
    /// The time of each product's latest accepted update.
    latest: HashMap<ProductId, EventTime>,
}

struct Current {
    line: u64,
    update: Option<(ProductId, EventTime)>,
}

enum Event {
    Update(Incoming),
    Watch { change: Change, at: WallTime },
}

/// A record with its time, if the time is known.
struct Incoming {
    line: u64,
    key: Option<Bytes>,
    value: Option<Bytes>,
    product: Option<ProductId>,
    at: Option<EventTime>,
}

enum Change {
    Put(Watch),
    Delete(ProductId, Price, UserId),
}

impl<R: BufRead, C: FnMut(u64, &str)> Events<R, C> {
    /// Reads `input`. Prices are rounded to `round_decimals`. Watch changes are written to `store`; unreadable lines are passed to `complain`.
    pub fn new(
        input: R,
        store: Arc<MemoryWatches>,
        clock: Arc<SimulatedClock>,
        round_decimals: Option<u8>,
        complain: C,
    ) -> Self {
        Events {
            entries: EntryReader::new(input),
            number: 0,
            next: None,
            store,
            clock,
            complain,
            round_decimals,
            offset: 0,
            current: None,
            latest: HashMap::new(),
        }
    }

    /// Reads the next event. Gaps of the archive are skipped.
    fn read(&mut self) -> Result<Option<Event>, Error> {
        loop {
            let read = self.entries.read().map_err(|error| Error::Fatal(Cause::of(error)))?;
            let Some((number, text)) = read else { return Ok(None) };
            self.number = number;
            let line = String::from_utf8(text).unwrap_or_else(|_| "\u{fffd}".into());
            if let Some(archived) = archived(&line) {
                match archived {
                    Ok(Line::Record(record)) => return Ok(Some(self.archived(record))),
                    Ok(Line::Gap { .. }) => {}
                    Err(why) => (self.complain)(self.number, &why),
                }
                continue;
            }
            match watch_change(&line) {
                None => return Ok(Some(self.update(line))),
                Some(Ok(event)) => return Ok(Some(event)),
                Some(Err(why)) => (self.complain)(self.number, &why),
            }
        }
    }

    fn update(&mut self, value: String) -> Event {
        let update = Update::parse(value.as_bytes(), self.round_decimals).ok();
        let at = update.as_ref().map(|update| {
            let latest = self.latest.get(&update.product).copied().unwrap_or(EventTime(0));
            update.occurred_at.unwrap_or(latest)
        });
        let product = update.map(|update| update.product);
        Event::Update(Incoming { line: self.number, key: None, value: Some(value.into()), product, at })
    }

    /// Returns an archived record as an event, with the timestamp that Kafka gave it.
    fn archived(&self, record: ArchivedRecord) -> Event {
        let ArchivedRecord { timestamp_ms, key, value, .. } = record;
        let update = value.as_ref().and_then(|value| Update::parse(value, self.round_decimals).ok());
        let product = update.map(|update| update.product);
        Event::Update(Incoming { line: self.number, key, value, product, at: Some(EventTime(timestamp_ms)) })
    }

    fn record(&mut self, incoming: Incoming) -> Record {
        let Incoming { line, key, value, product, at } = incoming;
        let timestamp = at.unwrap_or(EventTime(self.clock.now().0));
        self.clock.0.store(timestamp.0, Relaxed);
        self.current = Some(Current { line, update: product.zip(at) });
        let position = Position { partition: Partition(0), offset: self.offset };
        self.offset += 1;
        Record { position, key, value, timestamp, original: None }
    }

    fn apply(&self, change: Change) {
        match change {
            Change::Put(watch) => self.store.insert(watch),
            Change::Delete(product, threshold, user) => self.store.remove(&product, threshold, &user),
        };
    }
}

impl Event {
    fn at(&self) -> Option<i64> {
        match self {
            Event::Update(incoming) => incoming.at.map(|at| at.0),
            Event::Watch { at, .. } => Some(at.0),
        }
    }
}

#[async_trait]
impl<R: BufRead + Send, C: FnMut(u64, &str) + Send> UpdateSource for Events<R, C> {
    async fn next_batch(&mut self, most: usize, wait_ms: u64) -> Result<Option<Vec<Record>>, Error> {
        if most == 0 {
            return Ok(Some(Vec::new()));
        }
        loop {
            if self.next.is_none() {
                self.next = self.read()?;
            }
            let timer = (wait_ms < NO_TIMER_MS).then(|| self.clock.now().0.saturating_add(wait_ms as i64));
            let comes = self.next.as_ref().map(Event::at);
            match (timer, comes) {
                // No record is due before the timer, so the clock advances to the timer.
                (Some(timer), None) => self.clock.0.store(timer, Relaxed),
                (Some(timer), Some(Some(at))) if at > timer => self.clock.0.store(timer, Relaxed),
                (None, None) => return Ok(None),
                _ => match self.next.take() {
                    Some(Event::Update(incoming)) => return Ok(Some(vec![self.record(incoming)])),
                    Some(Event::Watch { change, .. }) => {
                        self.apply(change);
                        continue;
                    }
                    None => {}
                },
            }
            return Ok(Some(Vec::new()));
        }
    }

    fn settled(&mut self, outcomes: Vec<(Position, Outcome)>) {
        for (position, outcome) in outcomes {
            let Some(current) = self.current.take_if(|_| position.offset == self.offset - 1) else {
                continue;
            };
            match (outcome, current.update) {
                (Outcome::Dead(reason), _) => (self.complain)(current.line, &reason),
                (Outcome::Stale, _) | (_, None) => {}
                (_, Some((product, at))) => {
                    let latest = self.latest.entry(product).or_insert(at);
                    *latest = at.max(*latest);
                }
            }
        }
    }
}

/// Parses a line of the archive; `None`: the line has another format.
fn archived(line: &str) -> Option<Result<Line, String>> {
    let is_archived = line.starts_with("{\"offset\":") || line.starts_with("{\"gap\":");
    is_archived.then(|| Line::from_json(line.as_bytes()))
}

/// A line with a watch change.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChangeLine<'a> {
    #[serde(borrow, default)]
    watch: Option<&'a RawValue>,
    product_id: Option<ProductId>,
    user_id: Option<UserId>,
    price_watch_value: Option<Price>,
    mode: Option<Mode>,
    currency: Option<Currency>,
    #[serde(borrow, default)]
    at: Option<&'a RawValue>,
}

/// Parses a watch change; `None`: the line is an update.
fn watch_change(line: &str) -> Option<Result<Event, String>> {
    if !line.contains("\"watch\"") {
        return None;
    }
    #[derive(Deserialize)]
    struct Kind<'a> {
        #[serde(borrow, default)]
        watch: Option<&'a RawValue>,
    }
    serde_json::from_str::<Kind<'_>>(line).ok()?.watch?;
    Some(serde_json::from_str(line).map_err(|error| error.to_string()).and_then(read_change))
}

fn read_change(line: ChangeLine<'_>) -> Result<Event, String> {
    let missing = |name: &str| format!("a watch change needs {name}");
    let product_id = line.product_id.ok_or_else(|| missing("productId"))?;
    let user_id = line.user_id.ok_or_else(|| missing("userId"))?;
    let price_watch_value = line.price_watch_value.ok_or_else(|| missing("priceWatchValue"))?;
    let at = line.at.and_then(|raw| time::parse_millis(raw.get().trim_matches('"')));
    let at = WallTime(at.ok_or_else(|| missing("at, an RFC 3339 time or epoch milliseconds"))?);
    let change = match line.watch.map(RawValue::get) {
        Some("\"put\"") => Change::Put(Watch {
            product_id,
            price_watch_value,
            user_id,
            mode: line.mode,
            currency: line.currency,
            updated_at: Some(at),
        }),
        Some("\"delete\"") => Change::Delete(product_id, price_watch_value, user_id),
        _ => return Err("watch must be \"put\" or \"delete\"".into()),
    };
    Ok(Event::Watch { change, at })
}

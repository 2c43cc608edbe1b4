//! Dead letters on Kafka: deliveries and other records of ours in one topic,
//! updates in another, where the committer and other tools write them.
//!
//! | Record of `user_notifications.dlq` | Key | Value |
//! |---|---|---|
//! | an item | its own | the item as JSON; none: it was replayed |
//! | an update was replayed | `\0replayed:` and its number | its number |
//!
//! All of it is written to that topic's first partition, so that items are
//! numbered in the order of adding and one reader knows all that was replayed.
//! The topic may be compacted: what was replayed then goes for good.
//!
//! A number names topic, partition and offset, and stays the item's for good.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pricedrop_model::dispatch::{DeadItem, DeadLetters, DeadWhat};
use pricedrop_model::ports::Error;
use pricedrop_model::sync::lock;
use pricedrop_model::{Partition, WallTime};
use rdkafka::message::{BorrowedMessage, Headers, Message};

use crate::client::ack_producer::{AckProducer, Outgoing, answered};
use crate::client::log_reader::LogReader;
use crate::client::marker_reader::Read;
use crate::client::token::fresh_token;
use crate::limits::DEAD_TEXT_BYTES;
use crate::settings::Settings;

const REPLAYED: &str = "\0replayed:";
const FIRST: Partition = Partition(0);

/// Where an item lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    source: Source,
    partition: Partition,
    offset: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Updates,
    Deliveries,
}

/// Bits of a number below the offset: one for the topic, the rest for the
/// partition.
const PLACE_BITS: u32 = 16;

impl Place {
    fn number(self) -> i64 {
        let low = i64::from(self.partition.0) << 1 | i64::from(self.source == Source::Deliveries);
        self.offset << PLACE_BITS | low
    }

    fn of(number: i64) -> Place {
        let low = number & ((1 << PLACE_BITS) - 1);
        Place {
            source: if low & 1 == 1 { Source::Deliveries } else { Source::Updates },
            partition: Partition((low >> 1) as i32),
            offset: number >> PLACE_BITS,
        }
    }

    /// The first offset of this partition whose number is behind `after`.
    fn first_behind(source: Source, partition: Partition, after: Option<i64>) -> i64 {
        let Some(after) = after.filter(|after| *after >= 0) else { return 0 };
        let offset = after >> PLACE_BITS;
        let same = Place { source, partition, offset };
        if same.number() > after { offset } else { offset + 1 }
    }
}

/// The dead letters of a cluster; cheap to clone.
#[derive(Clone)]
pub struct KafkaDeadLetters {
    settings: Settings,
    acked: AckProducer,
    desk: Arc<Mutex<Desk>>,
}

/// Reads, one caller at a time.
struct Desk {
    reader: LogReader,
    updates: String,
    deliveries: String,
    /// Updates that were replayed, by number.
    replayed: BTreeSet<i64>,
    /// Other items that were, by key.
    removed: HashSet<Vec<u8>>,
    /// Up to here it is known what was replayed.
    known: i64,
}

impl KafkaDeadLetters {
    /// Of this cluster.
    pub fn new(settings: &Settings, acked: AckProducer) -> KafkaDeadLetters {
        let desk = Desk {
            reader: LogReader::new(settings),
            updates: settings.topics.dead_updates.clone(),
            deliveries: settings.topics.dead_deliveries.clone(),
            replayed: BTreeSet::new(),
            removed: HashSet::new(),
            known: 0,
        };
        KafkaDeadLetters { settings: settings.clone(), acked, desk: Arc::new(Mutex::new(desk)) }
    }

    async fn read<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Desk) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let desk = self.desk.clone();
        let run = move || {
            let mut desk = lock(&desk);
            desk.catch_up()?;
            call(&mut desk)
        };
        let done = tokio::task::spawn_blocking(run).await;
        done.map_err(|error| Error::Unavailable(format!("reading dead letters: {error}").into()))?
    }

    fn outgoing<'a>(&'a self, key: &'a [u8], value: Option<&'a [u8]>) -> Outgoing<'a> {
        Outgoing {
            topic: &self.settings.topics.dead_deliveries,
            partition: Some(FIRST),
            key: Some(key),
            value,
            headers: &[],
        }
    }
}

#[async_trait]
impl DeadLetters for KafkaDeadLetters {
    async fn add(&self, items: Vec<DeadItem>) -> Result<(), Error> {
        let mut places = Vec::with_capacity(items.len());
        for item in &items {
            let value = serde_json::to_vec(item)
                .map_err(|error| Error::Fatal(format!("a dead letter cannot be written: {error}").into()))?;
            places.push(self.acked.hand_over(self.outgoing(key(item).as_bytes(), Some(&value))).await?);
        }
        for place in places {
            answered(place).await?;
        }
        Ok(())
    }

    async fn list(&self, after: Option<i64>, most: usize) -> Result<Vec<DeadItem>, Error> {
        self.read(move |desk| desk.list(after, most)).await
    }

    async fn get(&self, number: i64) -> Result<Option<DeadItem>, Error> {
        self.read(move |desk| desk.get(number)).await
    }

    async fn remove(&self, number: i64) -> Result<(), Error> {
        let Some(mark) = self.read(move |desk| desk.mark(number)).await? else { return Ok(()) };
        self.acked.send(self.outgoing(&mark.key, mark.value.as_deref())).await?;
        Ok(())
    }
}

/// A record that says that an item was replayed.
struct Mark {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

/// The key of an item. A record that is read again after a crash is the same
/// item; everything else is one of its own.
fn key(item: &DeadItem) -> String {
    match &item.what {
        DeadWhat::Notification { partition, offset, .. } => format!("notification:{partition}:{offset}"),
        DeadWhat::Delivery { .. } | DeadWhat::Update { .. } => format!("{:016x}", fresh_token()),
    }
}

impl Desk {
    /// Learns what was replayed meanwhile.
    fn catch_up(&mut self) -> Result<(), Error> {
        let Desk { reader, deliveries, replayed, removed, known, .. } = self;
        reader.read(deliveries, &[(FIRST, *known)], |message| {
            *known = message.offset() + 1;
            let key = message.key().unwrap_or_default();
            match (replayed_number(key), message.payload()) {
                (Some(number), _) => drop(replayed.insert(number)),
                (None, None) => drop(removed.insert(key.to_vec())),
                (None, Some(_)) => drop(removed.remove(key)),
            }
            Read::On
        })
    }

    fn list(&mut self, after: Option<i64>, most: usize) -> Result<Vec<DeadItem>, Error> {
        let mut items = Vec::new();
        if most > 0 {
            self.gather(Source::Updates, after, most, &mut items)?;
            self.gather(Source::Deliveries, after, most, &mut items)?;
        }
        items.sort_by_key(|item| item.number);
        items.truncate(most);
        Ok(items)
    }

    /// The first items of every partition of a topic.
    fn gather(
        &mut self,
        source: Source,
        after: Option<i64>,
        most: usize,
        items: &mut Vec<DeadItem>,
    ) -> Result<(), Error> {
        let Desk { reader, updates, deliveries, replayed, removed, .. } = self;
        let topic = if source == Source::Updates { updates } else { deliveries };
        let count = reader.partitions(topic)?;
        let partitions = (0..count).map(|partition| Partition(partition as i32));
        let from: Vec<_> =
            partitions.map(|partition| (partition, Place::first_behind(source, partition, after))).collect();
        let mut found = vec![0; count];
        reader.read(topic, &from, |message| {
            if let Some(item) = read_item(source, message)
                && !is_removed(replayed, removed, source, item.number, message)
                && after.is_none_or(|after| item.number > after)
            {
                found[message.partition() as usize] += 1;
                items.push(item);
            }
            if found[message.partition() as usize] >= most { Read::Done } else { Read::On }
        })
    }

    fn get(&mut self, number: i64) -> Result<Option<DeadItem>, Error> {
        self.find(number, &mut Vec::new())
    }

    /// An item, and the key of its record.
    fn find(&mut self, number: i64, item_key: &mut Vec<u8>) -> Result<Option<DeadItem>, Error> {
        if number < 0 {
            return Ok(None);
        }
        let Place { source, partition, offset } = Place::of(number);
        let Desk { reader, updates, deliveries, replayed, removed, .. } = self;
        let topic = if source == Source::Updates { updates } else { deliveries };
        if partition.0 as usize >= reader.partitions(topic)? {
            return Ok(None);
        }
        let mut found = None;
        reader.read(topic, &[(partition, offset)], |message| {
            let gone = is_removed(replayed, removed, source, number, message);
            found = read_item(source, message).filter(|item| item.number == number && !gone);
            if found.is_some() {
                *item_key = message.key().unwrap_or_default().to_vec();
            }
            Read::Done
        })?;
        Ok(found)
    }

    /// What says that an item was replayed; none: it is gone.
    fn mark(&mut self, number: i64) -> Result<Option<Mark>, Error> {
        let mut key = Vec::new();
        if self.find(number, &mut key)?.is_none() {
            return Ok(None);
        }
        Ok(Some(match Place::of(number).source {
            Source::Deliveries => Mark { key, value: None },
            Source::Updates => {
                let number = number.to_string();
                Mark { key: format!("{REPLAYED}{number}").into_bytes(), value: Some(number.into_bytes()) }
            }
        }))
    }
}

/// The number of the update that a record says was replayed.
fn replayed_number(key: &[u8]) -> Option<i64> {
    std::str::from_utf8(key.strip_prefix(REPLAYED.as_bytes())?).ok()?.parse().ok()
}

fn is_removed(
    replayed: &BTreeSet<i64>,
    removed: &HashSet<Vec<u8>>,
    source: Source,
    number: i64,
    message: &BorrowedMessage<'_>,
) -> bool {
    match source {
        Source::Updates => replayed.contains(&number),
        Source::Deliveries => message.key().is_some_and(|key| removed.contains(key)),
    }
}

/// The item a record holds; none: it says that another was replayed.
fn read_item(source: Source, message: &BorrowedMessage<'_>) -> Option<DeadItem> {
    let place = Place { source, partition: Partition(message.partition()), offset: message.offset() };
    let item = match source {
        Source::Updates => read_update(message),
        Source::Deliveries if message.payload().is_none() => return None,
        Source::Deliveries if message.key().and_then(replayed_number).is_some() => return None,
        Source::Deliveries => read_delivery(message),
    };
    Some(DeadItem { number: place.number(), ..item })
}

fn read_delivery(message: &BorrowedMessage<'_>) -> DeadItem {
    let value = message.payload().unwrap_or_default();
    serde_json::from_slice(value).unwrap_or_else(|error| {
        let (key, value, truncated) = texts(message);
        let (partition, offset) = (message.partition(), message.offset());
        let what = DeadWhat::Notification { partition, offset, key, value, truncated };
        DeadItem { number: 0, at: at(message), reason: format!("no dead letter of ours: {error}"), what }
    })
}

/// As the committer and Kafka Connect write it.
fn read_update(message: &BorrowedMessage<'_>) -> DeadItem {
    let header = |name: &str| {
        let all = message.headers()?;
        let found = all.iter().find(|one| one.key == name)?.value?;
        Some(String::from_utf8_lossy(found).into_owned())
    };
    let number = |name: &str| header(name).and_then(|text| text.parse::<i64>().ok());
    let (key, value, cut) = texts(message);
    let truncated = number("pricedrop.truncated").and_then(|full| u64::try_from(full).ok()).or(cut);
    let partition = number("__connect.errors.partition").and_then(|partition| i32::try_from(partition).ok());
    let offset = number("__connect.errors.offset");
    DeadItem {
        number: 0,
        at: at(message),
        reason: header("__connect.errors.exception.message").unwrap_or_else(|| "no reason was given".into()),
        what: DeadWhat::Update {
            partition: partition.unwrap_or(message.partition()),
            offset: offset.unwrap_or(message.offset()),
            key,
            value,
            truncated,
        },
    }
}

fn at(message: &BorrowedMessage<'_>) -> WallTime {
    WallTime(message.timestamp().to_millis().unwrap_or(0))
}

/// Key and value as text, and the value's length if it was cut.
fn texts(message: &BorrowedMessage<'_>) -> (Option<String>, Option<String>, Option<u64>) {
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text[..text.floor_char_boundary(DEAD_TEXT_BYTES)].to_owned()
    };
    let length = message.payload().map_or(0, <[u8]>::len);
    let cut = (length > DEAD_TEXT_BYTES).then_some(length as u64);
    (message.key().map(text), message.payload().map(text), cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_names_one_place_and_orders_by_offset() {
        let places = [
            Place { source: Source::Updates, partition: Partition(0), offset: 0 },
            Place { source: Source::Deliveries, partition: Partition(0), offset: 0 },
            Place { source: Source::Updates, partition: Partition(32_767), offset: 0 },
            Place { source: Source::Deliveries, partition: Partition(3), offset: 1 },
            Place { source: Source::Updates, partition: Partition(0), offset: (1 << 46) - 1 },
        ];
        assert!(places.is_sorted_by_key(|place| place.number()));
        for place in places {
            assert_eq!(Place::of(place.number()), place);
        }
    }

    #[test]
    fn what_is_behind_a_number_begins_at_its_offset_or_the_next() {
        let after = Place { source: Source::Deliveries, partition: Partition(2), offset: 7 }.number();
        let first = |source, partition| Place::first_behind(source, Partition(partition), Some(after));
        assert_eq!(first(Source::Updates, 2), 8);
        assert_eq!(first(Source::Deliveries, 2), 8);
        assert_eq!(first(Source::Updates, 3), 7);
        assert_eq!(first(Source::Deliveries, 1), 8);
        assert_eq!(Place::first_behind(Source::Updates, Partition(1), None), 0);
    }
}

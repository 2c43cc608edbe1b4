//! Reads, writes and removes dead letters in Kafka. Dead letters of the dispatcher are in
//! `user_notifications.dlq`. Rejected updates are in `price_updates.dlq`, which the committer and
//! other tools write.
//!
//! | Record of `user_notifications.dlq` | Key | Value |
//! |---|---|---|
//! | a dead letter | its own | the dead letter as JSON; no value means it was replayed |
//! | a marker that a rejected update was replayed | `\0replayed:` and its id | its id |
//!
//! An id is the topic, partition and offset of a record, as text: `price_updates.dlq/3/1881`.
//!
//! All records of `user_notifications.dlq` are in its first partition, so that ids increase in the
//! order in which dead letters are added, and one reader sees every replay. Compaction deletes the
//! deliveries that were replayed.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pricedrop_model::dispatch::{DeadLetter, DeadLetterId, DeadLetters, DeadWhat, NewDeadLetter};
use pricedrop_model::ports::Error;
use pricedrop_model::sync::lock;
use pricedrop_model::{Cause, Partition, WallTime};
use rdkafka::message::{BorrowedMessage, Headers, Message};

use crate::client::ack_producer::{AckProducer, Outgoing, answered};
use crate::client::log_reader::LogReader;
use crate::client::marker_reader::Read;
use crate::client::reserved_keys::is_empty_marker;
use crate::client::token::fresh_token;
use crate::limits::DEAD_TEXT_BYTES;
use crate::settings::Settings;

const REPLAYED: &str = "\0replayed:";
const FIRST: Partition = Partition(0);

/// Which of the two topics a dead letter is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Updates,
    Deliveries,
}

/// The dead letters of a cluster. Cheap to clone.
#[derive(Clone)]
pub struct KafkaDeadLetters {
    settings: Settings,
    acked: AckProducer,
    reader: Arc<Mutex<Reader>>,
}

/// Reads dead letters, for one caller at a time.
struct Reader {
    reader: LogReader,
    updates: Arc<str>,
    deliveries: Arc<str>,
    replayed: Replayed,
    /// The offset up to which replays are known.
    known: i64,
}

/// The dead letters that were replayed.
#[derive(Default)]
struct Replayed {
    updates: HashSet<DeadLetterId>,
    /// Replayed dead letters of deliveries, by the keys of their records.
    deliveries: HashSet<Vec<u8>>,
}

impl KafkaDeadLetters {
    /// Opens the dead letters of this cluster.
    pub fn new(settings: &Settings, acked: AckProducer) -> KafkaDeadLetters {
        let reader = Reader {
            reader: LogReader::new(settings),
            updates: settings.topics.dead_updates.as_str().into(),
            deliveries: settings.topics.dead_deliveries.as_str().into(),
            replayed: Replayed::default(),
            known: 0,
        };
        KafkaDeadLetters { settings: settings.clone(), acked, reader: Arc::new(Mutex::new(reader)) }
    }

    async fn read<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Reader) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let reader = self.reader.clone();
        let run = move || {
            let mut reader = lock(&reader);
            reader.catch_up()?;
            call(&mut reader)
        };
        let done = tokio::task::spawn_blocking(run).await;
        done.map_err(|error| Error::Unavailable(Cause::new("reading dead letters", error)))?
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
    async fn add(&self, letters: Vec<NewDeadLetter>) -> Result<(), Error> {
        let mut sent = Vec::with_capacity(letters.len());
        for letter in &letters {
            let value = serde_json::to_vec(letter)
                .map_err(|error| Error::Fatal(Cause::new("a dead letter cannot be written", error)))?;
            sent.push(self.acked.enqueue(self.outgoing(key(letter).as_bytes(), Some(&value))).await?);
        }
        for one in sent {
            answered(one).await?;
        }
        Ok(())
    }

    async fn list(&self, after: Option<&DeadLetterId>, most: usize) -> Result<Vec<DeadLetter>, Error> {
        let after = after.cloned();
        self.read(move |reader| reader.list(after.as_ref(), most)).await
    }

    async fn get(&self, id: &DeadLetterId) -> Result<Option<DeadLetter>, Error> {
        let id = id.clone();
        self.read(move |reader| Ok(reader.find(&id)?.map(|(letter, _)| letter))).await
    }

    async fn remove(&self, id: &DeadLetterId) -> Result<(), Error> {
        let id = id.clone();
        let Some(mark) = self.read(move |reader| reader.mark(&id)).await? else { return Ok(()) };
        self.acked.send(self.outgoing(&mark.key, mark.value.as_deref())).await?;
        Ok(())
    }
}

/// A record that marks a dead letter as replayed.
struct Mark {
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

/// Returns the key of a dead letter. A notification that is read again after a crash has the same
/// key; everything else has a key of its own.
fn key(letter: &NewDeadLetter) -> String {
    match &letter.what {
        DeadWhat::Notification { partition, offset, .. } => format!("notification:{partition}:{offset}"),
        DeadWhat::Delivery { .. } | DeadWhat::Update { .. } => format!("{:016x}", fresh_token()),
    }
}

impl Reader {
    /// Reads which dead letters were replayed since the last call.
    fn catch_up(&mut self) -> Result<(), Error> {
        let Reader { reader, deliveries, replayed, known, .. } = self;
        reader.read(deliveries, &[(FIRST, *known)], |message| {
            *known = message.offset() + 1;
            replayed.add(message.key().unwrap_or_default(), message.payload().is_some());
            Read::On
        })
    }

    fn list(&mut self, after: Option<&DeadLetterId>, most: usize) -> Result<Vec<DeadLetter>, Error> {
        let mut letters = Vec::new();
        if most > 0 {
            self.collect(Source::Updates, after, most, &mut letters)?;
            self.collect(Source::Deliveries, after, most, &mut letters)?;
        }
        letters.sort_by(|a, b| a.id.cmp(&b.id));
        letters.truncate(most);
        Ok(letters)
    }

    /// Collects up to `most` dead letters of each partition of a topic.
    fn collect(
        &mut self,
        source: Source,
        after: Option<&DeadLetterId>,
        most: usize,
        letters: &mut Vec<DeadLetter>,
    ) -> Result<(), Error> {
        let topic = self.topic(source);
        let count = self.reader.partitions(&topic)?;
        let first = |partition| Some((partition, first_after(&topic, partition, after)?));
        let from: Vec<_> = (0..count).filter_map(|number| first(Partition(number as i32))).collect();
        if from.is_empty() {
            return Ok(());
        }
        let mut found = vec![0; count];
        let replayed = &self.replayed;
        self.reader.read(&topic, &from, |message| {
            let id = id_of(&topic, message);
            let found = &mut found[id.partition.0 as usize];
            if after.is_none_or(|after| id > *after)
                && !replayed.has(source, &id, message)
                && let Some(letter) = read_letter(source, message)
            {
                *found += 1;
                letters.push(letter.with_id(id));
            }
            if *found >= most { Read::Done } else { Read::On }
        })
    }

    /// Finds a dead letter and the key of its record. `None` means it does not exist or was replayed.
    fn find(&mut self, id: &DeadLetterId) -> Result<Option<(DeadLetter, Vec<u8>)>, Error> {
        let Some(source) = self.source(&id.topic) else { return Ok(None) };
        if id.partition.0 as usize >= self.reader.partitions(&id.topic)? {
            return Ok(None);
        }
        let mut found = None;
        let replayed = &self.replayed;
        self.reader.read(&id.topic, &[(id.partition, id.offset)], |message| {
            if message.offset() == id.offset && !replayed.has(source, id, message) {
                let key = message.key().unwrap_or_default().to_vec();
                found = read_letter(source, message).map(|letter| (letter.with_id(id.clone()), key));
            }
            Read::Done
        })?;
        Ok(found)
    }

    /// Makes the record that marks a dead letter as replayed. `None` means there is no such dead letter.
    fn mark(&mut self, id: &DeadLetterId) -> Result<Option<Mark>, Error> {
        let Some((_, key)) = self.find(id)? else { return Ok(None) };
        Ok(self.source(&id.topic).map(|source| match source {
            Source::Deliveries => Mark { key, value: None },
            Source::Updates => {
                Mark { key: format!("{REPLAYED}{id}").into_bytes(), value: Some(id.to_string().into_bytes()) }
            }
        }))
    }

    fn topic(&self, source: Source) -> Arc<str> {
        match source {
            Source::Updates => self.updates.clone(),
            Source::Deliveries => self.deliveries.clone(),
        }
    }

    /// Returns which of the two topics has this name. `None` means neither.
    fn source(&self, topic: &str) -> Option<Source> {
        [Source::Updates, Source::Deliveries].into_iter().find(|source| *self.topic(*source) == *topic)
    }
}

impl Replayed {
    /// Notes what a record of the deliveries' topic says about replays.
    fn add(&mut self, key: &[u8], has_value: bool) {
        if let Some(id) = replayed_id(key) {
            self.updates.extend(id);
        } else if has_value {
            self.deliveries.remove(key);
        } else {
            self.deliveries.insert(key.to_vec());
        }
    }

    fn has(&self, source: Source, id: &DeadLetterId, message: &BorrowedMessage<'_>) -> bool {
        match source {
            Source::Updates => self.updates.contains(id),
            Source::Deliveries => message.key().is_some_and(|key| self.deliveries.contains(key)),
        }
    }
}

/// Returns the first offset of a partition whose id is after `after`. `None` means all its ids are before.
fn first_after(topic: &Arc<str>, partition: Partition, after: Option<&DeadLetterId>) -> Option<i64> {
    let first = DeadLetterId { topic: topic.clone(), partition, offset: 0 };
    match after {
        Some(after) if *after >= first => {
            let is_here = after.topic == *topic && after.partition == partition;
            if is_here { after.offset.checked_add(1) } else { None }
        }
        _ => Some(0),
    }
}

fn id_of(topic: &Arc<str>, message: &BorrowedMessage<'_>) -> DeadLetterId {
    DeadLetterId { topic: topic.clone(), partition: Partition(message.partition()), offset: message.offset() }
}

/// Reads the id of the update that a record marks as replayed; inner none: the id cannot be read.
/// None: the record is no such mark.
fn replayed_id(key: &[u8]) -> Option<Option<DeadLetterId>> {
    let id = key.strip_prefix(REPLAYED.as_bytes())?;
    Some(std::str::from_utf8(id).ok().and_then(|id| id.parse().ok()))
}

/// Reads the dead letter of a record. `None` means it is a marker, or marks another as replayed.
fn read_letter(source: Source, message: &BorrowedMessage<'_>) -> Option<NewDeadLetter> {
    match source {
        Source::Updates if is_empty_marker(message.key(), message.payload()) => None,
        Source::Updates => Some(read_update(message)),
        Source::Deliveries if message.payload().is_none() => None,
        Source::Deliveries if message.key().and_then(replayed_id).is_some() => None,
        Source::Deliveries => Some(read_delivery(message)),
    }
}

fn read_delivery(message: &BorrowedMessage<'_>) -> NewDeadLetter {
    let value = message.payload().unwrap_or_default();
    serde_json::from_slice(value).unwrap_or_else(|error| {
        let (key, value, truncated) = texts(message);
        let (partition, offset) = (message.partition(), message.offset());
        let what = DeadWhat::Notification { partition, offset, key, value, truncated };
        NewDeadLetter { at: at(message), reason: format!("no dead letter of ours: {error}"), what }
    })
}

/// Reads a rejected update, as the committer and Kafka Connect write it.
fn read_update(message: &BorrowedMessage<'_>) -> NewDeadLetter {
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
    NewDeadLetter {
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

/// Returns key and value as text, and the length of the value in bytes if it was cut.
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_page_starts_at_the_next_offset_and_contains_later_partitions_and_topics_completely() {
        let after: DeadLetterId = "b.dlq/2/7".parse().unwrap();
        let first = |topic: &str, partition| first_after(&topic.into(), Partition(partition), Some(&after));
        assert_eq!(first("b.dlq", 2), Some(8));
        assert_eq!(first("b.dlq", 3), Some(0));
        assert_eq!(first("c.dlq", 0), Some(0));
        assert_eq!(first("b.dlq", 1), None);
        assert_eq!(first("a.dlq", 3), None);
        assert_eq!(first_after(&"b.dlq".into(), Partition(1), None), Some(0));
        let last = DeadLetterId { offset: i64::MAX, ..after };
        assert_eq!(first_after(&"b.dlq".into(), Partition(2), Some(&last)), None);
    }

    #[test]
    fn a_replayed_update_is_named_by_its_id_as_text() {
        let id: DeadLetterId = "price_updates.dlq/3/1881".parse().unwrap();
        assert_eq!(replayed_id(b"\0replayed:price_updates.dlq/3/1881"), Some(Some(id.clone())));
        assert_eq!(replayed_id(b"\0replayed:1881"), Some(None));
        assert_eq!(replayed_id(b"notification:3:1881"), None);
        let mut replayed = Replayed::default();
        replayed.add(format!("{REPLAYED}{id}").as_bytes(), true);
        assert!(replayed.updates.contains(&id) && replayed.deliveries.is_empty());
    }
}

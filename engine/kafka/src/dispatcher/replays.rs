//! Deliveries that an operator wants tried again. Any instance writes them into the topic of
//! retries, and the owner of their partition finds them there.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use pricedrop_model::dispatch::{Retry, RetryQueue};
use pricedrop_model::ports::Error;
use pricedrop_model::{Partition, WallTime};
use rdkafka::consumer::BaseConsumer;
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};

use crate::client::ack_producer::{AckProducer, Outgoing};
use crate::client::assign::assign;
use crate::client::log::Logged;
use crate::client::marker_reader::reader;
use crate::dispatcher::retries_topic::{self, Entry, REPLAY};
use crate::limits::REPLAYS;
use crate::settings::Settings;

/// If more polls in a row than this return nothing, the topic counts as read.
const QUIET_LOOKS: u32 = 16;

/// A retry queue that only accepts entries. Another instance may deliver them.
#[derive(Clone)]
pub struct KafkaReplays {
    acked: AckProducer,
    topic: String,
}

impl KafkaReplays {
    /// Creates a queue that writes with this producer.
    pub fn new(settings: &Settings, acked: AckProducer) -> KafkaReplays {
        KafkaReplays { acked, topic: settings.topics.retries.clone() }
    }

    async fn send(&self, retry: &Retry, value: Option<Vec<u8>>) -> Result<(), Error> {
        let sent = self.acked.send(Outgoing {
            topic: &self.topic,
            partition: Some(retry.partition),
            key: Some(retry.key.as_bytes()),
            value: value.as_deref(),
            headers: &[(REPLAY, "1")],
        });
        sent.await.map(|_| ()).map_err(Error::from)
    }
}

#[async_trait]
impl RetryQueue for KafkaReplays {
    async fn put(&self, retries: Vec<Retry>) -> Result<(), Error> {
        for retry in &retries {
            self.send(retry, Some(retries_topic::encode(retry))).await?;
        }
        Ok(())
    }

    /// Returns nothing, because nothing is delivered here.
    async fn take(
        &self,
        _channel: &str,
        _now: WallTime,
        _until: WallTime,
        _most: usize,
    ) -> Result<Vec<Retry>, Error> {
        Ok(Vec::new())
    }

    async fn remove(&self, retries: &[Retry]) -> Result<(), Error> {
        for retry in retries {
            self.send(retry, None).await?;
        }
        Ok(())
    }

    /// Returns nothing, because no entries are counted here.
    async fn waiting(&self) -> Result<Vec<(String, u64)>, Error> {
        Ok(Vec::new())
    }
}

/// Reads the entries that other instances write into the topic of retries.
pub struct Follower {
    consumer: BaseConsumer<Logged>,
    topic: String,
    next: BTreeMap<Partition, i64>,
}

impl Follower {
    /// Creates a follower of no partitions yet.
    ///
    /// # Errors
    /// `Fatal`: the configuration is invalid.
    pub fn new(settings: &Settings) -> Result<Follower, Error> {
        let topic = settings.topics.retries.clone();
        Ok(Follower { consumer: reader(settings)?, topic, next: BTreeMap::new() })
    }

    /// Follows these partitions in addition, from these offsets.
    pub fn follow(&mut self, from: BTreeMap<Partition, i64>) {
        if !from.is_empty() {
            self.next.extend(from);
            self.assign();
        }
    }

    /// Stops following all partitions but these.
    pub fn keep(&mut self, partitions: &BTreeSet<Partition>) {
        let before = self.next.len();
        self.next.retain(|partition, _| partitions.contains(partition));
        if self.next.len() < before {
            self.assign();
        }
    }

    fn assign(&self) {
        let mut list = TopicPartitionList::new();
        for (partition, next) in &self.next {
            let _ = list.add_partition_offset(&self.topic, partition.0, Offset::Offset(*next));
        }
        if let Err(error) = assign(&self.consumer, &list) {
            tracing::error!(%error, topic = self.topic, "requests to replay deliveries are not read");
        }
    }

    /// Returns the entries that other instances wrote since the last call.
    pub fn read(&mut self) -> Vec<Retry> {
        let mut found = Vec::new();
        let mut quiet = 0;
        for _ in 0..REPLAYS {
            let polled = self.consumer.poll(std::time::Duration::ZERO);
            // A poll that only delivers log lines of librdkafka returns none, even if records
            // follow.
            quiet = if polled.is_none() { quiet + 1 } else { 0 };
            if quiet > QUIET_LOOKS {
                break;
            }
            let Some(Ok(message)) = polled else { continue };
            let partition = Partition(message.partition());
            let Some(next) = self.next.get_mut(&partition) else { continue };
            *next = message.offset() + 1;
            let is_replay = message.headers().is_some_and(|all| all.iter().any(|one| one.key == REPLAY));
            if !is_replay {
                continue;
            }
            if let Entry::Waits(retry) = retries_topic::read(partition, message.key(), message.payload()) {
                found.push(*retry);
            }
        }
        found
    }
}

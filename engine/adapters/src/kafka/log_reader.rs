//! Looks into topics without a group: from an offset to the end there is now.

use std::time::{Duration, Instant};

use pricedrop_model::Partition;
use pricedrop_model::seams::Error;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};

use super::limits::{CALL_MS, EVENT_POLL_MS};
use super::log::Logged;
use super::member::{away, partitions_of};
use super::settings::Settings;

/// Whether more of a partition is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// The next record, too.
    On,
    /// This partition's records suffice.
    Enough,
}

/// A consumer without a group, made when it is first needed.
pub struct LogReader {
    settings: Settings,
    consumer: Option<BaseConsumer<Logged>>,
}

impl LogReader {
    /// Of this cluster.
    pub fn new(settings: &Settings) -> LogReader {
        LogReader { settings: settings.clone(), consumer: None }
    }

    /// How many partitions a topic has.
    ///
    /// # Errors
    /// The cluster is away, or the topic is missing.
    pub fn partitions(&mut self, topic: &str) -> Result<usize, Error> {
        partitions_of(self.consumer()?, topic)
    }

    /// Shows the committed records of these partitions, from these offsets or
    /// the beginning of what is kept, up to their end.
    ///
    /// # Errors
    /// The cluster is away.
    pub fn read(
        &mut self,
        topic: &str,
        from: &[(Partition, i64)],
        see: impl FnMut(&BorrowedMessage<'_>) -> Look,
    ) -> Result<(), Error> {
        let read = read(self.consumer()?, topic, from, see);
        if read.is_err() {
            self.consumer = None;
        }
        read
    }

    fn consumer(&mut self) -> Result<&BaseConsumer<Logged>, Error> {
        if self.consumer.is_none() {
            let mut config = self.settings.reader();
            config.set("enable.partition.eof", "true").set("auto.offset.reset", "earliest");
            let made = BaseConsumer::from_config_and_context(&config, Logged);
            let refused = |error| Error::Broken(format!("the Kafka consumer: {error}"));
            self.consumer = Some(made.map_err(refused)?);
        }
        Ok(self.consumer.as_ref().expect("it was made above"))
    }
}

fn read(
    consumer: &BaseConsumer<Logged>,
    topic: &str,
    from: &[(Partition, i64)],
    mut see: impl FnMut(&BorrowedMessage<'_>) -> Look,
) -> Result<(), Error> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in from {
        list.add_partition_offset(topic, partition.0, Offset::Offset(*offset)).map_err(away)?;
    }
    consumer.assign(&list).map_err(away)?;
    let mut open: Vec<i32> = from.iter().map(|(partition, _)| partition.0).collect();
    let patience = Duration::from_millis(CALL_MS);
    let mut until = Instant::now() + patience;
    let mut trouble = None;
    while !open.is_empty() {
        match consumer.poll(Duration::from_millis(EVENT_POLL_MS)) {
            Some(Ok(message)) if open.contains(&message.partition()) => {
                until = Instant::now() + patience;
                if see(&message) == Look::Enough {
                    open.retain(|partition| *partition != message.partition());
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                until = Instant::now() + patience;
                open.retain(|one| *one != partition);
            }
            Some(Err(error)) => trouble = Some(error),
            Some(Ok(_)) | None => {}
        }
        if Instant::now() >= until {
            let why = trouble.map_or_else(|| "no answer".to_owned(), |error| error.to_string());
            return Err(Error::Unavailable(format!("Kafka: {topic}: {why}")));
        }
    }
    consumer.unassign().map_err(away)
}

//! A producer that acknowledges each record on its own, with the partition and offset of the
//! record, once all in-sync replicas have it.

use std::sync::Arc;
use std::time::Duration;

use pricedrop_model::Cause;
use pricedrop_model::ports::Error;
use pricedrop_model::{Partition, Position};
use rdkafka::ClientContext;
use rdkafka::config::{FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer};
use tokio::sync::oneshot;

use crate::client::log::write_line;
use crate::limits::{ACK_MS, ROOM_POLL_MS};
use crate::settings::Settings;

/// Why a record was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It was not written: sending it again cannot write it twice.
    #[error("{0}")]
    NotSent(String),
    /// It may have been written: sending it again may write it twice.
    #[error("{0}")]
    Unknown(String),
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Error {
        Error::Unavailable(Cause::of(error))
    }
}

/// A record to send.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition. `None` means chosen by key.
    pub partition: Option<Partition>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; none is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Header names and values.
    pub headers: &'a [(&'a str, &'a str)],
}

/// Resolves to the position of a record once it is acknowledged.
pub type Place = oneshot::Receiver<Result<Position, SendError>>;

/// A producer that is cheap to clone.
#[derive(Clone)]
pub struct AckProducer(Arc<ThreadedProducer<Acks>>);

/// Passes each acknowledgement to the caller that waits for it.
struct Acks;

impl ClientContext for Acks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        write_line(level as i32, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", "{error}: {reason}");
    }
}

impl ProducerContext for Acks {
    type DeliveryOpaque = Box<oneshot::Sender<Result<Position, SendError>>>;

    fn delivery(&self, result: &DeliveryResult<'_>, answer: Self::DeliveryOpaque) {
        let place = match result {
            Ok(message) => {
                Ok(Position { partition: Partition(message.partition()), offset: message.offset() })
            }
            Err((error, message)) => Err(describe(error, message.topic())),
        };
        let _ = answer.send(place);
    }
}

fn describe(error: &KafkaError, topic: &str) -> SendError {
    use RDKafkaErrorCode as Code;
    let text = format!("Kafka did not take a record for {topic}: {error}");
    match error.rdkafka_error_code() {
        Some(
            Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::UnknownPartition
            | Code::InvalidTopic
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::MessageSizeTooLarge
            | Code::InvalidMessageSize
            | Code::PolicyViolation
            | Code::QueueFull,
        ) => SendError::NotSent(text),
        _ => SendError::Unknown(text),
    }
}

impl AckProducer {
    /// Creates a producer with a client of its own.
    ///
    /// # Errors
    /// `Fatal`: the configuration is invalid.
    pub fn new(settings: &Settings) -> Result<AckProducer, Error> {
        let mut config = settings.idempotent();
        if config.get("message.timeout.ms").is_none() && config.get("delivery.timeout.ms").is_none() {
            config.set("message.timeout.ms", ACK_MS.to_string());
        }
        let producer = ThreadedProducer::from_config_and_context(&config, Acks);
        let refused = |error| Error::Fatal(Cause::new("the Kafka producer", error));
        Ok(AckProducer(Arc::new(producer.map_err(refused)?)))
    }

    /// Sends a record and waits until it is acknowledged. Returns its position.
    ///
    /// # Errors
    /// Says whether the record may have been written.
    pub async fn send(&self, record: Outgoing<'_>) -> Result<Position, SendError> {
        answered(self.enqueue(record).await?).await
    }

    /// Queues a record, and waits up to `ACK_MS` if the queue is full. Records of one partition
    /// keep the order in which they were queued.
    ///
    /// # Errors
    /// The record was not queued.
    pub async fn enqueue(&self, record: Outgoing<'_>) -> Result<Place, SendError> {
        let until = tokio::time::Instant::now() + Duration::from_millis(ACK_MS);
        loop {
            match self.try_enqueue(&record) {
                Err(error)
                    if error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
                        && tokio::time::Instant::now() < until =>
                {
                    tokio::time::sleep(Duration::from_millis(ROOM_POLL_MS)).await;
                }
                done => return done.map_err(|error| describe(&error, record.topic)),
            }
        }
    }

    fn try_enqueue(&self, record: &Outgoing<'_>) -> Result<Place, KafkaError> {
        let (answer, place) = oneshot::channel();
        let mut base = BaseRecord::<[u8], [u8], _>::with_opaque_to(record.topic, Box::new(answer));
        base.partition = record.partition.map(|partition| partition.0);
        base.key = record.key;
        base.payload = record.value;
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            let insert = |all: OwnedHeaders, (key, value): &(&str, &str)| {
                all.insert(Header { key, value: Some(*value) })
            };
            base.headers = Some(record.headers.iter().fold(headers, insert));
        }
        self.0.send(base).map(|()| place).map_err(|(error, _)| error)
    }
}

/// Waits for the position of a record that was queued.
///
/// # Errors
/// Says whether the record may have been written.
pub async fn answered(place: Place) -> Result<Position, SendError> {
    place.await.unwrap_or_else(|_| Err(SendError::Unknown("the Kafka producer ended".into())))
}

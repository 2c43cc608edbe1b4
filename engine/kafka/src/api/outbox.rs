//! Reads `user_notifications` for the API and the commands, without a group, so that it does not
//! affect the dispatchers.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pricedrop_model::Cause;
use pricedrop_model::Partition;
use pricedrop_model::dispatch::NotificationReader;
use pricedrop_model::ports::Error;
use pricedrop_model::sync::lock;
use rdkafka::message::Message;

use crate::client::log_reader::LogReader;
use crate::client::marker_reader::Read;
use crate::settings::Settings;

/// The notifications of a cluster. Each partition is read on its own, by its own offsets.
#[derive(Clone)]
pub struct KafkaOutbox {
    topic: String,
    reader: Arc<Mutex<LogReader>>,
}

impl KafkaOutbox {
    /// Opens the notifications of this cluster.
    pub fn new(settings: &Settings) -> KafkaOutbox {
        let reader = Arc::new(Mutex::new(LogReader::new(settings)));
        KafkaOutbox { topic: settings.topics.notifications.clone(), reader }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut LogReader, &str) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (reader, topic) = (self.reader.clone(), self.topic.clone());
        let run = move || call(&mut lock(&reader), &topic);
        let done = tokio::task::spawn_blocking(run).await;
        done.map_err(|error| Error::Unavailable(Cause::new("reading notifications", error)))?
    }
}

#[async_trait]
impl NotificationReader for KafkaOutbox {
    async fn partitions(&self) -> Result<usize, Error> {
        self.blocking(|reader, topic| reader.partitions(topic)).await
    }

    async fn read(&self, partition: Partition, from: i64, most: usize) -> Result<(Vec<u8>, i64), Error> {
        self.blocking(move |reader, topic| {
            let (mut lines, mut next, mut left) = (Vec::new(), from, most);
            let exists = (0..reader.partitions(topic)? as i32).contains(&partition.0);
            if left == 0 || !exists {
                return Ok((lines, next));
            }
            reader.read(topic, &[(partition, from)], |message| {
                if let Some(value) = message.payload() {
                    lines.extend_from_slice(value);
                    lines.push(b'\n');
                    left -= 1;
                }
                next = message.offset() + 1;
                if left == 0 { Read::Done } else { Read::On }
            })?;
            Ok((lines, next))
        })
        .await
    }
}

//! A producer that does nothing but send.

use std::time::{Duration, Instant};

use pricedrop_adapters::kafka::Settings;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use super::rig::TOLD;

/// Sends as many records of the same size as a round of notifications.
pub struct Producer {
    producer: BaseProducer,
    topic: String,
    products: usize,
}

impl Producer {
    /// To the topic of notifications.
    pub fn new(settings: &Settings, products: usize) -> Producer {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &settings.properties["bootstrap.servers"])
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "5")
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.messages", "500000")
            .create()
            .unwrap();
        Producer { producer, topic: settings.topics.notifications.clone(), products }
    }

    /// Until all are acknowledged.
    pub fn send(&self) -> Duration {
        let begun = Instant::now();
        let each = TOLD / self.products;
        for user in 0..TOLD {
            let (key, product) = (format!("user-{user:08}"), user / each);
            let value = format!(
                r#"{{"userId":"{key}","productId":"P{product}","newPrice":89.99,"id":"{:08x}-0000-8000-8000-{user:012x}","watchPrice":{}.{:02},"previousPrice":90,"currency":"USD"}}"#,
                (user as u32).wrapping_mul(2_654_435_761),
                100 + user % each / 100,
                user % 100,
            );
            let mut record = BaseRecord::to(&self.topic).key(&key).payload(&value);
            while let Err((error, again)) = self.producer.send(record) {
                assert!(
                    matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)),
                    "{error}"
                );
                self.producer.poll(Duration::from_millis(2));
                record = again;
            }
            if user % 1_000 == 0 {
                self.producer.poll(Duration::ZERO);
            }
        }
        self.producer.flush(Duration::from_secs(60)).unwrap();
        begun.elapsed()
    }
}

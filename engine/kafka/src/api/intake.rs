//! Writes prices that are posted over HTTP into `price_updates`.

use async_trait::async_trait;
use pricedrop_model::Update;
use pricedrop_model::intake::{IntakeError, NewRecord, Posted, PriceIntake};

use crate::client::ack_producer::{AckProducer, Outgoing, Place, SendError, answered};
use crate::settings::Settings;

/// Why a posted offset is refused.
const NO_OFFSET: &str = "an offset cannot be asked for here: the input is on Kafka, where others write, too; \
                         post without it, and give updates a sequence, so that a repeated post is stale";

/// The input for prices that are posted over HTTP. Records are partitioned by product, as Java
/// clients do it.
#[derive(Clone)]
pub struct KafkaIntake {
    acked: AckProducer,
    topic: String,
}

impl KafkaIntake {
    /// Creates an input that writes with this producer.
    pub fn new(settings: &Settings, acked: AckProducer) -> KafkaIntake {
        KafkaIntake { acked, topic: settings.topics.prices.clone() }
    }
}

#[async_trait]
impl PriceIntake for KafkaIntake {
    /// Writes records in order, and returns once all in-sync replicas have them. The owners of
    /// their partitions evaluate them later.
    async fn post(&self, records: Vec<NewRecord>, offset: Option<i64>) -> Result<Vec<Posted>, IntakeError> {
        if offset.is_some() {
            return Err(IntakeError::NoOffset(NO_OFFSET.into()));
        }
        let mut places: Vec<Result<Place, SendError>> = Vec::with_capacity(records.len());
        for record in &records {
            let product = product(record);
            let place = self.acked.enqueue(Outgoing {
                topic: &self.topic,
                partition: None,
                key: product.as_deref(),
                value: record.value.as_deref(),
                headers: &[],
            });
            let place = place.await;
            let failed = place.is_err();
            places.push(place);
            if failed {
                break;
            }
        }
        let (mut positions, mut failed) = (Vec::with_capacity(places.len()), Vec::new());
        for place in places {
            let answer = match place {
                Ok(place) => answered(place).await,
                Err(error) => Err(error),
            };
            match answer {
                Ok(position) => positions.push(position),
                Err(error) => failed.push(error),
            }
        }
        let untouched = positions.is_empty() && failed.iter().all(|one| matches!(one, SendError::NotSent(_)));
        match failed.into_iter().next() {
            None => Ok(positions.into_iter().map(Posted::Queued).collect()),
            Some(error) if untouched => Err(IntakeError::NotTaken(error.to_string())),
            Some(error) => Err(IntakeError::Partly(error.to_string())),
        }
    }
}

/// Returns the key of a record: its own, or the product of its update. `None` means it is no update, which
/// the notifier detects in any partition.
fn product(record: &NewRecord) -> Option<Vec<u8>> {
    match (&record.key, &record.value) {
        (Some(key), _) => Some(key.to_vec()),
        (None, Some(value)) => Update::product_of(value).map(|product| product.as_str().as_bytes().to_vec()),
        (None, None) => None,
    }
}

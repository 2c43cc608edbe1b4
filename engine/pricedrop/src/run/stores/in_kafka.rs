//! The API's view of Kafka: prices go in, notifications are looked into.

use async_trait::async_trait;
use pricedrop_http::{IntakeError, NewRecord, Outbox, Posted, PriceIntake};
use pricedrop_kafka::{KafkaIntake, KafkaOutbox, PostError, PostedRecord};
use pricedrop_model::Partition;
use pricedrop_model::seams::Error;

/// The input.
pub struct Intake(pub KafkaIntake);

#[async_trait]
impl PriceIntake for Intake {
    async fn post(&self, records: Vec<NewRecord>, offset: Option<i64>) -> Result<Vec<Posted>, IntakeError> {
        let records = records.into_iter().map(|NewRecord { key, value }| PostedRecord { key, value });
        let posted = self.0.post(records.collect(), offset).await;
        let positions = posted.map_err(|error| match error {
            PostError::Offset => IntakeError::NoOffset(error.to_string()),
            PostError::NotTaken(_) => IntakeError::NotTaken(error.to_string()),
            PostError::Unknown(_) => IntakeError::Partly(error.to_string()),
        })?;
        Ok(positions.into_iter().map(Posted::Queued).collect())
    }
}

/// What was told.
pub struct Told(pub KafkaOutbox);

#[async_trait]
impl Outbox for Told {
    async fn read(&self, partition: Partition, from: i64, most: usize) -> Result<(Vec<u8>, i64), Error> {
        self.0.read(partition, from, most).await
    }

    async fn partitions(&self) -> Result<usize, Error> {
        self.0.partitions().await
    }
}

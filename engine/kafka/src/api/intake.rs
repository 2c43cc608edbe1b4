//! Prices posted to us, on their way into `price_updates`.

use bytes::Bytes;
use pricedrop_model::{Position, Update};

use crate::client::ack_producer::{Acked, Outgoing, Place, SendError, answered};
use crate::settings::Settings;

/// A record that was posted.
#[derive(Debug, Clone)]
pub struct PostedRecord {
    /// The product of a tombstone.
    pub key: Option<Bytes>,
    /// The update; none is a tombstone.
    pub value: Option<Bytes>,
}

/// Why a post has no answer.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// Nothing was taken: post without the offset.
    #[error(
        "an offset cannot be asked for here: the input is on Kafka, where others write, too; post without it, \
         and give updates a sequence, so that a repeated post is stale"
    )]
    Offset,
    /// Nothing was taken: post again later.
    #[error("{0}")]
    NotTaken(String),
    /// Some may have been taken: post again; what has a sequence is stale then.
    #[error("{0}")]
    Unknown(String),
}

/// Where producers over HTTP write. Records go by product to the partitions
/// that Java clients would choose.
#[derive(Clone)]
pub struct KafkaIntake {
    acked: Acked,
    topic: String,
}

impl KafkaIntake {
    /// Over this producer.
    pub fn new(settings: &Settings, acked: Acked) -> KafkaIntake {
        KafkaIntake { acked, topic: settings.topics.prices.clone() }
    }

    /// Writes records in order; where each of them stands, once all replicas
    /// have it. What becomes of it is decided by whoever owns its partition.
    ///
    /// # Errors
    /// Says whether anything was taken.
    pub async fn post(
        &self,
        records: Vec<PostedRecord>,
        offset: Option<i64>,
    ) -> Result<Vec<Position>, PostError> {
        if offset.is_some() {
            return Err(PostError::Offset);
        }
        let mut places: Vec<Result<Place, SendError>> = Vec::with_capacity(records.len());
        for record in &records {
            let product = product(record);
            let place = self.acked.hand_over(Outgoing {
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
            None => Ok(positions),
            Some(error) if untouched => Err(PostError::NotTaken(error.to_string())),
            Some(error) => Err(PostError::Unknown(error.to_string())),
        }
    }
}

/// The product a record is keyed by; none: it is no update, and the notifier
/// says so wherever it lands.
fn product(record: &PostedRecord) -> Option<Vec<u8>> {
    match (&record.key, &record.value) {
        (Some(key), _) => Some(key.to_vec()),
        (None, Some(value)) => {
            Update::parse(value).ok().map(|update| update.product.as_str().as_bytes().to_vec())
        }
        (None, None) => None,
    }
}

//! Changes the partitions of a consumer without a group, one change at a time.
//!
//! librdkafka ends the whole process if a partition is revoked again before it stopped reading it
//! (librdkafka issue 5573, fixed after 2.15.0). It stops reading revoked partitions in steps that
//! wait in the same queue as our requests, so they are done once a later request was answered.

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;

/// Reads these partitions and no others. When this returns, librdkafka has stopped reading the
/// previous ones. For consumers without a group only: between two changes of a group its members
/// have to agree, and that takes longer.
pub fn assign<C: ConsumerContext>(consumer: &BaseConsumer<C>, list: &TopicPartitionList) -> KafkaResult<()> {
    consumer.assign(list)?;
    consumer.assignment().map(|_| ())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::{Duration, Instant};

    use rdkafka::Offset;

    use super::*;
    use crate::admin::topics::{self, NewTopics};
    use crate::client::marker_reader::reader;
    use crate::{Settings, Topics};

    const TURNS: usize = 50;

    #[tokio::test]
    async fn partitions_may_be_revoked_right_after_their_assignment() {
        let mut settings = Settings::new(&pricedrop_harness::servers::kafka());
        settings.topics = Topics::prefixed(&format!("assigning-{}", std::process::id()));
        topics::apply(&settings, NewTopics { partitions: 4, replication: 1 }).await.unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..4 {
            list.add_partition_offset(&settings.topics.retries, partition, Offset::Offset(0)).unwrap();
        }
        for _ in 0..TURNS {
            let consumer = reader(&settings).unwrap();
            assign(&consumer, &list).unwrap();
            // The end of a partition is reported only while it is read.
            let until = Instant::now() + Duration::from_secs(60);
            while consumer.poll(Duration::from_millis(10)).is_none() {
                assert!(Instant::now() < until, "nothing is read");
            }
            assign(&consumer, &list).unwrap();
            assign(&consumer, &list).unwrap();
        }
    }
}

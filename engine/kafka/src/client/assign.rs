//! Partitions change hands in the client, one change after the other.
//!
//! The client ends the whole process when a partition is taken from it again
//! before it has stopped reading it (librdkafka issue 5573, mended after 2.15.0).
//! It stops what an assignment took away in steps of its own, which lie in one
//! queue with our questions: whoever had an answer since knows they are done.

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaResult;

/// Reads these partitions and no others; what it read before is let go of when
/// this returns. For a consumer without a group: where there is one, its members
/// agree between two changes, and that takes longer.
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
    async fn partitions_may_be_taken_away_again_at_once() {
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
            // An end is told of a partition that is being read.
            let until = Instant::now() + Duration::from_secs(60);
            while consumer.poll(Duration::from_millis(10)).is_none() {
                assert!(Instant::now() < until, "nothing is read");
            }
            assign(&consumer, &list).unwrap();
            assign(&consumer, &list).unwrap();
        }
    }
}

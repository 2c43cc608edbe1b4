//! The steps by which partitions are acquired, the same for notifiers and dispatchers:
//!
//! 1. the topics have as many partitions as each other;
//! 2. what earlier producers left open is aborted;
//! 3. the owner decides from which offset each partition is read;
//! 4. a transaction writes a marker with a fresh token, and sends those offsets;
//! 5. the owner reads what is stored up to that marker.
//!
//! Invariant: step 4 fences off whoever had the partitions before. A transaction of theirs
//! sends offsets, too, and the group no longer knows its member, so nothing of theirs can
//! come after the marker.

use pricedrop_model::Partition;
use pricedrop_model::ports::{CommitError, Error};
use rdkafka::consumer::BaseConsumer;

use crate::client::log::Logged;
use crate::client::marker_reader::{open_partitions, reader, reader_of_all};
use crate::client::queries::partitions_of;
use crate::client::raw::Records;
use crate::group::group_consumer::{GroupConsumer, PartitionEpoch};
use crate::group::transactions::{Fence, Transactions};
use crate::settings::Settings;

/// Who acquires.
pub struct Acquisition<'a> {
    /// The cluster and the topics.
    pub settings: &'a Settings,
    /// The consumer group.
    pub group: &'a str,
    /// Our member of it.
    pub member: &'a GroupConsumer,
    /// Our producer.
    pub transactions: &'a mut Transactions,
}

impl Acquisition<'_> {
    /// How many partitions the topic that is read has, and so do these.
    ///
    /// # Errors
    /// One has another number, or the cluster is away.
    pub fn same_partition_count(
        &self,
        reader: &BaseConsumer<Logged>,
        topics: &[&str],
    ) -> Result<usize, Error> {
        let expected = self.member.partitions()?;
        for topic in topics {
            let count = partitions_of(reader, topic)?;
            if count != expected {
                return Err(Error::Fatal(
                    format!(
                        "{topic} has {count} partitions and {} has {expected}: they must be as many; \
                     `pricedrop topics check` says what to do",
                        self.member.topic()
                    )
                    .into(),
                ));
            }
        }
        Ok(expected)
    }

    /// Aborts what earlier producers may have left open in the group's offsets and in
    /// these topics. Otherwise offsets might stay undecided for good, and records of a
    /// commit that failed be seen with those of the next one. `mark` adds a record that
    /// means nothing.
    ///
    /// # Errors
    /// The cluster is away, or a partition moved.
    pub fn abort_hanging(
        &mut self,
        held: &[PartitionEpoch],
        topics: &[&str],
        mark: impl Fn(&mut Records, Partition),
    ) -> Result<(), Error> {
        self.transactions.prepare()?;
        if !self.transactions.may_have_hanging() {
            return Ok(());
        }
        let (reader, all) = (reader(self.settings)?, reader_of_all(self.settings, self.group)?);
        let mut open = Vec::new();
        for topic in topics {
            open.push((topic, open_partitions(&reader, &all, topic)?));
        }
        self.transactions.abort_hanging_transactions(self.member, held, &all, |producer| {
            open.into_iter().filter(|(_, partitions)| !partitions.is_empty()).try_for_each(
                |(topic, partitions)| {
                    let mut records = Records::default();
                    partitions.into_iter().for_each(|partition| mark(&mut records, partition));
                    producer.send(topic, &mut records)
                },
            )
        })
    }

    /// Writes these records and sends these offsets in one transaction.
    ///
    /// # Errors
    /// A partition moved, or the cluster is away: acquire again.
    pub fn write(
        &mut self,
        held: &[PartitionEpoch],
        offsets: &[(Partition, i64)],
        topic: &str,
        mut records: Records,
    ) -> Result<(), Error> {
        let fence = Fence { member: self.member, held, offsets };
        self.transactions.commit_records(&fence, topic, &mut records).map_err(|error| match error {
            CommitError::Fenced(why) => Error::Rebalanced(why),
            CommitError::NotCommitted(why) | CommitError::Unknown(why) => Error::Unavailable(why),
        })
    }
}

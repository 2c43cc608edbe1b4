//! Compares the group's offsets, the stored positions and the log of the input, for commands and
//! metrics outside the group.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use pricedrop_model::Partition;
use pricedrop_model::ports::Error;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::client::log::Logged;
use crate::client::marker_reader::{read_stable, reader};
use crate::client::queries::{GroupOffset, committed, partitions_of, unavailable};
use crate::client::reserved_keys::Position;
use crate::limits::CALL_MS;
use crate::notifier::changelog::{self, Entry};
use crate::settings::Settings;

/// Reads the end offsets of the input's partitions.
pub struct OffsetCheck {
    client: BaseConsumer<Logged>,
    topic: String,
}

impl OffsetCheck {
    /// Creates a reader of this cluster.
    ///
    /// # Errors
    /// `Fatal`: the configuration is invalid.
    pub fn new(settings: &Settings) -> Result<OffsetCheck, Error> {
        Ok(OffsetCheck { client: reader(settings)?, topic: settings.topics.prices.clone() })
    }

    /// Reads the last stable offset of each of these partitions.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn of(&self, partitions: impl Iterator<Item = Partition>) -> Result<BTreeMap<Partition, i64>, Error> {
        let wait = Duration::from_millis(CALL_MS);
        let end = |partition: Partition| {
            let (_, end) =
                self.client.fetch_watermarks(&self.topic, partition.0, wait).map_err(unavailable)?;
            Ok((partition, end))
        };
        partitions.map(end).collect()
    }
}

/// A partition whose offset and states do not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The partition.
    pub partition: Partition,
    /// The group's offset.
    pub committed: Option<i64>,
    /// The position that is stored with its states.
    pub stored: Option<i64>,
    /// The first offset of the log, and its last stable offset.
    pub log: (i64, i64),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let offset = |offset: Option<i64>| offset.map_or("none".to_owned(), |offset| offset.to_string());
        let (low, high) = self.log;
        let (group, states) = (offset(self.committed), offset(self.stored));
        write!(f, "the group was at {group}, the states at {states}, the log has {low} to {high}")
    }
}

/// Finds the partitions whose offset and states do not match.
///
/// Looks twice, because a partition that commits at the moment differs in at most one look.
///
/// # Errors
/// The cluster does not answer, or access is denied.
pub fn differences(settings: &Settings) -> Result<Vec<Difference>, Error> {
    let first = look(settings)?;
    if first.is_empty() {
        return Ok(first);
    }
    let second = look(settings)?;
    Ok(second.into_iter().filter(|difference| first.contains(difference)).collect())
}

/// Describes an input whose partition count is not the one stored with its states, and a remedy.
/// None: the count is the same, or none is stored.
///
/// # Errors
/// The cluster does not answer, or access is denied.
pub fn outgrown(settings: &Settings) -> Result<Option<(String, String)>, Error> {
    let client = reader(settings)?;
    let now = u32::try_from(partitions_of(&client, &settings.topics.prices)?).unwrap_or(u32::MAX);
    let then = stored_partition_count(settings, &client)?;
    Ok(then.filter(|then| *then != now).map(|then| describe_outgrown(then, now)))
}

/// Reads the partition count that is stored in the first partition of the changelog.
pub(crate) fn stored_partition_count(
    settings: &Settings,
    client: &BaseConsumer<Logged>,
) -> Result<Option<u32>, Error> {
    let mut count_found = None;
    read_stable(client, &settings.topics.state, &[Partition(0)], |line| {
        if let Entry::Partitions(count) = changelog::read_line(&settings.topics.state, &line)? {
            count_found = Some(count);
        }
        Ok(())
    })?;
    Ok(count_found)
}

pub(crate) fn describe_outgrown(then: u32, now: u32) -> (String, String) {
    let what = format!(
        "had {then} partitions when its products' states were stored and has {now} now, so products may have moved \
         to partitions that do not know them"
    );
    let remedy = "name new topics under topics.state and topics.removals, make them with `pricedrop topics apply`, \
                  and begin with rules.first_price = \"baseline\"";
    (what, remedy.into())
}

/// Returns whether Kafka committed the states of a transaction and lost its offset. Then the stored
/// position is right. An offset that an operator set is never overruled.
pub(crate) fn is_committed_in_part(committed: GroupOffset, stored: i64) -> bool {
    committed.by_engine && committed.next < stored
}

fn look(settings: &Settings) -> Result<Vec<Difference>, Error> {
    let client = reader(settings)?;
    let topic = &settings.topics.prices;
    let count = i32::try_from(partitions_of(&client, topic)?).unwrap_or(i32::MAX);
    let partitions: Vec<Partition> = (0..count).map(Partition).collect();
    let committed = offsets_of_group(settings, &partitions)?;
    let stored = stored(settings, &client, &partitions)?;
    let mut found = Vec::new();
    for partition in partitions {
        let wait = Duration::from_millis(CALL_MS);
        let log = client.fetch_watermarks(topic, partition.0, wait).map_err(unavailable)?;
        let (committed, stored) = (committed.get(&partition).copied(), stored.get(&partition).copied());
        if differs(committed, stored, log) {
            found.push(Difference { partition, committed: committed.map(|offset| offset.next), stored, log });
        }
    }
    Ok(found)
}

fn differs(committed: Option<GroupOffset>, stored: Option<i64>, (low, high): (i64, i64)) -> bool {
    match (committed, stored) {
        (Some(committed), Some(stored)) => {
            !is_committed_in_part(committed, stored) && committed.next != stored
                || !(low..=high).contains(&stored)
        }
        // The partition was never read: the next start decides where to begin.
        (None, None) => false,
        _ => true,
    }
}

/// Reads the committed offsets of the group, read without joining it.
fn offsets_of_group(
    settings: &Settings,
    partitions: &[Partition],
) -> Result<BTreeMap<Partition, GroupOffset>, Error> {
    let mut config = settings.reader();
    config.set("group.id", &settings.group);
    let client: BaseConsumer<Logged> =
        BaseConsumer::from_config_and_context(&config, Logged::default()).map_err(unavailable)?;
    committed(&client, &settings.topics.prices, partitions)
}

/// Reads the positions that are stored with the states, or that an operator accepted since.
fn stored(
    settings: &Settings,
    client: &BaseConsumer<Logged>,
    partitions: &[Partition],
) -> Result<BTreeMap<Partition, i64>, Error> {
    let topic = &settings.topics.state;
    let mut stored = BTreeMap::new();
    read_stable(client, topic, partitions, |line| {
        match changelog::read_line(topic, &line)? {
            Entry::Position(Position { next, .. }) | Entry::Accepted(Some(next)) => {
                stored.insert(line.partition, next);
            }
            Entry::State(..) | Entry::Marker(_) | Entry::Partitions(_) | Entry::Accepted(None) => {}
        }
        Ok(())
    })?;
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_belongs_to_its_states_if_both_are_the_same_and_in_the_log() {
        let group = |next| Some(GroupOffset::of_engine(next));
        assert!(!differs(group(5), Some(5), (0, 9)));
        assert!(!differs(None, None, (0, 9)));
        assert!(!differs(group(5), Some(7), (0, 9)), "the states are right");
        assert!(differs(Some(GroupOffset { next: 5, by_engine: false }), Some(7), (0, 9)));
        assert!(differs(group(7), Some(5), (0, 9)));
        assert!(differs(None, Some(7), (0, 9)));
        assert!(differs(group(7), None, (0, 9)));
        assert!(differs(group(3), Some(3), (6, 9)));
        assert!(differs(group(3), Some(12), (0, 9)));
        assert!(differs(group(12), Some(12), (0, 9)));
    }
}

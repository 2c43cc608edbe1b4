//! Ends transactions that earlier producers of the same transactional id left open.
//!
//! `init_transactions` should have ended them. But a coordinator that has just started treats
//! partitions without a leader as deleted, and writes no transaction marker there (KAFKA-20734).
//! The transaction then hangs in those partitions: readers of committed records stop before it, and
//! the group's offset stays undecided, until the same producer ends another transaction there. This
//! module ends one there.
//!
//! A transaction has one outcome, but each partition learns it from a transaction marker of its
//! own. So what hangs in one partition may have been committed in others, and aborting it would
//! lose notifications. Every commit stores the same offset twice, as the group's offset and as the
//! position in the owner's topic. If one of the two was committed and the other was not, the
//! transaction was committed, and what hangs is committed too:
//!
//! | Group's offset | Committed position | Last position | What hangs is |
//! |---|---|---|---|
//! | 32 | 41, of ours | | committed, with the offset 41 |
//! | 41 | 32, or none | 41, of ours | committed, with the offset 41 |
//! | 32 | 32 | any | aborted |
//! | 32, set by an operator | 41, of ours | any | aborted |
//!
//! "Of ours": a position names the transactional id that stored it. Positions of other producers,
//! whose transaction markers may still be on their way, say nothing about this transaction.

use std::collections::BTreeMap;

use pricedrop_model::Partition;

use crate::client::queries::GroupOffset;
use crate::client::reserved_keys::Position;

/// The positions stored in one partition of the owner's topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredPositions {
    /// The last committed position.
    pub committed: Option<Position>,
    /// The last position, committed or not.
    pub last: Option<Position>,
}

/// How a transaction that hangs is ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Whether it is committed.
    pub commit: bool,
    /// The offsets that it sends.
    pub offsets: Vec<(Partition, GroupOffset)>,
}

/// Decides how the producer with this transactional id ends what it left open, from the group's
/// offsets and the positions that are stored for the assigned partitions.
pub fn ending(
    id: &str,
    mut offsets: Vec<(Partition, GroupOffset)>,
    stored: &BTreeMap<Partition, StoredPositions>,
) -> Ending {
    let mut commit = false;
    for (partition, offset) in &mut offsets {
        let Some(stored) = stored.get(partition) else { continue };
        let Some(next) = committed_offset(id, *offset, stored) else { continue };
        tracing::error!(
            partition = partition.0,
            group_offset = offset.next,
            next,
            "Kafka committed a transaction in part; the rest of it is committed now"
        );
        *offset = GroupOffset::of_engine(next);
        commit = true;
    }
    Ending { commit, offsets }
}

/// Finds the offset of a transaction that was committed in part; none if there was no such
/// transaction.
fn committed_offset(id: &str, group: GroupOffset, stored: &StoredPositions) -> Option<i64> {
    let of_ours = |position: &Option<Position>| {
        position.as_ref().filter(|position| position.by == id).map(|position| position.next)
    };
    match stored.committed.as_ref().map(|position| position.next) {
        _ if !group.by_engine => None,
        Some(committed) if committed > group.next => of_ours(&stored.committed),
        Some(committed) if committed == group.next => None,
        _ => of_ours(&stored.last).filter(|last| *last == group.next),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(next: i64) -> Option<Position> {
        Some(Position { next, by: "ours".into() })
    }

    fn decided(group: GroupOffset, committed: Option<i64>, last: Option<i64>) -> Option<i64> {
        let stored =
            StoredPositions { committed: committed.and_then(position), last: last.and_then(position) };
        assert_eq!(committed_offset("another", group, &stored), None, "what others stored decides nothing");
        committed_offset("ours", group, &stored)
    }

    #[test]
    fn a_transaction_that_was_committed_in_part_is_committed() {
        let group = GroupOffset::of_engine;
        assert_eq!(decided(group(32), Some(41), Some(41)), Some(41), "the offset hangs");
        assert_eq!(decided(group(32), Some(41), Some(50)), Some(41), "only what was committed counts");
        assert_eq!(decided(group(41), Some(32), Some(41)), Some(41), "the position hangs");
        assert_eq!(decided(group(41), None, Some(41)), Some(41), "the first position hangs");
    }

    #[test]
    fn a_hanging_transaction_that_was_committed_nowhere_is_aborted() {
        let group = GroupOffset::of_engine;
        assert_eq!(decided(group(32), Some(32), Some(41)), None);
        assert_eq!(decided(group(32), Some(32), Some(32)), None);
        assert_eq!(decided(group(32), None, None), None);
        assert_eq!(decided(group(41), Some(32), Some(50)), None);
    }

    #[test]
    fn an_offset_set_by_an_operator_proves_no_commit() {
        let group = GroupOffset { next: 32, by_engine: false };
        assert_eq!(decided(group, Some(41), Some(41)), None);
        assert_eq!(decided(GroupOffset { next: 41, ..group }, Some(32), Some(41)), None);
    }

    #[test]
    fn partitions_that_were_committed_whole_keep_their_offsets() {
        let group =
            vec![(Partition(0), GroupOffset::of_engine(5)), (Partition(1), GroupOffset::of_engine(7))];
        let stored = |next| StoredPositions { committed: position(next), last: position(next) };
        let stored = BTreeMap::from([(Partition(0), stored(5)), (Partition(1), stored(9))]);
        let ending = ending("ours", group, &stored);
        assert!(ending.commit);
        assert_eq!(ending.offsets.iter().map(|(_, offset)| offset.next).collect::<Vec<_>>(), [5, 9]);
    }
}

//! The records offered to a batch, and which of them it took.

use std::collections::BTreeSet;

use pricedrop_model::Partition;

use super::intake::Incoming;

/// The offered records, in order, with a current position.
pub struct RecordQueue<'a> {
    records: &'a [Incoming],
    at: usize,
    /// For each record, whether it was taken.
    took: Vec<bool>,
    /// Partitions whose remaining records wait for a later batch.
    waiting: BTreeSet<Partition>,
}

impl<'a> RecordQueue<'a> {
    /// A queue of these records, none of them taken.
    pub fn new(records: &'a [Incoming]) -> RecordQueue<'a> {
        RecordQueue { records, at: 0, took: vec![false; records.len()], waiting: BTreeSet::new() }
    }

    /// The index of the current record.
    pub fn at(&self) -> usize {
        self.at
    }

    /// Advances to the next record of a partition that does not wait, and returns it without
    /// taking it.
    pub fn next(&mut self) -> Option<&'a Incoming> {
        while let Some(incoming) = self.records.get(self.at) {
            if !self.waiting.contains(&incoming.record.position.partition) {
                return Some(incoming);
            }
            self.at += 1;
        }
        None
    }

    /// Takes the current record.
    pub fn take(&mut self) {
        self.took[self.at] = true;
        self.at += 1;
    }

    /// Leaves the remaining records of a partition to a later batch.
    pub fn skip_partition(&mut self, partition: Partition) {
        self.waiting.insert(partition);
    }

    /// Returns for each record whether it was taken.
    pub fn took(self) -> Vec<bool> {
        self.took
    }
}

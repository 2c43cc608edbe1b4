//! The records that a batch may take.

use std::collections::BTreeSet;

use pricedrop_model::Partition;

use super::intake::Incoming;

/// Records on offer, in order.
pub struct RecordQueue<'a> {
    records: &'a [Incoming],
    at: usize,
    /// Which were taken.
    took: Vec<bool>,
    /// Partitions that wait.
    waiting: BTreeSet<Partition>,
}

impl<'a> RecordQueue<'a> {
    /// None of them taken.
    pub fn new(records: &'a [Incoming]) -> RecordQueue<'a> {
        RecordQueue { records, at: 0, took: vec![false; records.len()], waiting: BTreeSet::new() }
    }

    /// The place of the next record.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next record of a partition that does not wait.
    pub fn next(&mut self) -> Option<&'a Incoming> {
        while let Some(incoming) = self.records.get(self.at) {
            if !self.waiting.contains(&incoming.record.position.partition) {
                return Some(incoming);
            }
            self.at += 1;
        }
        None
    }

    /// Takes the next record.
    pub fn take(&mut self) {
        self.took[self.at] = true;
        self.at += 1;
    }

    /// Leaves the rest of a partition for a later batch.
    pub fn pass_over(&mut self, partition: Partition) {
        self.waiting.insert(partition);
    }

    /// Of each record, whether it was taken.
    pub fn took(self) -> Vec<bool> {
        self.took
    }
}

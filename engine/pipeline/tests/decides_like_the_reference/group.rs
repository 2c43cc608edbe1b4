//! A consumer group whose partitions are reassigned at random between notifiers. Each partition has
//! an epoch, and a commit for a partition that was acquired under another epoch is fenced.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use pricedrop_model::Partition;
use pricedrop_model::ports::Error;

use crate::harness::Dice;

/// The assignment of partitions to members.
pub struct Group {
    owners: Vec<Option<usize>>,
    epochs: Vec<u64>,
    members: usize,
    /// One in this many reads reassigns a partition; `None`: they are never reassigned.
    moves_one_in: Option<u64>,
    dice: Dice,
    moves: usize,
}

impl Group {
    /// Returns a group with all partitions assigned to the first member.
    pub fn new(partitions: usize, members: usize, moves_one_in: Option<u64>, seed: u64) -> Arc<Mutex<Group>> {
        Arc::new(Mutex::new(Group {
            owners: vec![Some(0); partitions],
            epochs: vec![0; partitions],
            members,
            moves_one_in,
            dice: Dice(seed ^ 5),
            moves: 0,
        }))
    }

    /// Returns how often a partition was reassigned.
    pub fn moves(&self) -> usize {
        self.moves
    }

    /// At random, reassigns a partition to another member, to none, or to the same
    /// member under a new epoch.
    fn wander(&mut self) {
        let moves = self.moves_one_in.is_some_and(|one_in| self.dice.roll(one_in) == 0);
        if moves {
            let partition = self.dice.roll(self.owners.len() as u64) as usize;
            let owner = self.dice.roll(self.members as u64 + 1) as usize;
            self.owners[partition] = (owner < self.members).then_some(owner);
            self.epochs[partition] += 1;
            self.moves += 1;
        }
    }

    fn of(&self, member: usize) -> BTreeMap<usize, u64> {
        let mine = self.owners.iter().enumerate().filter(|(_, owner)| **owner == Some(member));
        mine.map(|(partition, _)| (partition, self.epochs[partition])).collect()
    }
}

/// One member of the group, which a notifier uses.
#[derive(Clone)]
pub struct Member {
    group: Arc<Mutex<Group>>,
    number: usize,
    /// The partitions it has acquired, with their epochs.
    taken_over: Arc<Mutex<BTreeMap<usize, u64>>>,
}

impl Member {
    pub fn new(group: Arc<Mutex<Group>>, number: usize) -> Member {
        Member { group, number, taken_over: Arc::default() }
    }

    /// Acquires the partitions assigned now.
    pub fn take_over(&self) -> Vec<Partition> {
        let now = self.group.lock().unwrap().of(self.number);
        let partitions = now.keys().map(|partition| Partition(*partition as i32)).collect();
        *self.taken_over.lock().unwrap() = now;
        partitions
    }

    /// Returns its partitions, or `Rebalanced` if the assignment has changed since.
    pub fn partitions(&self) -> Result<Vec<usize>, Error> {
        let mut group = self.group.lock().unwrap();
        group.wander();
        let taken_over = self.taken_over.lock().unwrap();
        match group.of(self.number) == *taken_over {
            true => Ok(taken_over.keys().copied().collect()),
            false => Err(Error::Rebalanced("partitions moved".into())),
        }
    }

    /// Returns whether it still owns these partitions under the epochs it acquired.
    pub fn has(&self, partitions: impl Iterator<Item = Partition>) -> bool {
        let now = self.group.lock().unwrap().of(self.number);
        let taken_over = self.taken_over.lock().unwrap();
        let mut places = partitions.map(|partition| partition.0 as usize);
        places.all(|place| now.get(&place).is_some_and(|epoch| taken_over.get(&place) == Some(epoch)))
    }
}

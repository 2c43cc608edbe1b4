//! A partition assigned to an archiver: either open, with the end of its chain and the object being
//! filled, or failed, with the time of the next attempt.

use std::sync::Arc;
use std::time::Instant;

use pricedrop_model::archive::ArchivedRecord;

use crate::chain::{Chain, LastRecord};
use crate::error::Error;
use crate::metrics::PartitionMetrics;
use crate::object::{Builder, sha256};
use crate::pause::Pauses;
use crate::record::Line;

/// A partition that is assigned to this archiver.
pub struct Assigned {
    /// The epoch of this assignment.
    pub epoch: u64,
    pub state: State,
    /// The backoff. It is reset once the partition is open and its last record was compared.
    pub pauses: Pauses,
}

pub enum State {
    Open(Box<Open>),
    /// Stopped by an error; opened again at this time.
    Failed {
        again_at: Instant,
    },
}

/// A partition that is being archived.
pub struct Open {
    pub chain: Chain,
    pub builder: Builder,
    /// The archive's last record, until it was compared with the topic's record at that offset.
    pub check: Option<LastRecord>,
    pub metrics: Arc<PartitionMetrics>,
}

impl Assigned {
    /// A partition that this error stopped.
    pub fn failed(epoch: u64, mut pauses: Pauses, error: &Error) -> Assigned {
        let again_at = Instant::now() + pauses.after(error);
        Assigned { epoch, state: State::Failed { again_at }, pauses }
    }

    /// An opened partition. It keeps its backoff until its last record was compared.
    pub fn open(epoch: u64, pauses: Pauses, open: Open) -> Assigned {
        let mut ours = Assigned { epoch, state: State::Failed { again_at: Instant::now() }, pauses };
        if open.check.is_none() {
            open.metrics.recovered();
            ours.pauses = Pauses::default();
        }
        ours.state = State::Open(Box::new(open));
        ours
    }

    /// Returns the open partition; none if it failed.
    pub fn opened(&mut self) -> Option<&mut Open> {
        match &mut self.state {
            State::Open(open) => Some(open),
            State::Failed { .. } => None,
        }
    }

    /// Adds a record to the object. A record that the archive already holds is only compared.
    ///
    /// # Errors
    /// The record differs from the archived record at its offset: the topic was created again.
    pub fn take(&mut self, record: ArchivedRecord) -> Result<(), String> {
        let Some(open) = self.opened() else { return Ok(()) };
        if let Some(check) = open.check.take() {
            let offset = record.offset;
            // If retention deleted the archived record, there is nothing to compare.
            if offset == check.offset && sha256(&Line::Record(record.clone()).to_json()) != check.sha256 {
                return Err(format!("its record at offset {offset} is not the one in the archive"));
            }
            self.compared();
        }
        if let Some(open) = self.opened().filter(|open| record.offset >= open.builder.next()) {
            open.builder.push(record);
        }
        Ok(())
    }

    /// Notes that every record before this offset was taken.
    pub fn pass(&mut self, offset: i64) {
        let Some(open) = self.opened() else { return };
        match &open.check {
            // The topic no longer holds the record to compare.
            Some(check) if offset > check.offset => {
                open.check = None;
                open.builder.pass(offset);
                self.compared();
            }
            Some(_) => {}
            None => open.builder.pass(offset),
        }
    }

    fn compared(&mut self) {
        self.pauses = Pauses::default();
        if let Some(open) = self.opened() {
            open.metrics.recovered();
        }
    }
}

impl Open {
    /// The offset at which the topic must be read: that of the record to compare, else the next
    /// one.
    pub fn position(&self) -> i64 {
        self.check.as_ref().map_or_else(|| self.builder.next(), |check| check.offset)
    }
}

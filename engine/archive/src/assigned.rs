//! A partition of an archiver: its chain's end and the object that is being filled, or
//! why it is stopped.

use std::sync::Arc;
use std::time::Instant;

use pricedrop_model::archive::ArchivedRecord;

use crate::chain::{Chain, LastRecord};
use crate::error::Error;
use crate::metrics::PartitionMetrics;
use crate::object::{Builder, sha256};
use crate::pause::Pauses;
use crate::record::Line;

/// A partition of this archiver.
pub struct Assigned {
    /// Of this assignment.
    pub epoch: u64,
    pub state: State,
    /// Since it was last archived without an error.
    pub pauses: Pauses,
}

pub enum State {
    Open(Box<Open>),
    /// It is tried again at this time.
    Failed {
        again_at: Instant,
    },
}

/// A partition that is being archived.
pub struct Open {
    pub chain: Chain,
    pub builder: Builder,
    /// The archive's last record, until it was compared with the topic's.
    pub check: Option<LastRecord>,
    pub metrics: Arc<PartitionMetrics>,
}

impl Assigned {
    /// Stopped by this error.
    pub fn failed(epoch: u64, mut pauses: Pauses, error: &Error) -> Assigned {
        let again_at = Instant::now() + pauses.after(error);
        Assigned { epoch, state: State::Failed { again_at }, pauses }
    }

    /// Opened. Until its last record was compared, the pauses before count.
    pub fn open(epoch: u64, pauses: Pauses, open: Open) -> Assigned {
        let mut ours = Assigned { epoch, state: State::Failed { again_at: Instant::now() }, pauses };
        if open.check.is_none() {
            open.metrics.recovered();
            ours.pauses = Pauses::default();
        }
        ours.state = State::Open(Box::new(open));
        ours
    }

    /// It, if it is open.
    pub fn opened(&mut self) -> Option<&mut Open> {
        match &mut self.state {
            State::Open(open) => Some(open),
            State::Failed { .. } => None,
        }
    }

    /// Adds a record to its object; the archive's last one is only compared.
    ///
    /// # Errors
    /// It is not the one in the archive.
    pub fn take(&mut self, record: ArchivedRecord) -> Result<(), String> {
        let Some(open) = self.opened() else { return Ok(()) };
        if let Some(check) = open.check.take() {
            let offset = record.offset;
            // The topic may have removed the record since: then there is nothing to compare.
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

    /// Every record before this offset was taken.
    pub fn pass(&mut self, offset: i64) {
        let Some(open) = self.opened() else { return };
        match &open.check {
            // The record that was to be compared is no longer in the topic.
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
    /// Where its topic is read on.
    pub fn position(&self) -> i64 {
        self.check.as_ref().map_or_else(|| self.builder.next(), |check| check.offset)
    }
}

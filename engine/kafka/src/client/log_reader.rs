//! Reads topics without a group, from an offset to the current end.

use pricedrop_model::Partition;
use pricedrop_model::ports::Error;
use rdkafka::consumer::BaseConsumer;
use rdkafka::message::BorrowedMessage;

use crate::client::log::Logged;
use crate::client::marker_reader::{Read, read_to_ends, reader};
use crate::client::queries::partitions_of;
use crate::settings::Settings;

/// A consumer without a group, created when it is first needed.
pub struct LogReader {
    settings: Settings,
    consumer: Option<BaseConsumer<Logged>>,
}

impl LogReader {
    /// Creates a reader of this cluster.
    pub fn new(settings: &Settings) -> LogReader {
        LogReader { settings: settings.clone(), consumer: None }
    }

    /// Reads how many partitions a topic has.
    ///
    /// # Errors
    /// The cluster does not answer, or the topic is missing.
    pub fn partitions(&mut self, topic: &str) -> Result<usize, Error> {
        partitions_of(self.consumer()?, topic)
    }

    /// Passes the committed records of these partitions to `see`, from these offsets, or the first
    /// offset that is kept, up to their current end.
    ///
    /// # Errors
    /// The cluster does not answer.
    pub fn read(
        &mut self,
        topic: &str,
        from: &[(Partition, i64)],
        mut see: impl FnMut(&BorrowedMessage<'_>) -> Read,
    ) -> Result<(), Error> {
        let read = read_to_ends(self.consumer()?, topic, from, |message| Ok(see(message)));
        if read.is_err() {
            self.consumer = None;
        }
        read
    }

    fn consumer(&mut self) -> Result<&BaseConsumer<Logged>, Error> {
        if self.consumer.is_none() {
            self.consumer = Some(reader(&self.settings)?);
        }
        Ok(self.consumer.as_ref().expect("it was made above"))
    }
}

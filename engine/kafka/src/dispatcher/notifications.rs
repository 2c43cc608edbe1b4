//! Reads `user_notifications` for one dispatcher of the group.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pricedrop_model::dispatch::{DeadLetters, DeadWhat, NewDeadLetter, NotificationLog};
use pricedrop_model::ports::Error;
use pricedrop_model::{Notification, Partition, Position, Record, WallTime};
use tokio::time::Instant;

use crate::api::dead_letters::KafkaDeadLetters;
use crate::client::reserved_keys::is_empty_marker;
use crate::dispatcher::handle::Handle;
use crate::dispatcher::ledger::Writes;
use crate::limits::{DEAD_TEXT_BYTES, NOTIFICATION_BYTES};

/// The log of one dispatcher. A record that is no notification becomes a dead letter before any
/// record after it is returned.
pub struct KafkaNotifications {
    handle: Arc<Handle>,
    dead_letters: KafkaDeadLetters,
    /// Notifications that were read and not returned yet.
    ready: VecDeque<(Position, Notification)>,
    /// Records that are no notifications, and are not stored as dead letters yet.
    dead: Vec<NewDeadLetter>,
}

impl KafkaNotifications {
    pub(crate) fn new(handle: Arc<Handle>, dead_letters: KafkaDeadLetters) -> KafkaNotifications {
        KafkaNotifications { handle, dead_letters, ready: VecDeque::new(), dead: Vec::new() }
    }

    /// Drops everything that was read and fails with `Rebalanced`, if partitions were lost.
    async fn drop_if_rebalanced(&mut self) -> Result<(), Error> {
        if !self.handle.view.moved() {
            return Ok(());
        }
        self.ready.clear();
        self.dead.clear();
        self.handle.rewind().await?;
        Err(Error::Rebalanced("partitions of the notifications were revoked".into()))
    }

    fn enqueue(&mut self, records: Vec<Record>) {
        for record in records {
            match read(&record) {
                _ if is_empty_marker(record.key.as_deref(), record.value.as_deref()) => {}
                Ok(notification) => self.ready.push_back((record.position, notification)),
                Err(reason) => self.dead.push(dead_letter(&record, &reason)),
            }
        }
    }

    async fn write_dead_letters(&mut self) -> Result<(), Error> {
        if self.dead.is_empty() {
            return Ok(());
        }
        self.dead_letters.add(self.dead.clone()).await?;
        self.dead.clear();
        Ok(())
    }
}

#[async_trait]
impl NotificationLog for KafkaNotifications {
    async fn next_batch(
        &mut self,
        most: usize,
        wait_ms: u64,
    ) -> Result<Vec<(Position, Notification)>, Error> {
        let until = Instant::now() + Duration::from_millis(wait_ms);
        loop {
            if self.ready.is_empty() {
                let fetched = self.handle.member.read(most);
                // Checked after the read: a record that was read after its partition was assigned
                // again is not returned before the dispatcher learns that the partition was lost.
                self.drop_if_rebalanced().await?;
                self.enqueue(fetched);
            } else {
                self.drop_if_rebalanced().await?;
            }
            self.write_dead_letters().await?;
            if !self.ready.is_empty() {
                let count = most.min(self.ready.len());
                return Ok(self.ready.drain(..count).collect());
            }
            if let Some(reason) = self.handle.view.broken() {
                return Err(Error::Fatal(reason.into()));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Vec::new());
            }
            self.handle.member.wait(left).await;
        }
    }

    async fn commit(&mut self, next: &[(Partition, i64)]) -> Result<(), Error> {
        self.handle.write(Writes { offsets: next.to_vec(), ..Writes::default() }).await
    }
}

fn read(record: &Record) -> Result<Notification, String> {
    let value = record.value.as_deref().ok_or("it has no value")?;
    if value.len() > NOTIFICATION_BYTES {
        return Err(format!("{} bytes; a notification has at most {NOTIFICATION_BYTES}", value.len()));
    }
    serde_json::from_slice(value).map_err(|error| error.to_string())
}

fn dead_letter(record: &Record, reason: &str) -> NewDeadLetter {
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes);
        text[..text.floor_char_boundary(DEAD_TEXT_BYTES)].to_owned()
    };
    let length = record.value.as_deref().map_or(0, <[u8]>::len);
    let what = DeadWhat::Notification {
        partition: record.position.partition.0,
        offset: record.position.offset,
        key: record.key.as_deref().map(text),
        value: record.value.as_deref().map(text),
        truncated: (length > DEAD_TEXT_BYTES).then_some(length as u64),
    };
    let at = WallTime(record.timestamp.0);
    NewDeadLetter { at, reason: format!("no notification: {reason}"), what }
}

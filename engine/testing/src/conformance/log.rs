//! The conformance suite for implementations of the log of notifications: each committed notification is read once, in
//! order, by a reader that continues where the last one committed.

use pricedrop_model::dispatch::NotificationLog;
use pricedrop_model::notification::{Format, Renderer};
use pricedrop_model::ports::{Commit, Committer};
use pricedrop_model::{Notification, Position};

use super::commits::block;

/// A committer, and readers of what it commits.
pub trait Log {
    /// The type of the committer.
    type Committer: Committer;
    /// The type of the readers.
    type Reader: NotificationLog;
    /// How long a reader may wait for what was committed already, in milliseconds.
    const WAIT_MS: u64 = 0;
    /// The topic of the updates. Ids of notifications depend on it.
    fn source(&self) -> String {
        "price_updates".into()
    }
    /// Returns the committer. Called once.
    fn committer(&self) -> Self::Committer;
    /// Returns a reader that starts at the committed offset.
    fn reader(&self) -> Self::Reader;
}

fn users(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("u{n}")).collect()
}

async fn read_all<L: Log>(reader: &mut L::Reader, most: usize) -> Vec<(Position, Notification)> {
    let mut all = Vec::new();
    loop {
        let batch = reader.next_batch(most, L::WAIT_MS).await.expect("a batch");
        assert!(batch.len() <= most);
        if batch.is_empty() {
            return all;
        }
        all.extend(batch);
    }
}

/// Fields and ids are those that the renderer writes, and offsets ascend.
pub async fn every_notification_is_read_once_in_order<L: Log>(log: L) {
    let mut committer = log.committer();
    committer.restore().await.expect("restored");
    let (source, mut written) = (log.source(), Vec::new());
    for offset in 0..5 {
        let block = block("P", "79.9", offset, &users(3));
        let mut renderer = Renderer::new(&block, &source, Format::Full);
        for (user, watch_price) in block.told.iter() {
            let mut line = Vec::new();
            renderer.write(&mut line, user, watch_price);
            written.push(serde_json::from_slice::<Notification>(&line).expect("a notification"));
        }
        let commit = Commit { fan_outs: vec![block], ..Commit::default() };
        committer.commit(commit).await.expect("committed");
    }
    let read = read_all::<L>(&mut log.reader(), 4).await;
    assert!(read.is_sorted_by(|a, b| a.0 < b.0));
    assert_eq!(read.into_iter().map(|(_, notification)| notification).collect::<Vec<_>>(), written);
}

/// A new reader reads again what the last one did not commit.
pub async fn a_reader_goes_on_from_its_commit<L: Log>(log: L) {
    let mut committer = log.committer();
    committer.restore().await.expect("restored");
    let commit = Commit { fan_outs: vec![block("P", "1", 0, &users(10))], ..Commit::default() };
    committer.commit(commit).await.expect("committed");
    let mut first = log.reader();
    let all = read_all::<L>(&mut first, 3).await;
    first.commit(&[(all[6].0.partition, all[6].0.offset)]).await.expect("committed");
    drop(first);
    let rest = read_all::<L>(&mut log.reader(), 100).await;
    assert_eq!(rest, all[6..]);
}

/// The order does not depend on how the fan-out is stored.
pub async fn a_long_fan_out_keeps_its_order<L: Log>(log: L) {
    let mut committer = log.committer();
    committer.restore().await.expect("restored");
    let told = users(10_001);
    let commit = Commit { fan_outs: vec![block("P", "1", 0, &told)], ..Commit::default() };
    committer.commit(commit).await.expect("committed");
    let read = read_all::<L>(&mut log.reader(), 1000).await;
    let read: Vec<String> = read.into_iter().map(|(_, one)| one.user_id.to_string()).collect();
    assert_eq!(read, told);
}

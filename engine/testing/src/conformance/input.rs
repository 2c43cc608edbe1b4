//! The conformance suite for implementations of the `UpdateSource` port: records in the order of the log, each once, until the worker
//! restores.

use pricedrop_model::ports::{Commit, Committer, UpdateSource};
use pricedrop_model::{Partition, Record};

/// Longest wait for records that exist, in milliseconds.
const WAIT_MS: u64 = 30_000;
/// A wait during which no record arrives, in milliseconds.
const MOMENT_MS: u64 = 50;

/// An input with one partition, from which nothing was read.
pub trait Input {
    /// The source that reads it.
    type Source: UpdateSource;
    /// The committer of its offsets.
    type Committer: Committer;
    /// Returns the source, the same at every call.
    fn source(&mut self) -> &mut Self::Source;
    /// Returns the committer of the source's session, the same at every call.
    fn committer(&mut self) -> &mut Self::Committer;
    /// Appends records with these values.
    fn append(&self, values: &[&str]);
}

async fn take<I: Input>(input: &mut I, count: usize, most: usize) -> Vec<Record> {
    let mut all = Vec::new();
    while all.len() < count {
        let batch = input.source().next_batch(most, WAIT_MS).await.expect("a batch").expect("no end");
        assert!(!batch.is_empty() && batch.len() <= most, "{} of {most}", batch.len());
        all.extend(batch);
    }
    all
}

fn said(records: &[Record]) -> Vec<(i64, &str)> {
    let text = |value| std::str::from_utf8(value).expect("a text");
    records.iter().map(|one| (one.position.offset, one.value.as_deref().map_or("", text))).collect()
}

/// The order does not depend on how many records are requested at once.
pub async fn records_come_once_in_the_order_of_the_log<I: Input>(mut input: I) {
    input.append(&["a", "b", "c"]);
    input.append(&["d", "e"]);
    let records = take(&mut input, 5, 2).await;
    assert_eq!(said(&records), [(0, "a"), (1, "b"), (2, "c"), (3, "d"), (4, "e")]);
    let more = input.source().next_batch(2, MOMENT_MS).await.expect("a batch");
    assert!(more.expect("no end").is_empty());
}

/// Records that were returned and not committed are returned again.
pub async fn restoring_hands_records_out_again<I: Input>(mut input: I) {
    input.append(&["a", "b", "c"]);
    take(&mut input, 3, 10).await;
    let commit = Commit { offsets: vec![(Partition(0), 1)], ..Commit::default() };
    input.committer().commit(commit).await.expect("committed");
    input.committer().restore().await.expect("restored");
    input.append(&["d"]);
    assert_eq!(said(&take(&mut input, 3, 10).await), [(1, "b"), (2, "c"), (3, "d")]);
}

/// A call with `most` 0 returns no record, and loses none.
pub async fn who_wants_no_record_gets_none<I: Input>(mut input: I) {
    input.append(&["a"]);
    let none = input.source().next_batch(0, MOMENT_MS).await.expect("a batch");
    assert!(none.expect("no end").is_empty());
    assert_eq!(said(&take(&mut input, 1, 1).await), [(0, "a")]);
}

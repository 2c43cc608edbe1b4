//! Reads pages of rows: a query, and a task that reads a few pages ahead of its consumer.

use std::sync::Arc;

use pricedrop_model::ports::Error;
use pricedrop_model::{Cursor, WatchPage};
use tokio::sync::mpsc;

use super::limits::PAGES_AHEAD;
use super::merge::{self, Shard};
use super::part::{Part, Partition};
use super::rows::Bounds;
use super::shared::Shared;

/// A query for rows within bounds, page by page. It reads one partition, or merges all shards of
/// a bucket in order.
pub(super) struct Query(Vec<Shard>);

impl Query {
    /// Creates a query for the rows within `bounds` that come after `after`.
    pub(super) fn new(
        shared: &Arc<Shared>,
        partition: Partition,
        bounds: Bounds,
        after: Option<&Cursor>,
    ) -> Result<Query, Error> {
        shared.requests.metrics.product_read(partition.product());
        let shards = 0..partition.shards();
        let part = |shard| Ok(Shard::new(Part::new(shared, &partition, shard, bounds, after)?));
        Ok(Query(shards.map(part).collect::<Result<_, Error>>()?))
    }

    /// Appends the rows of the next page. Returns whether there may be more.
    pub(super) async fn next(&mut self, page: &mut WatchPage) -> Result<bool, Error> {
        match self.0.as_mut_slice() {
            [alone] => alone.part.next(page).await,
            shards => merge::next(shards, page).await,
        }
    }
}

/// A page, and whether there may be more.
pub(super) type Page = Result<(WatchPage, bool), Error>;

/// Pages that a task reads ahead of their consumer, at most `PAGES_AHEAD`.
pub(super) struct PageStream {
    pages: mpsc::Receiver<Page>,
    more: bool,
}

impl PageStream {
    /// Starts a task that sends pages. The task ends when this is dropped.
    pub(super) fn new<F>(task: impl FnOnce(mpsc::Sender<Page>) -> F) -> PageStream
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, pages) = mpsc::channel(PAGES_AHEAD);
        tokio::spawn(task(sender));
        PageStream { pages, more: true }
    }

    /// Starts a task that reads a query ahead.
    pub(super) fn of(query: Query) -> PageStream {
        PageStream::new(|pages| send_all(query, pages))
    }

    /// Returns the next page, or `None` after the last one.
    pub(super) async fn next(&mut self) -> Result<Option<WatchPage>, Error> {
        if !self.more {
            return Ok(None);
        }
        // A task that ended early does not mean that there are no more rows.
        let ended = || Error::Unavailable("a read-ahead task ended early".into());
        let (page, more) = self.pages.recv().await.ok_or_else(ended)??;
        self.more = more;
        Ok(Some(page))
    }
}

/// Sends the pages of a query until it ends or the receiver is dropped.
pub(super) async fn send_all(mut query: Query, pages: mpsc::Sender<Page>) {
    loop {
        let mut page = WatchPage::default();
        let answer = query.next(&mut page).await.map(|more| (page, more));
        let goes_on = matches!(answer, Ok((_, true)));
        if pages.send(answer).await.is_err() || !goes_on {
            return;
        }
    }
}

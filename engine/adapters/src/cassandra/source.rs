//! Where pages of rows come from: a task that reads ahead of its consumer.

use std::sync::Arc;

use pricedrop_model::seams::Error;
use pricedrop_model::{BucketId, Cursor, Floor, ProductId, WatchPage};
use scylla::response::{PagingState, PagingStateResponse};
use scylla::value::CqlValue;
use tokio::sync::mpsc;

use super::Shared;
use super::decimal::to_cql;
use super::limits::PAGES_AHEAD;
use super::requests::Values;
use super::rows::{Bounds, Read, Reader};
use super::schema::Table;
use super::statements::{Prepared, Ranges};

/// A partition that holds rows of watches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Partition {
    /// All watches of a product.
    Product(ProductId),
    /// Those of one bucket in an index.
    Bucket(ProductId, String, BucketId),
}

impl Partition {
    pub(super) fn product(&self) -> &ProductId {
        match self {
            Partition::Product(product) | Partition::Bucket(product, _, _) => product,
        }
    }

    fn table(&self) -> Table {
        match self {
            Partition::Product(_) => Table::Alerts,
            Partition::Bucket(..) => Table::Buckets,
        }
    }

    fn key(&self) -> Values {
        match self {
            Partition::Product(product) => vec![text(product.as_str())],
            Partition::Bucket(product, index, bucket) => {
                vec![text(product.as_str()), text(index), Some(CqlValue::BigInt(bucket.0))]
            }
        }
    }

    fn ranges<'a>(&self, shared: &'a Shared) -> Result<&'a Ranges, Error> {
        match self {
            Partition::Product(_) => Ok(&shared.statements.alerts.ranges),
            Partition::Bucket(..) => Ok(&shared.index()?.ranges),
        }
    }
}

pub(super) fn text(text: &str) -> Option<CqlValue> {
    Some(CqlValue::Text(text.to_owned()))
}

/// A query of one partition's rows within bounds, page by page.
pub(super) struct Query {
    shared: Arc<Shared>,
    partition: Partition,
    reader: Reader,
    prepared: Prepared,
    values: Values,
    /// None: the last page was read.
    state: Option<PagingState>,
}

impl Query {
    /// Rows within `bounds`, behind `after`.
    pub(super) fn new(
        shared: &Arc<Shared>,
        partition: Partition,
        bounds: Bounds,
        after: Option<&Cursor>,
    ) -> Result<Query, Error> {
        let ranges = partition.ranges(shared)?;
        let mut values = partition.key();
        let after = after.filter(|after| after.threshold >= bounds.from);
        let statements = match after {
            Some(after) => {
                values.extend([Some(CqlValue::Decimal(to_cql(after.threshold))), text(after.user.as_str())]);
                &ranges.after
            }
            None => {
                values.push(Some(CqlValue::Decimal(to_cql(bounds.from))));
                &ranges.from
            }
        };
        let prepared = match bounds.below {
            Floor::Drop(below) => {
                values.push(Some(CqlValue::Decimal(to_cql(below))));
                &statements[1]
            }
            Floor::Infinite | Floor::Rise(_) => &statements[0],
        };
        shared.requests.counters.product_read(partition.product());
        Ok(Query {
            shared: shared.clone(),
            partition,
            reader: Reader::new(bounds),
            prepared: prepared.clone(),
            values,
            state: Some(PagingState::start()),
        })
    }

    /// Adds the next page's rows; whether there may be more.
    pub(super) async fn next(&mut self, page: &mut WatchPage) -> Result<bool, Error> {
        let Some(state) = self.state.take() else { return Ok(false) };
        let requests = &self.shared.requests;
        let (rows, next) = requests.page(&self.prepared, &self.values, state).await?;
        let read = self.reader.add(requests, self.partition.table(), &rows, page)?;
        if let (PagingStateResponse::HasMorePages { state }, Read::GoOn) = (next, read) {
            self.state = Some(state);
        }
        Ok(self.state.is_some())
    }
}

/// A page, and whether there may be more.
pub(super) type Page = Result<(WatchPage, bool), Error>;

/// Pages on their way, a few ahead of their consumer.
pub(super) struct Source {
    pages: mpsc::Receiver<Page>,
    more: bool,
}

impl Source {
    /// Pages as a task sends them; it ends with its consumer.
    pub(super) fn new<F>(task: impl FnOnce(mpsc::Sender<Page>) -> F) -> Source
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, pages) = mpsc::channel(PAGES_AHEAD);
        tokio::spawn(task(sender));
        Source { pages, more: true }
    }

    /// Reads a query ahead.
    pub(super) fn of(query: Query) -> Source {
        Source::new(|pages| send_all(query, pages))
    }

    /// The next page; none: that was all.
    pub(super) async fn next(&mut self) -> Result<Option<WatchPage>, Error> {
        if !self.more {
            return Ok(None);
        }
        // A task that ended in the middle is no end of the rows.
        let ended = || Error::Unavailable("reading ahead was interrupted".into());
        let (page, more) = self.pages.recv().await.ok_or_else(ended)??;
        self.more = more;
        Ok(Some(page))
    }
}

/// Sends the pages of a query until somebody has enough of them.
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

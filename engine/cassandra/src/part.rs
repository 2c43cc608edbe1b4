//! Reads the rows of one partition page by page.

use std::sync::Arc;

use pricedrop_model::ports::Error;
use pricedrop_model::{BucketId, Cursor, Floor, ProductId, WatchPage};
use scylla::response::{PagingState, PagingStateResponse};
use scylla::value::CqlValue;

use super::decimal::to_cql;
use super::limits::SHARD_PAGE_ROWS;
use super::requests::Values;
use super::rows::{Bounds, Read, Reader};
use super::shards::shards_of;
use super::shared::Shared;
use super::statements::{Prepared, Ranges};
use super::tables::Table;

/// A product or bucket whose watches are read in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Partition {
    /// All watches of a product.
    Product(ProductId),
    /// The watches of one bucket: product, index, bucket.
    Bucket(ProductId, String, BucketId),
}

impl Partition {
    pub(super) fn product(&self) -> &ProductId {
        match self {
            Partition::Product(product) | Partition::Bucket(product, _, _) => product,
        }
    }

    pub(super) fn table(&self) -> Table {
        match self {
            Partition::Product(_) => Table::Alerts,
            Partition::Bucket(..) => Table::Buckets,
        }
    }

    /// Returns how many partitions of the table hold it.
    pub(super) fn shards(&self) -> u32 {
        match self {
            Partition::Product(_) => 1,
            Partition::Bucket(_, index, _) => shards_of(index),
        }
    }

    pub(super) fn key(&self, shard: u32) -> Values {
        match self {
            Partition::Product(product) => vec![text(product.as_str())],
            Partition::Bucket(product, index, bucket) => vec![
                text(product.as_str()),
                text(index),
                Some(CqlValue::BigInt(bucket.0)),
                Some(CqlValue::Int(shard as i32)),
            ],
        }
    }

    pub(super) fn ranges<'a>(&self, shared: &'a Shared) -> Result<&'a Ranges, Error> {
        match self {
            Partition::Product(_) => Ok(&shared.statements.alerts.ranges),
            Partition::Bucket(..) => Ok(&shared.index()?.ranges),
        }
    }
}

pub(super) fn text(text: &str) -> Option<CqlValue> {
    Some(CqlValue::Text(text.to_owned()))
}

/// A paged query over one partition.
pub(super) struct Part {
    shared: Arc<Shared>,
    table: Table,
    reader: Reader,
    prepared: Prepared,
    values: Values,
    /// `None` after the last page.
    state: Option<PagingState>,
}

impl Part {
    pub(super) fn new(
        shared: &Arc<Shared>,
        partition: &Partition,
        shard: u32,
        bounds: Bounds,
        after: Option<&Cursor>,
    ) -> Result<Part, Error> {
        let ranges = partition.ranges(shared)?;
        let mut values = partition.key(shard);
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
        let mut prepared = prepared.clone();
        let shards = i32::try_from(partition.shards()).unwrap_or(1);
        if shards > 1 {
            let rows = (shared.options.page_rows / shards).max(SHARD_PAGE_ROWS);
            prepared.statement.set_page_size(rows.min(shared.options.page_rows));
        }
        Ok(Part {
            shared: shared.clone(),
            table: partition.table(),
            reader: Reader::new(bounds),
            prepared,
            values,
            state: Some(PagingState::start()),
        })
    }

    /// Appends the rows of the next page. Returns whether there may be more.
    pub(super) async fn next(&mut self, page: &mut WatchPage) -> Result<bool, Error> {
        let Some(state) = self.state.take() else { return Ok(false) };
        let requests = &self.shared.requests;
        let (rows, next) = requests.page(&self.prepared, &self.values, state).await?;
        let read = self.reader.add(requests, self.table, &rows, page)?;
        if let (PagingStateResponse::HasMorePages { state }, Read::GoOn) = (next, read) {
            self.state = Some(state);
        }
        Ok(self.state.is_some())
    }
}

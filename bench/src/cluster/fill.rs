//! Writes two million watches into Cassandra, as a bulk load by another program would.

use futures::{StreamExt, TryStreamExt};
use pricedrop_model::Watch;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::batch::{Batch, BatchType};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlDecimal, CqlTimestamp};

use super::shape::Shape;

/// Rows of one batch, all of one product. The size is below Cassandra's limits.
const BATCH_ROWS: usize = 100;
const IN_FLIGHT: usize = 32;
/// The write time of all watches, epoch milliseconds.
const WRITTEN_AT_MS: i64 = 1_700_000_000_000;

/// Writes the watches of both shapes.
pub async fn watches(address: &str, keyspace: &str) {
    let session = SessionBuilder::new().known_node(address).build().await.unwrap();
    let insert = session
        .prepare(format!(
            "INSERT INTO {keyspace}.price_watch_alerts \
             (product_id, price_watch_value, user_id, mode, currency, updated_at) \
             VALUES (?, ?, ?, ?, '', ?) USING TIMESTAMP {}",
            WRITTEN_AT_MS * 1_000
        ))
        .await
        .unwrap();
    for shape in [Shape::One, Shape::Many] {
        let watches: Vec<Watch> = shape.watches().collect();
        let writes = watches.chunks(BATCH_ROWS).map(|rows| write(&session, &insert, rows));
        futures::stream::iter(writes).buffer_unordered(IN_FLIGHT).try_collect::<Vec<()>>().await.unwrap();
    }
}

async fn write(
    session: &Session,
    insert: &PreparedStatement,
    rows: &[Watch],
) -> Result<(), scylla::errors::ExecutionError> {
    let mut batch = Batch::new(BatchType::Unlogged);
    let values: Vec<_> = rows
        .iter()
        .map(|watch| {
            batch.append_statement(insert.clone());
            let price = watch.price_watch_value;
            let units = price.units().to_be_bytes();
            let threshold =
                CqlDecimal::from_signed_be_bytes_slice_and_exponent(shortest(&units), price.scale().into());
            let mode = watch.mode.unwrap().name();
            (watch.product_id.as_str(), threshold, watch.user_id.as_str(), mode, CqlTimestamp(WRITTEN_AT_MS))
        })
        .collect();
    session.batch(&batch, values).await.map(|_| ())
}

/// Drops the leading zero bytes that a non-negative number does not need.
fn shortest(bytes: &[u8]) -> &[u8] {
    let first = (0..bytes.len() - 1).find(|&at| bytes[at] != 0 || bytes[at + 1] & 0x80 != 0);
    &bytes[first.unwrap_or(bytes.len() - 1)..]
}

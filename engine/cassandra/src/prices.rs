//! Current prices: written in the background after commits, read by the API and by re-checks.
//!
//! Each row is written with its offset and revision (the number of commits with that offset) as the
//! timestamp. So an older price never replaces a newer one, even if a paused engine or a new
//! owner of the partition writes late. At equal timestamps Cassandra keeps the greater of two
//! values, column by column.

use std::sync::{Arc, Weak};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use pricedrop_model::dispatch::CurrentPrices;
use pricedrop_model::ports::{Error, PriceRow, PriceSink};
use pricedrop_model::{Currency, Evaluated, Floor, Price, ProductId, WallTime};
use scylla::value::{CqlDecimalBorrowed, CqlTimestamp, CqlValue};

use super::decimal::{to_cql, to_price};
use super::error::misfit;
use super::limits::{PRICES_AT_ONCE, PRICES_PAUSE_MS, PRICES_REFUSED_MS};
use super::part::text;
use super::price_queue::{PriceQueue, stamp};
use super::requests::Values;
use super::shared::Shared;
use super::statements::Prices;
use super::tables::Table;
use super::write::timestamp;

/// The current prices in Cassandra.
#[derive(Clone)]
pub struct CassandraPrices(pub(super) Arc<Shared>);

/// Writes queued prices until the adapters are dropped.
pub(super) async fn keep_up(waiting: Arc<PriceQueue>, shared: Weak<Shared>) {
    let mut told = String::new();
    loop {
        let rows = waiting.take().await;
        let Some(shared) = shared.upgrade() else { return };
        let mut writes = Vec::with_capacity(rows.len());
        for row in rows {
            writes.push(write(&shared, row));
        }
        let mut writes = futures::stream::iter(writes).buffer_unordered(PRICES_AT_ONCE);
        let mut failed = None;
        while let Some(outcome) = writes.next().await {
            if let Err((row, error)) = outcome {
                shared.leave_out(waiting.add([row]));
                failed = Some(error);
            }
        }
        drop(writes);
        drop(shared);
        let Some(error) = failed else {
            told.clear();
            continue;
        };
        if told != error.to_string() {
            told = error.to_string();
            tracing::warn!(%error, "current prices are not written yet");
        }
        // An error that an operator has to correct lasts longer.
        let pause_ms = if matches!(error, Error::Fatal(_)) { PRICES_REFUSED_MS } else { PRICES_PAUSE_MS };
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
    }
}

fn floor_values(floor: Floor) -> [Option<CqlValue>; 2] {
    let (kind, price) = match floor {
        Floor::Infinite => ("infinite", Price::ZERO),
        Floor::Drop(price) => ("drop", price),
        Floor::Rise(price) => ("rise", price),
    };
    [text(kind), Some(CqlValue::Decimal(to_cql(price)))]
}

async fn write(shared: &Shared, row: PriceRow) -> Result<(), (PriceRow, Error)> {
    let statements = match shared.price_statements() {
        Ok(statements) => statements,
        Err(error) => return Err((row, error)),
    };
    let key = [text(row.key.product.as_str()), text(row.key.currency.as_str())];
    let (offset, stamp) = (Some(CqlValue::BigInt(row.next_offset)), Some(CqlValue::BigInt(stamp(&row))));
    let written = match row.last {
        Some(last) => {
            let mut values = Values::from(key);
            values.extend([Some(CqlValue::Decimal(to_cql(last.price))), timestamp(last.at)]);
            values.extend(floor_values(row.floor));
            values.extend([Some(CqlValue::Int(row.key.partition.0)), offset, stamp]);
            shared.requests.write(&[(&statements.insert, values)]).await
        }
        None => {
            let values = [vec![stamp], Values::from(key)].concat();
            shared.requests.write(&[(&statements.delete, values)]).await
        }
    };
    written.map_err(|error| (row, error))
}

impl Shared {
    fn price_statements(&self) -> Result<&Prices, Error> {
        let name = self.requests.name(Table::Prices);
        let missing =
            || Error::Fatal(format!("the table {name} is missing; run `pricedrop schema apply`").into());
        self.statements.prices.as_ref().ok_or_else(missing)
    }

    fn leave_out(&self, rows: u64) {
        if rows > 0 && self.requests.metrics.prices_dropped.inc_by(rows) == 0 {
            tracing::warn!(
                "too many current prices are not written yet; some are left out until they change again"
            );
        }
    }
}

impl PriceSink for CassandraPrices {
    fn show(&self, rows: Vec<PriceRow>) {
        if self.0.statements.prices.is_some() {
            self.0.leave_out(self.0.prices.add(rows));
        }
    }
}

type StoredPrice<'a> =
    (Option<CqlDecimalBorrowed<'a>>, Option<CqlTimestamp>, Option<&'a str>, Option<CqlDecimalBorrowed<'a>>);

fn read((price, at, kind, floor): StoredPrice<'_>) -> Option<(Evaluated, Floor)> {
    let (price, at) = (to_price(&price?)?, WallTime(at?.0));
    let floor = match kind? {
        "infinite" => Floor::Infinite,
        "drop" => Floor::Drop(to_price(&floor?)?),
        "rise" => Floor::Rise(to_price(&floor?)?),
        _ => return None,
    };
    Some((Evaluated { price, at }, floor))
}

#[async_trait]
impl CurrentPrices for CassandraPrices {
    async fn of(&self, product: &ProductId, currency: Currency) -> Result<Option<(Evaluated, Floor)>, Error> {
        let requests = &self.0.requests;
        let key = vec![text(product.as_str()), text(currency.as_str())];
        let rows = requests.read(&self.0.price_statements()?.of, &key).await?;
        let row = rows.maybe_first_row::<StoredPrice<'_>>();
        Ok(row.map_err(misfit(requests.name(Table::Prices)))?.and_then(read))
    }
}

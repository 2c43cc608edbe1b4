//! Reads rows of watches from query results into pages.

use pricedrop_model::limits::NAME_BYTES;
use pricedrop_model::ports::Error;
use pricedrop_model::{
    Cause, Currency, Floor, Hysteresis, Mode, Price, ProductId, UserId, WallTime, Watch, WatchPage, WatchRow,
    WriteTime,
};
use scylla::deserialize::row::{ColumnIterator, DeserializeRow};
use scylla::deserialize::value::DeserializeValue;
use scylla::deserialize::{DeserializationError, FrameSlice, TypeCheckError};
use scylla::frame::response::result::ColumnSpec;
use scylla::response::query_result::QueryRowsResult;
use scylla::value::{CqlDecimalBorrowed, CqlTimestamp};

use super::decimal;
use super::error::misfit;
use super::requests::Requests;
use super::tables::Table;

/// The write time of a row whose `mode` is null (or `updated_at`, if the table has no `mode`):
/// CQL returns none for it.
pub(super) const NO_WRITE_TIME: WriteTime = WriteTime(0);

/// A row as it is stored. Columns that the table lacks are `None`.
struct Stored<'frame> {
    threshold: CqlDecimalBorrowed<'frame>,
    user: &'frame str,
    mode: Option<&'frame str>,
    currency: Option<&'frame str>,
    updated_at: Option<CqlTimestamp>,
    write_time: Option<i64>,
}

fn value<'frame, 'metadata, T: DeserializeValue<'frame, 'metadata>>(
    spec: &'metadata ColumnSpec<'metadata>,
    slice: Option<FrameSlice<'frame>>,
) -> Result<T, DeserializationError> {
    T::deserialize(spec.typ(), slice)
}

impl<'frame, 'metadata> DeserializeRow<'frame, 'metadata> for Stored<'frame> {
    fn type_check(specs: &[ColumnSpec<'_>]) -> Result<(), TypeCheckError> {
        specs.iter().try_for_each(|spec| match spec.name() {
            "price_watch_value" => {
                <CqlDecimalBorrowed<'_> as DeserializeValue<'_, '_>>::type_check(spec.typ())
            }
            "updated_at" => <Option<CqlTimestamp> as DeserializeValue<'_, '_>>::type_check(spec.typ()),
            "write_time" => <Option<i64> as DeserializeValue<'_, '_>>::type_check(spec.typ()),
            _ => <Option<&str> as DeserializeValue<'_, '_>>::type_check(spec.typ()),
        })
    }

    fn deserialize(row: ColumnIterator<'frame, 'metadata>) -> Result<Self, DeserializationError> {
        let mut stored = Stored {
            threshold: CqlDecimalBorrowed::from_signed_be_bytes_slice_and_exponent(&[], 0),
            user: "",
            mode: None,
            currency: None,
            updated_at: None,
            write_time: None,
        };
        for column in row {
            let column = column?;
            let (spec, slice) = (column.spec, column.slice);
            match spec.name() {
                "price_watch_value" => stored.threshold = value(spec, slice)?,
                "user_id" => stored.user = value(spec, slice)?,
                "mode" => stored.mode = value(spec, slice)?,
                "currency" => stored.currency = value(spec, slice)?,
                "updated_at" => stored.updated_at = value(spec, slice)?,
                _ => stored.write_time = value(spec, slice)?,
            }
        }
        Ok(stored)
    }
}

/// Returns the stored form of a mode; the empty string means none.
pub(super) fn mode_text(mode: Option<Mode>) -> &'static str {
    mode.map_or("", Mode::name)
}

/// Returns the stored form of a currency; the empty string means none.
pub(super) fn currency_text(currency: Option<Currency>) -> String {
    currency.map(|currency| currency.to_string()).unwrap_or_default()
}

fn read_mode(stored: Option<&str>) -> Option<Option<Mode>> {
    match stored {
        None | Some("") => Some(None),
        Some(name) => Mode::from_name(name).map(Some),
    }
}

fn read_currency(stored: Option<&str>) -> Option<Option<Currency>> {
    match stored {
        None | Some("") => Some(None),
        Some(code) => Currency::new(code).ok().map(Some),
    }
}

/// Which thresholds a scan reads: from `from`, up to the floor `below`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) from: Price,
    pub(super) below: Floor,
    pub(super) hysteresis: Hysteresis,
}

impl Bounds {
    pub(super) const ALL: Bounds =
        Bounds { from: Price::ZERO, below: Floor::Infinite, hysteresis: Hysteresis::NONE };

    pub(super) fn ends_at(&self, threshold: Price) -> bool {
        self.below.spends(threshold, self.hysteresis)
    }
}

/// Reads rows into pages. It remembers the last threshold, because adjacent rows often share it.
pub(super) struct Reader {
    bounds: Bounds,
    last: (Vec<u8>, i32, Option<Price>),
}

/// Whether later rows can still be within the bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    GoOn,
    Beyond,
}

impl Reader {
    pub(super) fn new(bounds: Bounds) -> Reader {
        Reader { bounds, last: (Vec::new(), 0, None) }
    }

    fn threshold(&mut self, decimal: &CqlDecimalBorrowed<'_>) -> Option<Price> {
        let (bytes, scale) = decimal.as_signed_be_bytes_slice_and_exponent();
        if self.last.0 != bytes || self.last.1 != scale || bytes.is_empty() {
            self.last = (bytes.to_vec(), scale, decimal::to_price(decimal));
        }
        self.last.2
    }

    /// Appends the rows of one result to a page, without rows that are not valid watches.
    pub(super) fn add(
        &mut self,
        requests: &Requests,
        table: Table,
        rows: &QueryRowsResult,
        page: &mut WatchPage,
    ) -> Result<Read, Error> {
        let table_name = requests.name(table);
        let mut unreadable = 0;
        let mut read = Read::GoOn;
        for row in rows.rows::<Stored<'_>>().map_err(misfit(table_name))? {
            let row = row.map_err(misfit(table_name))?;
            let Some(row) = self.watch(&row) else {
                unreadable += 1;
                continue;
            };
            if self.bounds.ends_at(row.threshold) {
                read = Read::Beyond;
                break;
            }
            page.push(row);
        }
        if unreadable > 0 {
            warn_of(requests, table, unreadable);
        }
        Ok(read)
    }

    fn watch<'a>(&mut self, row: &Stored<'a>) -> Option<WatchRow<'a>> {
        Some(WatchRow {
            threshold: self.threshold(&row.threshold)?,
            user: Some(row.user).filter(|user| (1..=NAME_BYTES).contains(&user.len()))?,
            mode: read_mode(row.mode)?,
            currency: read_currency(row.currency)?,
            updated_at: row.updated_at.map(|at| WallTime(at.0)),
            write_time: row.write_time.map_or(NO_WRITE_TIME, WriteTime),
        })
    }
}

fn warn_of(requests: &Requests, table: Table, rows: u64) {
    let before = requests.metrics.unreadable_rows.inc_by(rows);
    let (table, all) = (requests.name(table), before + rows);
    if before == 0 {
        tracing::warn!(
            table,
            rows,
            "rows are not watches and were skipped: a threshold outside the limits of a price, an unknown mode or currency, or no user"
        );
    } else {
        tracing::debug!(table, rows, all, "rows are not watches and were skipped");
    }
}

/// Converts a row of a page to a watch.
pub(super) fn watch(product: &ProductId, row: &WatchRow<'_>) -> Result<Watch, Error> {
    Ok(Watch {
        product_id: product.clone(),
        price_watch_value: row.threshold,
        user_id: UserId::new(row.user).map_err(|error| Error::Fatal(Cause::of(error)))?,
        mode: row.mode,
        currency: row.currency,
        updated_at: row.updated_at,
    })
}

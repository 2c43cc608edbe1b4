//! Reads tables of watches.

use std::io::BufRead;

use pricedrop_memory::MemoryWatches;
use pricedrop_model::{Currency, Mode, Price, ProductId, UserId, WallTime, Watch, time};

use crate::input::{self, Columns, Row, Table};

/// An error in a file of watches.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read, or its header is wrong.
    #[error(transparent)]
    File(#[from] input::Error),
    /// A line is not a valid watch.
    #[error("line {line}: {reason}")]
    Line {
        /// The line number, from 1.
        line: u64,
        /// Why the line is invalid.
        reason: String,
    },
}

/// The columns of a table of watches.
pub const COLUMNS: Columns = Columns {
    names: &["product_id", "price_watch_value", "user_id", "mode", "currency", "updated_at"],
    required: 3,
};

/// Reads a watch from a line of a table.
///
/// # Errors
/// Says which field is wrong, and why.
pub fn read(row: &Row) -> Result<Watch, String> {
    let price = row.required("price_watch_value")?;
    let currency = row.optional("currency").map(Currency::new).transpose();
    Ok(Watch {
        product_id: ProductId::new(row.required("product_id")?).map_err(|error| error.to_string())?,
        price_watch_value: Price::parse(price)
            .map_err(|why| format!("price_watch_value {price:?}: {why}"))?,
        user_id: UserId::new(row.required("user_id")?).map_err(|error| error.to_string())?,
        mode: row.optional("mode").map(read_mode).transpose()?,
        currency: currency.map_err(|error| error.to_string())?,
        updated_at: row.optional("updated_at").map(read_time).transpose()?,
    })
}

fn read_mode(name: &str) -> Result<Mode, String> {
    let known = || Mode::ALL.map(|(name, _)| name).join(", ");
    Mode::from_name(name).ok_or_else(|| format!("mode {name:?} is none of {}", known()))
}

fn read_time(text: &str) -> Result<WallTime, String> {
    let why = || format!("updated_at {text:?} is neither an RFC 3339 time nor epoch milliseconds");
    time::parse_millis(text).map(WallTime).ok_or_else(why)
}

/// Writes all watches of a file to `store`; the first invalid line is an error.
pub fn load(input: impl BufRead + 'static, store: &MemoryWatches) -> Result<(), Error> {
    for (line, row) in Table::new(input, COLUMNS, None)? {
        let watch = row.and_then(|row| read(&row)).map_err(|reason| Error::Line { line, reason })?;
        let name = format!("{}, {}, {}", watch.product_id, watch.price_watch_value, watch.user_id);
        if store.insert(watch) {
            let reason = format!("the watch {name} appears a second time");
            return Err(Error::Line { line, reason });
        }
    }
    Ok(())
}

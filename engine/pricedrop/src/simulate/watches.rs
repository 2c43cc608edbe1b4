//! Reads files of watches: CSV with a header line.

use std::io::Read;

use pricedrop_memory::MemoryWatches;
use pricedrop_model::{Currency, Mode, Price, ProductId, UserId, WallTime, Watch, time};

/// An error in a file of watches.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The header lacks a required column.
    #[error("line 1: the header must name {missing}; known columns: {}", COLUMNS.join(", "))]
    Header {
        /// The missing column.
        missing: String,
    },
    /// The header has an unknown column, or a column twice.
    #[error("line 1: the column {column:?} is unknown or appears twice; known columns: {}", COLUMNS.join(", "))]
    Column {
        /// The column.
        column: String,
    },
    /// A line is not a valid watch.
    #[error("line {line}: {reason}")]
    Line {
        /// The line number, from 1.
        line: u64,
        /// Why the line is invalid.
        reason: String,
    },
}

const COLUMNS: [&str; 6] = ["product_id", "price_watch_value", "user_id", "mode", "currency", "updated_at"];
const REQUIRED: usize = 3;

/// A line of the file: its number, and the watch.
pub struct WatchLine {
    /// The line number, from 1.
    pub line: u64,
    /// The watch, or why the line is invalid.
    pub watch: Result<Watch, String>,
}

/// An iterator over the watches of a file.
pub struct WatchLines<R> {
    reader: csv::Reader<R>,
    columns: [Option<usize>; COLUMNS.len()],
    /// Number of columns in the header. A longer line, for example with a decimal comma, is refused.
    header: usize,
}

impl<R: Read> WatchLines<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// A column is missing or unknown.
    pub fn new(input: R) -> Result<WatchLines<R>, Error> {
        let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::Headers).from_reader(input);
        let header = reader.headers().map_err(|error| Error::Header { missing: error.to_string() })?.clone();
        let names: Vec<&str> = header.iter().map(|column| column.trim_start_matches('\u{feff}')).collect();
        let columns = COLUMNS.map(|name| names.iter().position(|column| *column == name));
        if let Some(missing) = (0..REQUIRED).find(|index| columns[*index].is_none()) {
            return Err(Error::Header { missing: COLUMNS[missing].into() });
        }
        // An unknown column is an error: ignoring `modes`, for example, would silently change the watches.
        if let Some(index) = (0..names.len()).find(|index| !columns.contains(&Some(*index))) {
            return Err(Error::Column { column: names[index].into() });
        }
        Ok(WatchLines { reader, columns, header: header.len() })
    }

    fn read(&self, record: &csv::StringRecord) -> Result<Watch, String> {
        let field = |index: usize| {
            self.columns[index].and_then(|column| record.get(column)).filter(|text| !text.is_empty())
        };
        if record.len() > self.header {
            return Err(format!("the header has {} fields, and this line has {}", self.header, record.len()));
        }
        let required = |index: usize| field(index).ok_or(format!("{} is missing", COLUMNS[index]));
        let price = required(1)?;
        Ok(Watch {
            product_id: ProductId::new(required(0)?).map_err(|error| error.to_string())?,
            price_watch_value: Price::parse(price)
                .map_err(|why| format!("price_watch_value {price:?}: {why}"))?,
            user_id: UserId::new(required(2)?).map_err(|error| error.to_string())?,
            mode: field(3).map(read_mode).transpose()?,
            currency: field(4).map(Currency::new).transpose().map_err(|error| error.to_string())?,
            updated_at: field(5).map(read_time).transpose()?,
        })
    }
}

impl<R: Read> Iterator for WatchLines<R> {
    type Item = WatchLine;

    fn next(&mut self) -> Option<WatchLine> {
        let mut record = csv::StringRecord::new();
        let line = |reader: &csv::Reader<R>| reader.position().line();
        match self.reader.read_record(&mut record) {
            Ok(false) => None,
            Ok(true) => {
                let line = record.position().map_or(0, csv::Position::line);
                Some(WatchLine { line, watch: self.read(&record) })
            }
            Err(error) => {
                let line = error.position().map_or_else(|| line(&self.reader), csv::Position::line);
                Some(WatchLine { line, watch: Err(error.to_string()) })
            }
        }
    }
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
pub fn load(input: impl Read, store: &MemoryWatches) -> Result<(), Error> {
    for WatchLine { line, watch } in WatchLines::new(input)? {
        let watch = watch.map_err(|reason| Error::Line { line, reason })?;
        let name = format!("{}, {}, {}", watch.product_id, watch.price_watch_value, watch.user_id);
        if store.insert(watch) {
            let reason = format!("the watch {name} appears a second time");
            return Err(Error::Line { line, reason });
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_more_fields_than_the_header_is_refused() {
        let file = "product_id,price_watch_value,user_id\nP,79,90,u1\nP,79,u1\n";
        let lines: Vec<_> = WatchLines::new(file.as_bytes()).unwrap().map(|line| line.watch).collect();
        assert_eq!(lines[0].as_ref().unwrap_err(), "the header has 3 fields, and this line has 4");
        assert!(lines[1].is_ok());
    }
}

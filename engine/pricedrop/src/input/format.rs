//! Tells what a file is by its first bytes, and why one cannot be read.

use std::io::{BufRead, Cursor, Read};

use pricedrop_model::entries::{BYTE_ORDER_MARK, RECORD_SEPARATOR, foreign_encoding};

/// An input whose first bytes were looked at.
pub type Input = Box<dyn BufRead>;

/// What the first bytes of a file say about it.
pub enum Format {
    /// JSON entries.
    Json(Input),
    /// A table with a header line.
    Table(Input),
}

/// Why a file cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The text is not UTF-8.
    #[error("the file is encoded in {0}, not in UTF-8")]
    Encoding(&'static str),
    /// A required column is missing.
    #[error("line 1: the header must name {missing}; known columns: {known}")]
    Missing {
        /// The column.
        missing: &'static str,
        /// All columns that the table may have.
        known: String,
    },
    /// The header has an unknown column, or a column twice.
    #[error("line 1: the column {column:?} is unknown or appears twice; known columns: {known}")]
    Column {
        /// The column.
        column: String,
        /// All columns that the table may have.
        known: String,
    },
    /// The header cannot be read.
    #[error("line 1: {0}")]
    Header(String),
}

impl Error {
    /// Returns what the user does about it.
    pub fn remedy(&self) -> String {
        match self {
            Error::Encoding(packed @ ("gzip" | "zstd")) => {
                format!("unpack it first, for example with `{packed} -d`")
            }
            Error::Encoding(encoding) => {
                format!("convert it, for example with `iconv -f {encoding} -t UTF-8`")
            }
            Error::Io(_) => String::new(),
            _ => "see the command's --help for the columns and --separator".into(),
        }
    }
}

/// Tells JSON from a table by the first character.
///
/// # Errors
/// The input fails, or is not UTF-8.
pub fn format(input: Input) -> Result<Format, Error> {
    let (start, input) = peek(input)?;
    let text = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&start);
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace() && **byte != RECORD_SEPARATOR);
    Ok(match first {
        Some(b'{' | b'[') => Format::Json(input),
        _ => Format::Table(input),
    })
}

/// Returns the first bytes of an input, at least four that are not blank, and the whole input.
///
/// # Errors
/// The input fails, or is not UTF-8.
pub(super) fn peek(mut input: impl BufRead + 'static) -> Result<(Vec<u8>, Input), Error> {
    let mut start = Vec::new();
    while start.iter().filter(|byte: &&u8| !byte.is_ascii_whitespace()).count() < 4 {
        let read = input.fill_buf()?;
        if read.is_empty() {
            break;
        }
        start.extend_from_slice(read);
        let length = read.len();
        input.consume(length);
    }
    if let Some(encoding) = foreign_encoding(&start) {
        return Err(Error::Encoding(encoding));
    }
    Ok((start.clone(), Box::new(Cursor::new(start).chain(input))))
}

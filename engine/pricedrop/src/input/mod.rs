//! Reads the files that commands take: JSON entries, and tables with a header line. Both are read
//! piece by piece, so a file may be larger than memory.

mod entries;
mod format;
mod line;
mod table;

pub use entries::EntryReader;
pub use format::{Error, Format, Input, format};
pub use table::{Columns, Row, Separator, Table};

//! Tables with a header line: CSV with commas, semicolons or tabs. The header names the columns, in
//! any order. One rule holds for all tables: blanks around fields are removed, an optional field may
//! be empty or left out at the end, and a line with more fields than the header is refused.

use std::io::{BufRead, Read};

use super::format::{Error, Input, peek};
use super::line::fields;

/// Longest line that is read, in bytes; a longer one is refused.
const LINE_BYTES: u64 = 64 << 10;

/// The columns of a kind of table: first the required ones.
#[derive(Debug, Clone, Copy)]
pub struct Columns {
    /// The names of all columns.
    pub names: &'static [&'static str],
    /// How many of them the header must name.
    pub required: usize,
}

/// What separates the fields of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Separator {
    /// A comma.
    #[value(alias = ",")]
    Comma,
    /// A semicolon.
    #[value(alias = ";")]
    Semicolon,
    /// A tabulator.
    #[value(alias = "\t")]
    Tab,
}

impl Separator {
    const ALL: [Separator; 3] = [Separator::Comma, Separator::Semicolon, Separator::Tab];

    fn character(self) -> char {
        match self {
            Separator::Comma => ',',
            Separator::Semicolon => ';',
            Separator::Tab => '\t',
        }
    }

    /// Returns the separator that appears most often in a header; a comma, if none does.
    fn of(header: &str) -> Separator {
        let count = |separator: &Separator| header.matches(separator.character()).count();
        let most = Separator::ALL.into_iter().rev().max_by_key(count);
        most.unwrap_or(Separator::Comma)
    }
}

/// One line of a table: the fields of the known columns.
pub struct Row {
    names: &'static [&'static str],
    /// One field for each known column; empty, if the line does not have it.
    fields: Vec<String>,
}

impl Row {
    /// Returns the field of a column, if it is not empty.
    pub fn optional(&self, column: &str) -> Option<&str> {
        let index = self.names.iter().position(|name| *name == column)?;
        Some(self.fields[index].as_str()).filter(|field| !field.is_empty())
    }

    /// Returns the field of a column.
    ///
    /// # Errors
    /// It is empty.
    pub fn required(&self, column: &str) -> Result<&str, String> {
        self.optional(column).ok_or_else(|| format!("{column} is missing"))
    }
}

/// An iterator over the lines of a table, each with its number.
pub struct Table {
    input: Input,
    separator: char,
    columns: Columns,
    /// For each field of a line the index of its column.
    order: Vec<usize>,
    line: u64,
}

impl Table {
    /// Reads the header. `separator`: `None` finds it there.
    ///
    /// # Errors
    /// A column is missing or unknown, the input fails, or it is not UTF-8.
    pub fn new(
        input: impl BufRead + 'static,
        columns: Columns,
        separator: Option<Separator>,
    ) -> Result<Table, Error> {
        let (_, mut input) = peek(input)?;
        let header = read_line(&mut input)?.unwrap_or(Ok(String::new())).map_err(Error::Header)?;
        let header = header.trim_start_matches('\u{feff}');
        let separator = separator.unwrap_or_else(|| Separator::of(header)).character();
        let names = fields(header, separator).map_err(Error::Header)?;
        Ok(Table { input, separator, columns, order: order(&names, columns)?, line: 1 })
    }

    fn row(&self, line: &str) -> Result<Row, String> {
        let found = fields(line, self.separator)?;
        if found.len() > self.order.len() {
            let (header, line) = (self.order.len(), found.len());
            return Err(format!("the header has {header} fields, and this line has {line}"));
        }
        let mut fields = vec![String::new(); self.columns.names.len()];
        for (column, field) in self.order.iter().zip(found) {
            fields[*column] = field;
        }
        Ok(Row { names: self.columns.names, fields })
    }
}

impl Iterator for Table {
    /// The line number, from 1, and the row, or why the line is invalid.
    type Item = (u64, Result<Row, String>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            self.line += 1;
            let line = match read_line(&mut self.input) {
                Ok(line) => line?,
                Err(error) => Err(format!("the file cannot be read: {error}")),
            };
            match line {
                Ok(line) if line.trim().is_empty() => {}
                line => return Some((self.line, line.and_then(|line| self.row(&line)))),
            }
        }
    }
}

/// Returns the column of each field of the header.
fn order(header: &[String], columns: Columns) -> Result<Vec<usize>, Error> {
    let known = || columns.names.join(", ");
    let required = &columns.names[..columns.required];
    if let Some(missing) = required.iter().find(|name| !header.iter().any(|column| column == *name)) {
        return Err(Error::Missing { missing, known: known() });
    }
    let mut order = Vec::new();
    for column in header {
        // An unknown column is an error: ignoring `modes`, for example, would silently change the watches.
        match columns.names.iter().position(|name| name == column) {
            Some(index) if !order.contains(&index) => order.push(index),
            _ => return Err(Error::Column { column: column.clone(), known: known() }),
        }
    }
    Ok(order)
}

/// Reads one line without its end; `None`: the file has ended. The inner error is about the line.
fn read_line(input: &mut Input) -> std::io::Result<Option<Result<String, String>>> {
    let mut line = Vec::new();
    if input.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.len() as u64 == LINE_BYTES && line.last() != Some(&b'\n') {
        skip_line(input)?;
        return Ok(Some(Err(format!("the line is longer than {LINE_BYTES} bytes"))));
    }
    while matches!(line.last(), Some(b'\n' | b'\r')) {
        line.pop();
    }
    Ok(Some(String::from_utf8(line).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let byte = error.as_bytes()[at];
        format!(
            "byte {} of the line is {byte:#04x}, which is not UTF-8: the file may be encoded in Windows-1252; \
             convert it, for example with `iconv -f WINDOWS-1252 -t UTF-8`",
            at + 1
        )
    })))
}

/// Skips the rest of a line.
fn skip_line(input: &mut Input) -> std::io::Result<()> {
    let mut rest = Vec::new();
    while input.by_ref().take(LINE_BYTES).read_until(b'\n', &mut rest)? > 0 && rest.last() != Some(&b'\n') {
        rest.clear();
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const COLUMNS: Columns = Columns { names: &["id", "price", "note"], required: 2 };

    /// The id, the price and the note of each line, or its error.
    fn read(text: &[u8]) -> Vec<(u64, Result<String, String>)> {
        let table = Table::new(std::io::Cursor::new(text.to_vec()), COLUMNS, None).unwrap();
        let text = |row: Row| {
            Ok([row.required("id")?, row.required("price")?, row.optional("note").unwrap_or("-")].join("|"))
        };
        table.map(|(line, row)| (line, row.and_then(text))).collect()
    }

    fn error(text: &[u8], separator: Option<Separator>) -> String {
        Table::new(std::io::Cursor::new(text.to_vec()), COLUMNS, separator).err().unwrap().to_string()
    }

    #[test]
    fn the_separator_is_found_in_the_header() {
        for text in ["id,price\nP,7\n", "id;price\nP;7\n", "\u{feff}id \t price\r\nP\t 7\r\n"] {
            assert_eq!(read(text.as_bytes()), [(2, Ok("P|7|-".into()))], "{text:?}");
        }
        let missing = "line 1: the header must name id; known columns: id, price, note";
        assert_eq!(error(b"id;price\n", Some(Separator::Comma)), missing);
    }

    #[test]
    fn the_last_optional_field_may_be_left_out_but_no_field_may_be_added() {
        let rows = read(b"price,id,note\n7,P\n7,P,\n\n7,P,x\n7,P,x,y\n7\n");
        let many = "the header has 3 fields, and this line has 4";
        assert_eq!(
            rows,
            [
                (2, Ok("P|7|-".into())),
                (3, Ok("P|7|-".into())),
                (5, Ok("P|7|x".into())),
                (6, Err(many.into())),
                (7, Err("id is missing".into())),
            ]
        );
    }

    #[test]
    fn a_quote_that_is_not_closed_costs_its_line_only() {
        let rows = read(b"id,price\nA,1\n\"B,2\nC,3\n");
        assert_eq!(rows[0], (2, Ok("A|1|-".into())));
        assert_eq!(rows[1], (3, Err("a quote that opens on this line is not closed on it".into())));
        assert_eq!(rows[2], (4, Ok("C|3|-".into())));
    }

    #[test]
    fn another_encoding_is_named() {
        let rows = read(b"id,price\nM\xfcller,1\nP,2\n");
        let reason = rows[0].1.as_ref().unwrap_err();
        assert!(
            reason.starts_with("byte 2 of the line is 0xfc") && reason.contains("Windows-1252"),
            "{reason}"
        );
        assert_eq!(rows[1], (3, Ok("P|2|-".into())));
        let utf16: Vec<u8> = "\u{feff}id,price\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(error(&utf16, None), "the file is encoded in UTF-16, not in UTF-8");
    }

    #[test]
    fn a_line_that_is_too_long_is_refused_alone() {
        let text = format!("id,price\n{},1\nP,2\n", "x".repeat(200_000));
        let rows = read(text.as_bytes());
        assert_eq!(rows[0], (2, Err("the line is longer than 65536 bytes".into())));
        assert_eq!(rows[1], (3, Ok("P|2|-".into())));
    }
}

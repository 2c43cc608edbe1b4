//! Writes the entries of a file in batches: the good lines are written, the
//! bad ones listed by their number.

use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::Path;

use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::report::Stopped;

/// Entries sent in one request.
const BATCH: usize = 1_000;
/// Bad lines that are listed; all of them are counted.
const LISTED: usize = 100;

/// The entries of a CSV file, each with its line.
pub type Rows<T> = Box<dyn Iterator<Item = (u64, Result<T, String>)>>;

/// What a file holds.
pub struct Kind<T> {
    /// In words, for the last line.
    pub name: &'static str,
    /// Where they are written.
    pub path: &'static str,
    /// Reads a CSV file behind its header; the error is about the header.
    pub from_csv: fn(Box<dyn BufRead>) -> Result<Rows<T>, String>,
    /// Reads one JSON line.
    pub from_json: fn(&[u8]) -> Result<T, String>,
}

#[derive(Deserialize)]
struct Written {
    written: u64,
    #[serde(default)]
    errors: Vec<ServerError>,
}

#[derive(Deserialize)]
struct ServerError {
    line: usize,
    reason: String,
}

/// Imports a file, or standard input.
///
/// # Errors
/// The file cannot be read, no engine answers, or a line was bad.
pub fn import<T: Serialize>(client: &Client, file: &Path, kind: &Kind<T>) -> Result<(), Stopped> {
    let mut import = Import { client, kind, batch: Vec::new(), lines: Vec::new(), written: 0, bad: 0 };
    let mut input = open(file)?;
    let json = starts_with_brace(&mut input)?;
    match json {
        true => import.json_lines(input)?,
        false => import.csv(input)?,
    }
    import.flush()?;
    import.finish()
}

fn open(file: &Path) -> Result<Box<dyn BufRead>, Stopped> {
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let opened = std::fs::File::open(file);
    let opened = opened.map_err(|error| {
        Stopped::failed(format!("{} cannot be read: {error}", file.display()), "name an existing file")
    })?;
    Ok(Box::new(BufReader::new(opened)))
}

fn starts_with_brace(input: &mut dyn BufRead) -> Result<bool, Stopped> {
    let start = input.fill_buf()?;
    Ok(start.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{'))
}

struct Import<'a, T> {
    client: &'a Client,
    kind: &'a Kind<T>,
    batch: Vec<u8>,
    /// The line of each entry of the batch.
    lines: Vec<u64>,
    written: u64,
    bad: usize,
}

impl<T: Serialize> Import<'_, T> {
    fn json_lines(&mut self, mut input: impl BufRead) -> Result<(), Stopped> {
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            // One line longer than any entry may be is bad as it stands.
            if input.by_ref().take(LINE_BYTES).read_until(b'\n', &mut text)? == 0 {
                return Ok(());
            }
            if !text.trim_ascii().is_empty() {
                self.entry(line, (self.kind.from_json)(text.trim_ascii()))?;
            }
        }
        Ok(())
    }

    fn csv(&mut self, input: Box<dyn BufRead>) -> Result<(), Stopped> {
        let rows = (self.kind.from_csv)(input)
            .map_err(|error| Stopped::failed(error, "see the command's --help for the columns"))?;
        for (line, read) in rows {
            self.entry(line, read)?;
        }
        Ok(())
    }

    fn entry(&mut self, line: u64, read: Result<T, String>) -> Result<(), Stopped> {
        match read {
            Ok(entry) => {
                serde_json::to_writer(&mut self.batch, &entry).expect("entries are plain text and numbers");
                self.batch.push(b'\n');
                self.lines.push(line);
            }
            Err(reason) => self.bad(line, &reason),
        }
        if self.lines.len() == BATCH { self.flush() } else { Ok(()) }
    }

    fn bad(&mut self, line: u64, reason: &str) {
        self.bad += 1;
        if self.bad <= LISTED {
            eprintln!("line {line}: {reason}");
        }
    }

    fn flush(&mut self) -> Result<(), Stopped> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let body = std::mem::take(&mut self.batch);
        let answer: Written = self.client.json(Method::PUT, self.kind.path, &[], Some(body))?;
        let lines = std::mem::take(&mut self.lines);
        self.written += answer.written;
        for error in answer.errors {
            let line = lines.get(error.line.saturating_sub(1)).copied().unwrap_or_default();
            self.bad(line, &error.reason);
        }
        if std::io::stderr().is_terminal() {
            eprint!("\r{} {} written", self.written, self.kind.name);
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Stopped> {
        if std::io::stderr().is_terminal() {
            eprint!("\r");
        }
        if self.bad > LISTED {
            eprintln!("... and {} more bad lines", self.bad - LISTED);
        }
        let Import { written, bad, .. } = self;
        writeln!(anstream::stdout(), "{} written: {written}, bad lines: {bad}", self.kind.name)?;
        if self.bad == 0 { Ok(()) } else { Err(Stopped::No) }
    }
}

/// Longest line that is read whole, bytes.
const LINE_BYTES: u64 = 64 << 10;

//! Imports the entries of a file in batches, over several parallel requests: valid lines are
//! written, invalid ones are listed by line number. All lines of one user go through the same
//! queue, so that of two lines about the same entry the later one wins.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufReader, IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc;

use pricedrop_model::{UserId, WallTime};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::cli;
use crate::client::Client;
use crate::input::{Columns, EntryReader, Error, Format, Input, Row, Separator, Table, format};
use crate::printable::printable;
use crate::report::CliError;

/// Entries in one request.
const BATCH: usize = 1_000;
/// Requests in flight. A write is acknowledged some time after its work is done, for example after
/// an fsync, so a single request at a time would mostly wait.
const CONNECTIONS: usize = 8;
/// Invalid lines that are listed; all of them are counted.
const MAX_LISTED: usize = 100;

/// What the lines of a file are.
pub struct Kind<T> {
    /// The name in the summary line.
    pub name: &'static str,
    /// The path of the API to which they are posted.
    pub path: &'static str,
    /// The columns of a table.
    pub columns: Columns,
    /// Parses one line of a table.
    pub from_row: fn(&Row) -> Result<T, String>,
    /// Parses one JSON entry.
    pub from_json: fn(&[u8]) -> Result<T, String>,
    /// Returns the user of an entry.
    pub user: fn(&T) -> &UserId,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    written: u64,
    effective_by: Option<WallTime>,
    #[serde(default)]
    errors: Vec<ServerError>,
}

/// The totals over all queues.
#[derive(Default)]
struct Total {
    written: AtomicU64,
    /// The time from which all drops use the written entries, epoch milliseconds; 0: from now.
    effective_by: AtomicI64,
}

#[derive(Deserialize)]
struct ServerError {
    line: usize,
    reason: String,
}

/// Imports a file, or standard input.
///
/// # Errors
/// The file cannot be read, the engine does not respond, or a line was invalid.
pub fn import<T: Serialize>(client: &Client, file: &cli::ImportFile, kind: &Kind<T>) -> Result<(), CliError> {
    let total = Total::default();
    let (read, sent) = std::thread::scope(|threads| {
        let (queues, senders): (Vec<BatchQueue>, Vec<_>) = (0..CONNECTIONS)
            .map(|_| {
                let (queue, batches) = mpsc::sync_channel(1);
                let send = || send_all(client, kind, batches, &total);
                (BatchQueue { batch: Batch::default(), queue }, threads.spawn(send))
            })
            .unzip();
        let mut import = Import { kind, queues, invalid: Vec::new(), count: 0 };
        let read = import.read(&file.file, file.separator);
        let (invalid, count) = (import.invalid, import.count);
        drop(import.queues);
        let sent: Result<Vec<Vec<InvalidLine>>, CliError> =
            senders.into_iter().map(|sender| sender.join().expect("sending does not panic")).collect();
        (read.map(|()| (invalid, count)), sent)
    });
    // If the engine refused, reading stopped because of that, so its error comes first.
    let (sent, (mut invalid, mut count)) = (sent?, read?);
    for queue in sent {
        count += queue.len();
        invalid.extend(queue);
    }
    invalid.sort();
    finish(kind.name, total, &invalid, count)
}

fn finish(name: &str, total: Total, invalid: &[InvalidLine], count: usize) -> Result<(), CliError> {
    if std::io::stderr().is_terminal() {
        eprint!("\r");
    }
    for (line, reason) in invalid.iter().take(MAX_LISTED) {
        eprintln!("line {line}: {}", printable(reason));
    }
    if count > MAX_LISTED {
        eprintln!("... and {} more invalid lines", count - MAX_LISTED);
    }
    writeln!(anstream::stdout(), "{name} written: {}, invalid lines: {count}", total.written.into_inner())?;
    print_effective(Some(WallTime(total.effective_by.into_inner())).filter(|by| by.0 > 0))?;
    if count == 0 { Ok(()) } else { Err(CliError::Reported) }
}

/// Prints the time from which drops use a change, if the cache could not be invalidated.
pub(super) fn print_effective(by: Option<WallTime>) -> Result<(), CliError> {
    if let Some(by) = by {
        writeln!(
            anstream::stdout(),
            "the cache could not be invalidated: drops use the change from {by} on"
        )?;
    }
    Ok(())
}

/// A line number, and what is wrong with the line.
type InvalidLine = (u64, String);

/// The entries of one request.
#[derive(Default)]
struct Batch {
    body: Vec<u8>,
    /// The line number of each entry.
    lines: Vec<u64>,
}

/// Sends batches one after the other. Returns the lines that the engine refused.
fn send_all<T>(
    client: &Client,
    kind: &Kind<T>,
    batches: mpsc::Receiver<Batch>,
    total: &Total,
) -> Result<Vec<InvalidLine>, CliError> {
    let mut invalid = Vec::new();
    for Batch { body, lines } in batches {
        let answer: Written = client.json(Method::PUT, kind.path, &[], Some(body))?;
        let all = total.written.fetch_add(answer.written, Ordering::Relaxed) + answer.written;
        total.effective_by.fetch_max(answer.effective_by.map_or(0, |by| by.0), Ordering::Relaxed);
        for error in answer.errors {
            invalid
                .push((lines.get(error.line.saturating_sub(1)).copied().unwrap_or_default(), error.reason));
        }
        if std::io::stderr().is_terminal() {
            eprint!("\r{all} {} written", kind.name);
        }
    }
    Ok(invalid)
}

fn open(file: &Path) -> Result<Input, CliError> {
    if file == Path::new("-") {
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let opened = std::fs::File::open(file);
    let opened = opened.map_err(|error| {
        CliError::failed(format!("{} cannot be read: {error}", file.display()), "name an existing file")
    })?;
    Ok(Box::new(BufReader::new(opened)))
}

fn unreadable(file: &Path, error: &Error) -> CliError {
    CliError::failed(format!("{}: {error}", file.display()), error.remedy())
}

/// One queue of batches, and the batch that is being filled.
struct BatchQueue {
    batch: Batch,
    queue: mpsc::SyncSender<Batch>,
}

impl BatchQueue {
    fn flush(&mut self) -> Result<(), CliError> {
        if self.batch.lines.is_empty() {
            return Ok(());
        }
        let gone = |_| CliError::failed("the engine stopped accepting entries", "");
        self.queue.send(std::mem::take(&mut self.batch)).map_err(gone)
    }
}

struct Import<'a, T> {
    kind: &'a Kind<T>,
    queues: Vec<BatchQueue>,
    /// The first invalid lines.
    invalid: Vec<InvalidLine>,
    /// The number of invalid lines.
    count: usize,
}

impl<T: Serialize> Import<'_, T> {
    fn read(&mut self, file: &Path, separator: Option<Separator>) -> Result<(), CliError> {
        let unreadable = |error: Error| unreadable(file, &error);
        match format(open(file)?).map_err(unreadable)? {
            Format::Json(input) => {
                let mut entries = EntryReader::new(input);
                while let Some((line, text)) = entries.read().map_err(unreadable)? {
                    self.entry(line, (self.kind.from_json)(&text))?;
                }
            }
            Format::Table(input) => {
                for (line, row) in Table::new(input, self.kind.columns, separator).map_err(unreadable)? {
                    self.entry(line, row.and_then(|row| (self.kind.from_row)(&row)))?;
                }
            }
        }
        self.queues.iter_mut().try_for_each(BatchQueue::flush)
    }

    fn entry(&mut self, line: u64, read: Result<T, String>) -> Result<(), CliError> {
        let entry = match read {
            Ok(entry) => entry,
            Err(reason) => {
                self.count += 1;
                if self.invalid.len() < MAX_LISTED {
                    self.invalid.push((line, reason));
                }
                return Ok(());
            }
        };
        let mut hasher = DefaultHasher::new();
        (self.kind.user)(&entry).hash(&mut hasher);
        let queue = &mut self.queues[(hasher.finish() % CONNECTIONS as u64) as usize];
        serde_json::to_writer(&mut queue.batch.body, &entry).expect("entries are plain text and numbers");
        queue.batch.body.push(b'\n');
        queue.batch.lines.push(line);
        if queue.batch.lines.len() == BATCH { queue.flush() } else { Ok(()) }
    }
}

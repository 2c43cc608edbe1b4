//! Writes the entries of a file in batches, several at once: the good lines are
//! written, the bad ones listed by their number. Lines of one user go the same
//! way, so that of two about the same thing the later one stands.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{BufRead, BufReader, IsTerminal, Read, Write};
use std::path::Path;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc;

use pricedrop_model::{UserId, WallTime};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::report::Stopped;

/// Entries sent in one request.
const BATCH: usize = 1_000;
/// Requests on their way at once. A store answers a write some time after it is
/// through, so that one alone would mostly wait.
const LANES: usize = 8;
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
    /// Whom an entry is about.
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

/// What became of all entries, whichever way they went.
#[derive(Default)]
struct Total {
    written: AtomicU64,
    /// When drops see the last of them, epoch milliseconds; 0: they do already.
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
/// The file cannot be read, no engine answers, or a line was bad.
pub fn import<T: Serialize>(client: &Client, file: &Path, kind: &Kind<T>) -> Result<(), Stopped> {
    let total = Total::default();
    let (read, sent) = std::thread::scope(|threads| {
        let (lanes, senders): (Vec<Lane>, Vec<_>) = (0..LANES)
            .map(|_| {
                let (queue, batches) = mpsc::sync_channel(1);
                let send = || send_all(client, kind, batches, &total);
                (Lane { batch: Batch::default(), queue }, threads.spawn(send))
            })
            .unzip();
        let mut import = Import { kind, lanes, bad: Vec::new(), count: 0 };
        let read = import.read(file);
        let (bad, count) = (import.bad, import.count);
        drop(import.lanes);
        let sent: Result<Vec<Vec<Bad>>, Stopped> =
            senders.into_iter().map(|sender| sender.join().expect("sending does not panic")).collect();
        (read.map(|()| (bad, count)), sent)
    });
    // What the engine said is the reason that reading stopped.
    let (sent, (mut bad, mut count)) = (sent?, read?);
    for lane in sent {
        count += lane.len();
        bad.extend(lane);
    }
    bad.sort();
    finish(kind.name, total, &bad, count)
}

fn finish(name: &str, total: Total, bad: &[Bad], count: usize) -> Result<(), Stopped> {
    if std::io::stderr().is_terminal() {
        eprint!("\r");
    }
    for (line, reason) in bad.iter().take(LISTED) {
        eprintln!("line {line}: {reason}");
    }
    if count > LISTED {
        eprintln!("... and {} more bad lines", count - LISTED);
    }
    writeln!(anstream::stdout(), "{name} written: {}, bad lines: {count}", total.written.into_inner())?;
    say_effective(Some(WallTime(total.effective_by.into_inner())).filter(|by| by.0 > 0))?;
    if count == 0 { Ok(()) } else { Err(Stopped::No) }
}

/// Says when drops see a change of which the cache could not be told.
pub(super) fn say_effective(by: Option<WallTime>) -> Result<(), Stopped> {
    if let Some(by) = by {
        writeln!(anstream::stdout(), "the cache could not be told: drops see it from {by} on")?;
    }
    Ok(())
}

/// A line and what is wrong with it.
type Bad = (u64, String);

/// Entries of one request.
#[derive(Default)]
struct Batch {
    body: Vec<u8>,
    /// The line of each entry.
    lines: Vec<u64>,
}

/// Sends batches one after the other; the lines that the engine refused.
fn send_all<T>(
    client: &Client,
    kind: &Kind<T>,
    batches: mpsc::Receiver<Batch>,
    total: &Total,
) -> Result<Vec<Bad>, Stopped> {
    let mut bad = Vec::new();
    for Batch { body, lines } in batches {
        let answer: Written = client.json(Method::PUT, kind.path, &[], Some(body))?;
        let all = total.written.fetch_add(answer.written, Ordering::Relaxed) + answer.written;
        total.effective_by.fetch_max(answer.effective_by.map_or(0, |by| by.0), Ordering::Relaxed);
        for error in answer.errors {
            bad.push((lines.get(error.line.saturating_sub(1)).copied().unwrap_or_default(), error.reason));
        }
        if std::io::stderr().is_terminal() {
            eprint!("\r{all} {} written", kind.name);
        }
    }
    Ok(bad)
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

/// One of the ways to the engine.
struct Lane {
    batch: Batch,
    queue: mpsc::SyncSender<Batch>,
}

impl Lane {
    fn flush(&mut self) -> Result<(), Stopped> {
        if self.batch.lines.is_empty() {
            return Ok(());
        }
        let gone = |_| Stopped::failed("the engine took no more", "");
        self.queue.send(std::mem::take(&mut self.batch)).map_err(gone)
    }
}

struct Import<'a, T> {
    kind: &'a Kind<T>,
    lanes: Vec<Lane>,
    /// The first of the bad lines.
    bad: Vec<Bad>,
    /// How many there were.
    count: usize,
}

impl<T: Serialize> Import<'_, T> {
    fn read(&mut self, file: &Path) -> Result<(), Stopped> {
        let mut input = open(file)?;
        match starts_with_brace(&mut input)? {
            true => self.json_lines(input)?,
            false => self.csv(input)?,
        }
        self.lanes.iter_mut().try_for_each(Lane::flush)
    }

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
        let entry = match read {
            Ok(entry) => entry,
            Err(reason) => {
                self.count += 1;
                if self.bad.len() < LISTED {
                    self.bad.push((line, reason));
                }
                return Ok(());
            }
        };
        let mut hasher = DefaultHasher::new();
        (self.kind.user)(&entry).hash(&mut hasher);
        let lane = &mut self.lanes[(hasher.finish() % LANES as u64) as usize];
        serde_json::to_writer(&mut lane.batch.body, &entry).expect("entries are plain text and numbers");
        lane.batch.body.push(b'\n');
        lane.batch.lines.push(line);
        if lane.batch.lines.len() == BATCH { lane.flush() } else { Ok(()) }
    }
}

/// Longest line that is read whole, bytes.
const LINE_BYTES: u64 = 64 << 10;

//! `pricedrop replay`: publishes archived records to their topic again, or simulates them.
//!
//! It reads the archive twice. The first pass counts, so that the operator can decide; the second
//! publishes what the topic does not hold yet. So an interrupted replay can be started again.

use std::collections::HashSet;
use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use pricedrop_archive::{Finding, Line, Link, Reader, Source};
use pricedrop_embedded::ArchivedTopic;
use pricedrop_kafka::{Republisher, Seen, Settings, is_again};
use pricedrop_model::archive::ArchivedRecord;
use pricedrop_model::notification::NotificationId;
use pricedrop_model::{Notification, Partition, Position, ProductId, Update, UserId, time};
use tokio::runtime::Runtime;

use super::archive::bucket;
use crate::cli::{Replay, ReplayTopic, Simulate};
use crate::config::Config;
use crate::remedies;
use crate::report::Stopped;

/// How often progress is printed.
const PROGRESS: Duration = Duration::from_secs(2);

/// Runs the command.
///
/// # Errors
/// The archive is not complete, or Kafka refuses the records.
pub fn execute(config: &Config, asked: &Replay) -> Result<(), Stopped> {
    let settings = config.stores.kafka().then(|| config.kafka_settings(false)).transpose()?;
    if asked.publish && settings.is_none() {
        return Err(Stopped::usage(
            "records are published to topics in Kafka, and the log of this configuration is embedded",
            "name a configuration with stores.log = \"kafka\"; without --publish they are counted, with --simulate decided",
        ));
    }
    let topic = match (asked.topic, &settings) {
        (ReplayTopic::Updates, Some(settings)) => settings.topics.prices.clone(),
        (ReplayTopic::Notifications, Some(settings)) => settings.topics.notifications.clone(),
        (ReplayTopic::Updates, None) => ArchivedTopic::Updates.name().to_owned(),
        (ReplayTopic::Notifications, None) => ArchivedTopic::Notifications.name().to_owned(),
    };
    if asked.again.is_some() && asked.topic == ReplayTopic::Updates {
        return Err(Stopped::usage(
            "--again delivers notifications once more, and updates are not delivered",
            "write --topic notifications",
        ));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let filter = Filter::of(asked)?;
    if let Some(watches) = &asked.simulate {
        return simulate(runtime, config, asked, (topic, filter), watches.clone());
    }
    let archive = Archived::open(&runtime, config, asked, &topic)?;
    let mut counts = Counts::default();
    archive.each(&runtime, "counted", |_, record| {
        if filter.takes(record) {
            counts.add(record, asked.topic);
        }
        Ok(())
    })?;
    let mut out = anstream::stdout();
    writeln!(out, "{}", counts.describe(&topic, asked.topic))?;
    let Some(settings) = settings.filter(|_| asked.publish) else {
        writeln!(out, "nothing was published; --publish publishes them to {topic}")?;
        return Ok(());
    };
    let seen = Republisher::seen(&settings, &topic, asked.again.as_deref()).map_err(remedies::kafka)?;
    if seen.count() > 0 {
        writeln!(out, "{} records were published before, and are left out", seen.count())?;
    }
    if !asked.yes && !confirmed(&mut out, &topic)? {
        writeln!(out, "nothing was published")?;
        return Ok(());
    }
    let published = publish(&runtime, &archive, &settings, &topic, &Chosen { asked, filter, seen })?;
    writeln!(out, "published {published} records to {topic}")?;
    Ok(())
}

/// Decides the archived updates with the watches of a file.
fn simulate(
    runtime: Runtime,
    config: &Config,
    asked: &Replay,
    (topic, filter): (String, Filter),
    watches: PathBuf,
) -> Result<(), Stopped> {
    if asked.topic != ReplayTopic::Updates {
        return Err(Stopped::usage("only updates can be simulated", "write --topic updates"));
    }
    let archive = Archived::open(&runtime, config, asked, &topic)?;
    let (lines, mut written) = std::io::pipe()?;
    let reading = std::thread::spawn(move || {
        archive.each(&runtime, "read", |_, record| {
            if filter.takes(record) {
                let mut line = Line::Record(record.clone()).to_json();
                line.push(b'\n');
                written.write_all(&line)?;
            }
            Ok(())
        })
    });
    let asked = Simulate { watches, updates: PathBuf::new(), plugins: None, stats: true };
    let simulated = super::simulate::over(config, &asked, lines);
    let read = reading.join().map_err(|_| Stopped::failed("reading the archive panicked", ""))?;
    simulated.and(read)
}

/// Asks for confirmation on a terminal; without one, returns true.
fn confirmed(out: &mut impl Write, topic: &str) -> Result<bool, Stopped> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Ok(true);
    }
    write!(out, "publish them to {topic}? [y/N] ")?;
    out.flush()?;
    let mut answer = String::new();
    input.lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The archive of one topic, and the chain of objects of each partition.
struct Archived {
    reader: Reader,
    chains: Vec<(Source, Vec<Link>)>,
}

impl Archived {
    fn open(runtime: &Runtime, config: &Config, asked: &Replay, topic: &str) -> Result<Archived, Stopped> {
        let bucket = bucket(config, asked.url.as_ref())?;
        let reader = runtime.block_on(Reader::open(bucket, None)).map_err(remedies::archive)?;
        let mut sources = runtime.block_on(reader.partitions()).map_err(remedies::archive)?;
        sources.retain(|source| source.topic == topic);
        if sources.is_empty() {
            let what = format!("the archive holds nothing of the topic {topic}");
            return Err(Stopped::usage(what, "`pricedrop archive status` lists the topics that it holds"));
        }
        let mut chains = Vec::new();
        for source in sources {
            let (_, links, findings) = runtime.block_on(reader.links(&source)).map_err(remedies::archive)?;
            findings.iter().try_for_each(|finding| damaged(&source, finding))?;
            chains.push((source, links));
        }
        Ok(Archived { reader, chains })
    }

    /// Passes every record to `each`, partition by partition and in order.
    fn each(
        &self,
        runtime: &Runtime,
        done: &str,
        mut see: impl FnMut(Position, &ArchivedRecord) -> Result<(), Stopped>,
    ) -> Result<(), Stopped> {
        let all: usize = self.chains.iter().map(|(_, links)| links.len()).sum();
        let (mut at, mut said) = (0, Instant::now());
        for (source, links) in &self.chains {
            let mut is_head = true;
            for link in links {
                let mut failed = None;
                let read = self.reader.read(link, |line| {
                    let Line::Record(record) = line else { return };
                    let position = Position { partition: Partition(source.partition), offset: record.offset };
                    if failed.is_none() {
                        failed = see(position, &record).err();
                    }
                });
                let finding = runtime.block_on(read).map_err(remedies::archive)?;
                failed.map_or(Ok(()), Err)?;
                match finding {
                    None => is_head = false,
                    // A lifecycle rule may have deleted the oldest objects.
                    Some(Finding::MissingObject { range, .. }) if is_head => {
                        writeln!(
                            anstream::stderr(),
                            "{source}: offsets {range} are no longer in the bucket"
                        )?;
                    }
                    Some(finding) => damaged(source, &finding)?,
                }
                at += 1;
                if said.elapsed() >= PROGRESS {
                    said = Instant::now();
                    writeln!(anstream::stderr(), "{done} {at} of {all} objects")?;
                }
            }
        }
        Ok(())
    }
}

/// Refuses a damaged archive; records that are recorded as lost are only reported.
fn damaged(source: &Source, finding: &Finding) -> Result<(), Stopped> {
    if finding.is_damage() {
        let remedy = "restore the object from a version or a replica of the bucket; `pricedrop archive verify` names all";
        return Err(Stopped::failed(format!("{source}: {finding}"), remedy));
    }
    writeln!(anstream::stderr(), "{source}: {finding}")?;
    Ok(())
}

/// Selects the records to replay.
struct Filter {
    since_ms: i64,
    until_ms: i64,
    product: Option<ProductId>,
    user: Option<UserId>,
    topic: ReplayTopic,
    /// Whether `--again` is given: records that an earlier `--again` published are left out.
    is_again: bool,
}

impl Filter {
    fn of(asked: &Replay) -> Result<Filter, Stopped> {
        let at = |name: &str, text: &Option<String>, otherwise| match text {
            None => Ok(otherwise),
            Some(text) => time::parse_rfc3339(text).ok_or_else(|| {
                Stopped::usage(
                    format!("--{name} {text:?} is not a time"),
                    "write it like 2026-11-30T22:00:00Z",
                )
            }),
        };
        let named = |text: String| Stopped::usage(text, "mend the option");
        let product = asked.product.as_deref().map(ProductId::new).transpose();
        let user = asked.user.as_deref().map(UserId::new).transpose();
        if asked.user.is_some() && asked.topic == ReplayTopic::Updates {
            return Err(Stopped::usage("--user is for notifications", "write --topic notifications"));
        }
        Ok(Filter {
            since_ms: at("since", &asked.since, i64::MIN)?,
            until_ms: at("until", &asked.until, i64::MAX)?,
            product: product.map_err(|error| named(format!("--product: {error}")))?,
            user: user.map_err(|error| named(format!("--user: {error}")))?,
            topic: asked.topic,
            is_again: asked.again.is_some(),
        })
    }

    fn takes(&self, record: &ArchivedRecord) -> bool {
        if self.is_again && is_again(record) {
            return false;
        }
        if !(self.since_ms..self.until_ms).contains(&record.timestamp_ms) {
            return false;
        }
        if self.product.is_none() && self.user.is_none() {
            return true;
        }
        let (product, user) = match self.topic {
            ReplayTopic::Updates => (product_of_update(record), None),
            ReplayTopic::Notifications => match notification(record) {
                Some(it) => (Some(it.product_id), Some(it.user_id)),
                None => (None, None),
            },
        };
        self.product.as_ref().is_none_or(|wanted| product.as_ref() == Some(wanted))
            && self.user.as_ref().is_none_or(|wanted| user.as_ref() == Some(wanted))
    }
}

/// Returns the product of an update; the key of a tombstone.
fn product_of_update(record: &ArchivedRecord) -> Option<ProductId> {
    match &record.value {
        Some(value) => Update::product_of(value),
        None => ProductId::new(std::str::from_utf8(record.key.as_ref()?).ok()?).ok(),
    }
}

fn notification(record: &ArchivedRecord) -> Option<Notification> {
    serde_json::from_slice(record.value.as_ref()?).ok()
}

/// The counts of the first pass.
#[derive(Default)]
struct Counts {
    records: u64,
    times_ms: Option<(i64, i64)>,
    users: HashSet<UserId>,
}

impl Counts {
    fn add(&mut self, record: &ArchivedRecord, topic: ReplayTopic) {
        self.records += 1;
        let at = record.timestamp_ms;
        let (first, last) = self.times_ms.unwrap_or((at, at));
        self.times_ms = Some((first.min(at), last.max(at)));
        if topic == ReplayTopic::Notifications {
            self.users.extend(notification(record).map(|it| it.user_id));
        }
    }

    fn describe(&self, topic: &str, kind: ReplayTopic) -> String {
        let mut text = format!("{topic}: {} records", self.records);
        if let Some((first, last)) = self.times_ms {
            text += &format!(", from {} to {}", time::write_rfc3339(first), time::write_rfc3339(last));
        }
        if kind == ReplayTopic::Notifications {
            text += &format!(", to {} users", self.users.len());
        }
        text
    }
}

/// What the second pass publishes.
struct Chosen<'a> {
    asked: &'a Replay,
    filter: Filter,
    seen: Seen,
}

fn publish(
    runtime: &Runtime,
    archive: &Archived,
    settings: &Settings,
    topic: &str,
    chosen: &Chosen<'_>,
) -> Result<u64, Stopped> {
    let Chosen { asked, filter, seen } = chosen;
    let again = asked.again.as_deref();
    let publisher = Republisher::new(settings, topic, again).map_err(remedies::kafka)?;
    let keeps_partitions = publisher.partitions() == archive.chains.len();
    let mut pace = Pace { rate: asked.rate.map(std::num::NonZeroU32::get), started: Instant::now(), sent: 0 };
    archive.each(runtime, "published", |position, record| {
        if seen.holds(position) || !filter.takes(record) {
            return Ok(());
        }
        let renamed = again.and_then(|name| once_more(record, name));
        if again.is_some() && renamed.is_none() {
            // The record is not a notification.
            return Ok(());
        }
        pace.wait(|| publisher.flush().map_err(remedies::kafka))?;
        let record = renamed.as_ref().unwrap_or(record);
        publisher.send(position, record, keeps_partitions).map_err(remedies::kafka)
    })?;
    publisher.flush().map_err(remedies::kafka)?;
    Ok(pace.sent)
}

/// Returns the notification with another id, and so with other delivery keys. One without
/// an id gets an id first.
fn once_more(record: &ArchivedRecord, name: &str) -> Option<ArchivedRecord> {
    let mut it = notification(record)?;
    let id = it.id.unwrap_or_else(|| NotificationId::of_parts(&it.user_id, &it.product_id, it.new_price));
    it.id = Some(id.again(name));
    let value = serde_json::to_vec(&it).ok()?;
    Some(ArchivedRecord { value: Some(value.into()), ..record.clone() })
}

/// Limits the rate of publishing, in records a second.
struct Pace {
    rate: Option<u32>,
    started: Instant,
    sent: u64,
}

impl Pace {
    /// Waits until the next record may be sent. Flushes the producer before it waits.
    fn wait(&mut self, flush: impl FnOnce() -> Result<(), Stopped>) -> Result<(), Stopped> {
        if let Some(rate) = self.rate {
            let turn = self.started + Duration::from_secs_f64(self.sent as f64 / f64::from(rate));
            let left = turn.saturating_duration_since(Instant::now());
            if left > Duration::from_millis(10) {
                flush()?;
                sleep(left);
            }
        }
        self.sent += 1;
        Ok(())
    }
}

//! `pricedrop replay`: publishes archived records to their topic again, or simulates them.
//!
//! The first pass over the archive counts the selected records. With `--publish`, and after the
//! operator has confirmed on a terminal, a second pass publishes them. It skips the records that an
//! earlier replay published, so an interrupted replay can be started again.

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
use super::progress::Progress;
use crate::cli::{Replay, ReplayTopic, Simulate};
use crate::config::Config;
use crate::printable::printable;
use crate::remedies;
use crate::report::CliError;

/// Runs the command.
///
/// # Errors
/// The archive is not complete, or Kafka refuses the records.
pub fn execute(config: &Config, args: &Replay) -> Result<(), CliError> {
    let settings = config.stores.kafka().then(|| config.kafka_settings(false)).transpose()?;
    if args.publish && settings.is_none() {
        return Err(CliError::usage(
            "records can be published to Kafka only, and stores.log is \"embedded\"",
            "name a configuration with stores.log = \"kafka\"; without --publish the records are counted, with --simulate they are decided",
        ));
    }
    let topic = match (args.topic, &settings) {
        (ReplayTopic::Updates, Some(settings)) => settings.topics.prices.clone(),
        (ReplayTopic::Notifications, Some(settings)) => settings.topics.notifications.clone(),
        (ReplayTopic::Updates, None) => ArchivedTopic::Updates.name().to_owned(),
        (ReplayTopic::Notifications, None) => ArchivedTopic::Notifications.name().to_owned(),
    };
    if args.again.is_some() && args.topic == ReplayTopic::Updates {
        return Err(CliError::usage(
            "--again repeats deliveries of notifications, and updates are not delivered",
            "use --topic notifications",
        ));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let filter = Filter::of(args)?;
    if let Some(watches) = &args.simulate {
        return simulate(runtime, config, args, (topic, filter), watches.clone());
    }
    let archive = TopicArchive::open(&runtime, config, args, &topic)?;
    let mut counts = Counts::default();
    archive.for_each_record(&runtime, "counted", |_, record| {
        if filter.takes(record) {
            counts.add(record, args.topic);
        }
        Ok(())
    })?;
    let mut out = anstream::stdout();
    writeln!(out, "{}", counts.describe(&topic, args.topic))?;
    let Some(settings) = settings.filter(|_| args.publish) else {
        writeln!(out, "nothing was published; --publish publishes them to {topic}")?;
        return Ok(());
    };
    let seen = Republisher::seen(&settings, &topic, args.again.as_deref()).map_err(remedies::kafka)?;
    if seen.count() > 0 {
        writeln!(out, "{} records were published before, and are skipped", seen.count())?;
    }
    if !args.yes && !confirmed(&mut out, &topic)? {
        writeln!(out, "nothing was published")?;
        return Ok(());
    }
    let published = publish(&runtime, &archive, &settings, &topic, &Selection { args, filter, seen })?;
    writeln!(out, "published {published} records to {topic}")?;
    Ok(())
}

/// Decides the archived updates with the watches of a file.
fn simulate(
    runtime: Runtime,
    config: &Config,
    args: &Replay,
    (topic, filter): (String, Filter),
    watches: PathBuf,
) -> Result<(), CliError> {
    if args.topic != ReplayTopic::Updates {
        return Err(CliError::usage("only updates can be simulated", "use --topic updates"));
    }
    let archive = TopicArchive::open(&runtime, config, args, &topic)?;
    let (lines, mut written) = std::io::pipe()?;
    let reading = std::thread::spawn(move || {
        archive.for_each_record(&runtime, "read", |_, record| {
            if filter.takes(record) {
                let mut line = Line::Record(record.clone()).to_json();
                line.push(b'\n');
                written.write_all(&line)?;
            }
            Ok(())
        })
    });
    let args = Simulate { watches, updates: PathBuf::new(), plugins: None, stats: true };
    let simulated = super::simulate::run_on(config, &args, lines);
    let read = reading.join().map_err(|_| CliError::failed("reading the archive panicked", ""))?;
    simulated.and(read)
}

/// Asks for confirmation on a terminal; without one, returns true.
fn confirmed(out: &mut impl Write, topic: &str) -> Result<bool, CliError> {
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
struct TopicArchive {
    reader: Reader,
    chains: Vec<(Source, Vec<Link>)>,
}

impl TopicArchive {
    fn open(
        runtime: &Runtime,
        config: &Config,
        args: &Replay,
        topic: &str,
    ) -> Result<TopicArchive, CliError> {
        let bucket = bucket(config, args.url.as_ref())?;
        let reader = runtime.block_on(Reader::open(bucket, None)).map_err(remedies::archive)?;
        let mut sources = runtime.block_on(reader.partitions()).map_err(remedies::archive)?;
        sources.retain(|source| source.topic == topic);
        if sources.is_empty() {
            let what = format!("the archive contains no records of the topic {topic}");
            return Err(CliError::usage(what, "`pricedrop archive status` lists its topics"));
        }
        let mut chains = Vec::new();
        for source in sources {
            let (_, links, findings) = runtime.block_on(reader.links(&source)).map_err(remedies::archive)?;
            findings.iter().try_for_each(|finding| check_finding(&source, finding))?;
            chains.push((source, links));
        }
        Ok(TopicArchive { reader, chains })
    }

    /// Passes every record to `visit`, partition by partition and in order.
    fn for_each_record(
        &self,
        runtime: &Runtime,
        done_to: &str,
        mut visit: impl FnMut(Position, &ArchivedRecord) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let all: usize = self.chains.iter().map(|(_, links)| links.len()).sum();
        let mut progress = Progress::new(done_to, all);
        for (source, links) in &self.chains {
            let mut is_head = true;
            for link in links {
                let mut failed = None;
                let read = self.reader.read(link, |line| {
                    let Line::Record(record) = line else { return };
                    let position = Position { partition: Partition(source.partition), offset: record.offset };
                    if failed.is_none() {
                        failed = visit(position, &record).err();
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
                    Some(finding) => check_finding(source, &finding)?,
                }
                progress.advance()?;
            }
        }
        Ok(())
    }
}

/// Refuses a damaged archive; records that are recorded as lost are only reported.
fn check_finding(source: &Source, finding: &Finding) -> Result<(), CliError> {
    if finding.is_damage() {
        let remedy = "restore the object from a version or a replica of the bucket; `pricedrop archive verify` lists all";
        return Err(CliError::failed(format!("{source}: {finding}"), remedy));
    }
    writeln!(anstream::stderr(), "{}", printable(&format!("{source}: {finding}")))?;
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
    fn of(args: &Replay) -> Result<Filter, CliError> {
        let at = |name: &str, text: &Option<String>, otherwise| match text {
            None => Ok(otherwise),
            Some(text) => time::parse_rfc3339(text).ok_or_else(|| {
                CliError::usage(
                    format!("--{name} {text:?} is not a time"),
                    "write it as in 2026-11-30T22:00:00Z",
                )
            }),
        };
        let named = |text: String| CliError::usage(text, "correct the option");
        let product = args.product.as_deref().map(ProductId::new).transpose();
        let user = args.user.as_deref().map(UserId::new).transpose();
        if args.user.is_some() && args.topic == ReplayTopic::Updates {
            return Err(CliError::usage("--user applies to notifications only", "use --topic notifications"));
        }
        Ok(Filter {
            since_ms: at("since", &args.since, i64::MIN)?,
            until_ms: at("until", &args.until, i64::MAX)?,
            product: product.map_err(|error| named(format!("--product: {error}")))?,
            user: user.map_err(|error| named(format!("--user: {error}")))?,
            topic: args.topic,
            is_again: args.again.is_some(),
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
struct Selection<'a> {
    args: &'a Replay,
    filter: Filter,
    seen: Seen,
}

fn publish(
    runtime: &Runtime,
    archive: &TopicArchive,
    settings: &Settings,
    topic: &str,
    selection: &Selection<'_>,
) -> Result<u64, CliError> {
    let Selection { args, filter, seen } = selection;
    let again = args.again.as_deref();
    let publisher = Republisher::new(settings, topic, again).map_err(remedies::kafka)?;
    let keeps_partitions = publisher.partitions() == archive.chains.len();
    let mut pace = Pace { rate: args.rate.map(std::num::NonZeroU32::get), started: Instant::now(), sent: 0 };
    archive.for_each_record(runtime, "published", |position, record| {
        if seen.holds(position) || !filter.takes(record) {
            return Ok(());
        }
        let renamed = again.and_then(|name| with_new_id(record, name));
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
fn with_new_id(record: &ArchivedRecord, name: &str) -> Option<ArchivedRecord> {
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
    fn wait(&mut self, flush: impl FnOnce() -> Result<(), CliError>) -> Result<(), CliError> {
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

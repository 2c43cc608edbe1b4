//! `pricedrop archive`: what the archive contains, whether it is complete, and how to record
//! a loss of records that were deleted before they were archived.

use std::io::Write;

use pricedrop_archive::{Appended, Bucket, Chain, PartitionStatus, Reader, Source};
use pricedrop_embedded::ArchivedTopic;
use pricedrop_kafka as kafka;
use pricedrop_model::archive::ArchiveSource;
use pricedrop_model::{Partition, time};
use serde_json::json;

use super::progress::Progress;
use crate::cli::{self, Archive};
use crate::config::Config;
use crate::printable::{printable, printable_json};
use crate::remedies::{self, SEE_STORE};
use crate::report::CliError;
use crate::run::embedded;

/// Runs the subcommand.
///
/// # Errors
/// The archive cannot be read, or it is not complete.
pub fn execute(config: &Config, args: &Archive) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        match args {
            Archive::Status(args) => status(config, args).await,
            Archive::Verify(args) => verify(config, args).await,
            Archive::AcceptLoss { topic, partition } => accept_loss(config, topic, *partition).await,
        }
    })
}

/// Opens the archive named on the command line, else the configured one.
pub(super) fn bucket(config: &Config, url: Option<&String>) -> Result<Bucket, CliError> {
    let archive = match url {
        Some(url) => config.archive_options_at(url)?,
        None if config.archive_is_on() => config.archive_options()?,
        None => {
            return Err(CliError::usage(
                "archive.url is not set, so there is no archive to read",
                "name the URL of an archive, or a configuration with --config that sets archive.url",
            ));
        }
    };
    Bucket::open(&archive.options, archive.client).map_err(remedies::archive)
}

async fn status(config: &Config, args: &cli::ArchiveStatus) -> Result<(), CliError> {
    let reader = Reader::open(bucket(config, args.url.as_ref())?, None).await.map_err(remedies::archive)?;
    let mut out = anstream::stdout();
    let mut is_damaged = false;
    let partitions = reader.partitions().await.map_err(remedies::archive)?;
    if partitions.is_empty() && !args.json {
        writeln!(out, "nothing has been archived yet")?;
    }
    for source in partitions {
        let status = reader.status(&source).await.map_err(remedies::archive)?;
        is_damaged |= status.findings.iter().any(pricedrop_archive::Finding::is_damage);
        match args.json {
            true => writeln!(out, "{}", printable_json(&as_json(&status).to_string()))?,
            false => print(&mut out, &status)?,
        }
    }
    refuse_damage(is_damaged)
}

fn refuse_damage(is_damaged: bool) -> Result<(), CliError> {
    match is_damaged {
        false => Ok(()),
        true => Err(CliError::failed(
            "the archive is not complete",
            "restore the objects named above from a version or a replica of the bucket",
        )),
    }
}

fn print(out: &mut impl Write, status: &PartitionStatus) -> std::io::Result<()> {
    let PartitionStatus { source, first, next, objects, bytes, .. } = status;
    let written = status
        .last_written_ms
        .map_or_else(String::new, |at| format!(", last written {}", time::write_rfc3339(at)));
    match next > first {
        true => writeln!(
            out,
            "{source}  offsets {first}-{}, {objects} objects, {bytes} bytes{written}",
            next - 1
        )?,
        false => writeln!(out, "{source}  begins at offset {first}, nothing is archived yet")?,
    }
    status.findings.iter().try_for_each(|finding| writeln!(out, "  {}", printable(&finding.to_string())))
}

fn as_json(status: &PartitionStatus) -> serde_json::Value {
    json!({
        "topic": status.source.topic,
        "partition": status.source.partition,
        "firstOffset": status.first,
        "nextOffset": status.next,
        "objects": status.objects,
        "bytes": status.bytes,
        "lastWrittenMs": status.last_written_ms,
        "findings": status.findings.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

async fn verify(config: &Config, args: &cli::ArchiveVerify) -> Result<(), CliError> {
    let reader = Reader::open(bucket(config, args.url.as_ref())?, None).await.map_err(remedies::archive)?;
    let mut out = anstream::stdout();
    let (mut records, mut objects, mut is_damaged) = (0_u64, 0_u64, false);
    let mut sources = reader.partitions().await.map_err(remedies::archive)?;
    sources.retain(|source| args.topic.as_ref().is_none_or(|topic| *topic == source.topic));
    for source in sources {
        let (_, links, chain_findings) = reader.links(&source).await.map_err(remedies::archive)?;
        let mut findings = chain_findings;
        let mut progress = Progress::new(format!("{source}: read"), links.len());
        for link in &links {
            let is_record = |line| u64::from(matches!(line, pricedrop_archive::Line::Record(_)));
            let found =
                reader.read(link, |line| records += is_record(line)).await.map_err(remedies::archive)?;
            findings.extend(found);
            objects += 1;
            progress.advance()?;
        }
        for finding in &findings {
            writeln!(out, "{}", printable(&format!("{source}  {finding}")))?;
        }
        is_damaged |= findings.iter().any(pricedrop_archive::Finding::is_damage);
    }
    writeln!(out, "{records} records in {objects} objects were read")?;
    refuse_damage(is_damaged)
}

async fn accept_loss(config: &Config, topic: &str, partition: i32) -> Result<(), CliError> {
    let source = Source { topic: topic.to_owned(), partition };
    let bucket = bucket(config, None)?;
    let (owner, first) = match config.stores.kafka() {
        true => first_in_kafka(config, topic.to_owned(), Partition(partition)).await?,
        false => first_on_disk(config, topic, Partition(partition))?,
    };
    bucket.check_marker(Some(&owner)).await.map_err(remedies::archive)?;
    let mut chain = Chain::open(&bucket, source.clone()).await.map_err(remedies::archive)?;
    let mut out = anstream::stdout();
    while chain.next().is_some_and(|next| next < first) && chain.adopt().await.map_err(remedies::archive)? {
        writeln!(
            out,
            "{source}: an archiver was killed before it linked its object; the object is linked now"
        )?;
    }
    match chain.next() {
        Some(next) if first > next => match chain.append_loss(first - 1).await.map_err(remedies::archive)? {
            Appended::Ours => writeln!(out, "{source}: offsets {next}-{} are recorded as lost", first - 1)?,
            Appended::Theirs => writeln!(
                out,
                "{source}: another archiver changed the archive meanwhile; see `pricedrop archive status`"
            )?,
        },
        _ => writeln!(out, "{source}: no records are lost; nothing was recorded")?,
    }
    Ok(())
}

/// Returns the owner of the archive, and the first offset that the topic still holds.
async fn first_in_kafka(
    config: &Config,
    topic: String,
    partition: Partition,
) -> Result<(String, i64), CliError> {
    let settings = config.kafka_settings(false)?;
    let group = settings.group.clone();
    let first = move || kafka::first_offset(&settings, &topic, partition);
    let first = tokio::task::spawn_blocking(first).await.map_err(|error| CliError::failed(error, ""))?;
    Ok((group, first.map_err(remedies::kafka)?))
}

/// The same for the embedded store, which must not be in use.
fn first_on_disk(config: &Config, topic: &str, partition: Partition) -> Result<(String, i64), CliError> {
    let known = ArchivedTopic::ALL.into_iter().find(|known| known.name() == topic);
    let Some(known) = known.filter(|_| partition == Partition(0)) else {
        let names = ArchivedTopic::ALL.map(ArchivedTopic::name).join(", ");
        let what = format!("the embedded store has no partition {} of a topic {topic}", partition.0);
        return Err(CliError::usage(what, format!("name partition 0 of {names}")));
    };
    let store = embedded::build(config)?;
    let offsets = store.archive_source(known).offsets(partition);
    let (first, _) = offsets.map_err(|error| CliError::failed(error, SEE_STORE))?;
    Ok((embedded::archive_owner(&store), first))
}

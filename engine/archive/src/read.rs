//! Reads an archive: its status, its records, and what is missing or damaged.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use futures::stream;
use object_store::path::Path;

use crate::bucket::Bucket;
use crate::chain::{Link, parse, read_start};
use crate::error::Error;
use crate::name::{CHAINS, Range, Source, first_of_link};
use crate::object;
use crate::record::Line;

/// Links that are read concurrently.
const LINKS_AT_ONCE: usize = 32;

/// Reads the archive of a bucket.
#[derive(Debug, Clone)]
pub struct Reader {
    bucket: Bucket,
}

/// A loss, a damage or a leftover in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// Records were lost before they could be archived.
    Lost(Range),
    /// No link begins at this offset, and a later one exists.
    MissingLink {
        /// The offset at which a link is missing.
        first: i64,
        /// The offset at which the next link begins.
        next: i64,
    },
    /// A link names an object that is missing.
    MissingObject {
        /// The offsets of the object.
        range: Range,
        /// The name of the object.
        name: String,
    },
    /// An object or a link is missing or does not have the content that was written.
    Damaged {
        /// The name of the object or link.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The bucket holds an object that no link names. It is not part of the archive.
    Unlinked(String),
}

impl Finding {
    /// Returns whether archived records are missing or damaged, or their links.
    pub fn is_damage(&self) -> bool {
        !matches!(self, Finding::Lost(_) | Finding::Unlinked(_))
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Finding::Lost(range) => {
                write!(
                    f,
                    "offsets {range} are recorded as lost: the topic deleted them before they were archived"
                )
            }
            Finding::MissingLink { first, next } => {
                write!(f, "offsets {} have no link", Range { first: *first, last: next - 1 })
            }
            Finding::MissingObject { range, name } => {
                write!(f, "offsets {range} are missing: {name} does not exist")
            }
            Finding::Damaged { name, reason } => write!(f, "{name} is damaged: {reason}"),
            Finding::Unlinked(name) => {
                write!(f, "{name} is no part of the archive: a writer ended before it was linked")
            }
        }
    }
}

/// The state of one partition in the archive.
#[derive(Debug, Clone)]
pub struct PartitionStatus {
    /// The partition.
    pub source: Source,
    /// The first offset of its chain.
    pub first: i64,
    /// The first offset that its chain does not cover.
    pub next: i64,
    /// Number of linked objects that exist.
    pub objects: u64,
    /// Bytes of those objects, compressed.
    pub bytes: u64,
    /// Time at which the newest object was written, epoch milliseconds.
    pub last_written_ms: Option<i64>,
    /// Losses, damages and leftovers.
    pub findings: Vec<Finding>,
}

impl Reader {
    /// Opens the archive of this group, or (none) of any group.
    ///
    /// # Errors
    /// The bucket cannot be read, holds no archive, or holds that of another group.
    pub async fn open(bucket: Bucket, group: Option<&str>) -> Result<Reader, Error> {
        bucket.check_marker(group).await?;
        Ok(Reader { bucket })
    }

    /// Lists the partitions that have a chain, ordered by topic and number.
    ///
    /// # Errors
    /// The bucket cannot be read.
    pub async fn partitions(&self) -> Result<Vec<Source>, Error> {
        let mut sources = Vec::new();
        for topic in self.bucket.folders(&Path::from(CHAINS)).await? {
            let folders = self.bucket.folders(&topic).await?;
            sources.extend(folders.iter().filter_map(Source::of_links));
        }
        sources.sort();
        Ok(sources)
    }

    /// Reads the chain of a partition. Returns its first offset, its links in offset order, and the
    /// findings.
    ///
    /// # Errors
    /// The bucket cannot be read.
    pub async fn links(&self, source: &Source) -> Result<(i64, Vec<Link>, Vec<Finding>), Error> {
        let (mut links, mut findings) = (Vec::new(), Vec::new());
        let listed = self.bucket.list(&source.links()).await?;
        let mut firsts: Vec<i64> =
            listed.iter().filter_map(|object| first_of_link(&object.location)).collect();
        firsts.sort_unstable();
        let start = self.start(source, &mut findings).await?.or(firsts.first().copied()).unwrap_or(0);
        let mut next = start;
        let read = |first: i64| async move {
            let path = source.link(first);
            let json = self.bucket.get(&path).await?;
            Ok::<_, Error>((first, path, json))
        };
        let mut read = stream::iter(firsts).map(read).buffered(LINKS_AT_ONCE);
        while let Some(link) = read.next().await {
            let (first, path, json) = link?;
            if first > next {
                findings.push(Finding::MissingLink { first: next, next: first });
            }
            let Some(json) = json else {
                findings.push(Finding::Damaged { name: path.to_string(), reason: "it is missing".into() });
                continue;
            };
            match parse(&path, first, &json) {
                Ok(link) if first >= next => {
                    next = link.last + 1;
                    links.push(link);
                }
                Ok(link) => findings.push(Finding::Damaged {
                    name: path.to_string(),
                    reason: format!(
                        "it covers the offsets {}, and those before {next} are covered",
                        link.range()
                    ),
                }),
                Err(error) => {
                    findings.push(Finding::Damaged { name: path.to_string(), reason: error.to_string() });
                }
            }
        }
        Ok((start, links, findings))
    }

    async fn start(&self, source: &Source, findings: &mut Vec<Finding>) -> Result<Option<i64>, Error> {
        let name = source.start().to_string();
        let reason = match read_start(&self.bucket, source).await {
            Ok(Some(start)) => return Ok(Some(start.first)),
            Ok(None) => "it is missing".into(),
            Err(Error::Damaged { reason, .. }) => reason.to_string(),
            Err(error) => return Err(error),
        };
        findings.push(Finding::Damaged { name, reason });
        Ok(None)
    }

    /// Returns the state of a partition. Compares names and lengths only; reads no data object.
    ///
    /// # Errors
    /// The bucket cannot be read.
    pub async fn status(&self, source: &Source) -> Result<PartitionStatus, Error> {
        let (first, links, mut findings) = self.links(source).await?;
        let listed = self.bucket.list(&source.data()).await?;
        let mut there: BTreeMap<String, _> = listed
            .into_iter()
            .filter(|object| source.range_of(&object.location).is_some())
            .map(|object| (object.location.to_string(), object))
            .collect();
        let mut status = PartitionStatus {
            source: source.clone(),
            first,
            next: links.last().map_or(first, |link| link.last + 1),
            objects: 0,
            bytes: 0,
            last_written_ms: None,
            findings: Vec::new(),
        };
        for link in &links {
            if link.is_empty {
                continue;
            }
            let Some(linked) = &link.object else {
                findings.push(Finding::Lost(link.range()));
                continue;
            };
            match there.remove(&linked.name) {
                None => {
                    findings.push(Finding::MissingObject { range: link.range(), name: linked.name.clone() })
                }
                Some(object) if object.size != linked.bytes => findings.push(Finding::Damaged {
                    name: linked.name.clone(),
                    reason: format!("it has {} bytes, and had {}", object.size, linked.bytes),
                }),
                Some(object) => {
                    status.objects += 1;
                    status.bytes += object.size;
                    let written = object.last_modified.timestamp_millis();
                    status.last_written_ms = status.last_written_ms.max(Some(written));
                }
            }
        }
        // An object that begins at the end of the chain may be about to be linked.
        let is_left = |object: &Path| source.range_of(object).is_some_and(|range| range.first < status.next);
        there.retain(|_, object| is_left(&object.location));
        findings.extend(there.into_keys().map(Finding::Unlinked));
        status.findings = findings;
        Ok(status)
    }

    /// Reads the object of a link and calls `see` with each line. Returns a finding if the records
    /// were lost or the object is damaged; then `see` got only the lines before the damage.
    ///
    /// # Errors
    /// The bucket cannot be read.
    pub async fn read(&self, link: &Link, see: impl FnMut(Line)) -> Result<Option<Finding>, Error> {
        if link.is_empty {
            return Ok(None);
        }
        let Some(linked) = &link.object else { return Ok(Some(Finding::Lost(link.range()))) };
        let path = Path::from(linked.name.as_str());
        let Some(bytes) = self.bucket.get(&path).await? else {
            return Ok(Some(Finding::MissingObject { range: link.range(), name: linked.name.clone() }));
        };
        let damaged = |reason: String| Ok(Some(Finding::Damaged { name: linked.name.clone(), reason }));
        if object::sha256(&bytes) != linked.sha256 {
            return damaged("its SHA-256 is not the one in its link".into());
        }
        match object::read(&bytes, link.range(), see) {
            Err(reason) => damaged(reason),
            Ok((records, _)) if records != linked.records => {
                damaged(format!("it holds {records} records, and its link says {}", linked.records))
            }
            Ok(_) => Ok(None),
        }
    }
}

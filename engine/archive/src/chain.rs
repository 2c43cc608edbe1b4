//! The chain of one partition: the list of its objects in offset order.
//!
//! Invariant: the offsets of a chain have no hole and no overlap, even if several writers append
//! concurrently or crash at any moment.
//!
//! An object is in the archive once a link names it. A link is written with `If-None-Match: *`, and
//! its name contains only its first offset. So at most one link begins at an offset, and it never
//! changes:
//!
//! ```text
//! _chain/…/start.json          {"first": 5, "topicId": "…"}
//! _chain/…/00…05.json  ──────▶ topic=…/…+00…05-00…41.jsonl.zst
//! _chain/…/00…42.json  ──────▶ topic=…/…+00…42-00…99.jsonl.zst
//! _chain/…/00…0100.json        {"first": 100, "last": 180}                     lost
//! _chain/…/00…0181.json        {"first": 181, "last": 182, "isEmpty": true}    no record
//! ```
//!
//! A writer writes its object first and its link second. If another writer's link exists, it
//! deletes its own object and continues after the winner's last offset. A writer that crashes
//! between the two writes leaves an object without a link. That object is not part of the archive,
//! and is deleted once a link begins at its first offset.

use std::collections::BTreeMap;

use object_store::path::Path;
use pricedrop_model::Cause;
use serde::{Deserialize, Serialize};

use crate::bucket::Bucket;
use crate::error::Error;
use crate::name::{Range, Source, first_of_link};
use crate::object::{self, Closed, Object};
use crate::record::Line;

/// The content of a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// The first offset it covers.
    pub first: i64,
    /// The last offset it covers.
    pub last: i64,
    /// The object. `None` means the records were lost, or (`is_empty`) there were none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<LinkedObject>,
    /// Whether the offsets hold no record.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_empty: bool,
    /// The chain's last record, if it is not at the link's last offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_record: Option<LastRecord>,
}

/// The last record of a chain. It is compared with the topic to detect a topic that was created
/// again under the same name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRecord {
    /// The record's offset.
    pub offset: i64,
    /// SHA-256 of the record's line, hexadecimal.
    pub sha256: String,
}

/// The object that a link names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkedObject {
    /// Name of the object in the bucket.
    pub name: String,
    /// Number of records.
    pub records: u64,
    /// Length, compressed bytes.
    pub bytes: u64,
    /// SHA-256 of the compressed bytes, hexadecimal.
    pub sha256: String,
    /// SHA-256 of the last record's line, hexadecimal.
    pub last_line_sha256: String,
}

impl Link {
    /// The offsets it covers.
    pub fn range(&self) -> Range {
        Range { first: self.first, last: self.last }
    }

    fn to(Range { first, last }: Range, object: LinkedObject, last_offset: i64) -> Link {
        let last_record = (last_offset < last)
            .then(|| LastRecord { offset: last_offset, sha256: object.last_line_sha256.clone() });
        Link { first, last, object: Some(object), is_empty: false, last_record }
    }

    fn last_record(&self) -> Option<LastRecord> {
        let at_the_end =
            |object: &LinkedObject| LastRecord { offset: self.last, sha256: object.last_line_sha256.clone() };
        self.last_record.clone().or_else(|| self.object.as_ref().map(at_the_end))
    }
}

/// The content of `start.json`: where a chain begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Start {
    pub(crate) first: i64,
    /// The topic's id, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topic_id: Option<String>,
}

/// The end of one partition's chain, for appending.
#[derive(Debug)]
pub struct Chain {
    bucket: Bucket,
    source: Source,
    /// The offset at which the next link begins. `None` means the chain has not begun.
    next: Option<i64>,
    /// The last link.
    last: Option<Link>,
    /// The topic's id, if it was known when the chain began.
    topic_id: Option<String>,
}

/// The outcome of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// The object or range is in the archive.
    Ours,
    /// Another writer was first. Continue at the chain's next offset.
    Theirs,
}

impl Chain {
    /// Finds the end of a chain, and deletes objects before it that crashed writers left.
    ///
    /// # Errors
    /// The bucket cannot be read, or a link is missing or damaged.
    pub async fn open(bucket: &Bucket, source: Source) -> Result<Chain, Error> {
        let mut chain = Chain { bucket: bucket.clone(), source, next: None, last: None, topic_id: None };
        let links = bucket.list(&chain.source.links()).await?;
        let mut links: Vec<i64> = links.iter().filter_map(|link| first_of_link(&link.location)).collect();
        links.sort_unstable();
        let start = match read_start(bucket, &chain.source).await? {
            Some(start) => start,
            None if links.is_empty() => return Ok(chain),
            // A new chain could overlap the existing links.
            None => return Err(Error::damaged(&chain.source.start(), "it is missing, and links exist")),
        };
        chain.topic_id = start.topic_id;
        chain.next = Some(links.last().copied().unwrap_or(start.first));
        chain.follow().await?;
        chain.delete_unlinked(&links).await;
        Ok(chain)
    }

    /// The offset at which the next object begins. `None` means the chain has not begun.
    pub fn next(&self) -> Option<i64> {
        self.next
    }

    /// The last link.
    pub fn last(&self) -> Option<&Link> {
        self.last.as_ref()
    }

    /// The last record of the chain; none if it has no record.
    pub fn last_record(&self) -> Option<LastRecord> {
        self.last.as_ref()?.last_record()
    }

    /// The topic's id, if it was known when the chain began.
    pub fn topic_id(&self) -> Option<&str> {
        self.topic_id.as_deref()
    }

    /// Begins a chain at this offset, with the topic's id if it has one. If another writer began
    /// the chain meanwhile, adopts its offset and id. A chain that has begun stays as it is.
    ///
    /// # Errors
    /// The bucket cannot be read or written.
    pub async fn begin(&mut self, first: i64, topic_id: Option<&str>) -> Result<(), Error> {
        if self.next.is_some() {
            return Ok(());
        }
        let start = Start { first, topic_id: topic_id.map(str::to_owned) };
        let json = serde_json::to_vec(&start).expect("numbers and texts can be written as JSON");
        self.bucket.put_new(&self.source.start(), json.into()).await?;
        // Always read back: a retried request cannot tell its own object from another writer's.
        let Some(start) = read_start(&self.bucket, &self.source).await? else {
            return Err(conflict(&self.source.start()));
        };
        (self.next, self.topic_id) = (Some(start.first), start.topic_id);
        self.follow().await
    }

    /// Appends an object that begins at the chain's next offset.
    ///
    /// # Errors
    /// A transient error: append the same object again. Any other: the bucket needs an operator.
    pub async fn append(&mut self, object: &Object) -> Result<Appended, Error> {
        debug_assert_eq!(self.next, Some(object.range.first), "an object continues its chain");
        let name = self.source.object(object.range, object.first_timestamp_ms);
        let linked = match self.bucket.put_new(&name, object.bytes.clone()).await? {
            true => LinkedObject::of(&name, object),
            false => self.existing(&name, object).await?,
        };
        self.put_link(Link::to(object.range, linked, object.last_offset), Some(&name)).await
    }

    /// Appends a closed object, or a range of offsets without records.
    ///
    /// # Errors
    /// As for [`Chain::append`].
    pub async fn append_closed(&mut self, closed: &Closed) -> Result<Appended, Error> {
        match closed {
            Closed::Object(object) => self.append(object).await,
            Closed::Empty(range) => {
                debug_assert_eq!(self.next, Some(range.first), "offsets continue their chain");
                self.put_link(self.without_object(*range, true), None).await
            }
        }
    }

    /// Appends a link that records a loss: the offsets from the chain's next one to `last`.
    ///
    /// # Errors
    /// The chain has not begun, or the bucket cannot be written.
    pub async fn append_loss(&mut self, last: i64) -> Result<Appended, Error> {
        let first =
            self.next.ok_or_else(|| Error::Refused(format!("{} has no chain", self.source).into()))?;
        self.put_link(self.without_object(Range { first, last }, false), None).await
    }

    /// Links an object that a crashed writer left at the chain's end, because the topic may no
    /// longer hold its records. Returns false if there is no intact object.
    ///
    /// # Errors
    /// The bucket cannot be read or written.
    pub async fn adopt(&mut self) -> Result<bool, Error> {
        let mut found: Vec<(Range, Path)> = Vec::new();
        for object in self.bucket.list(&self.source.data()).await? {
            let range = self.source.range_of(&object.location);
            found.extend(range.filter(|range| Some(range.first) == self.next).zip(Some(object.location)));
        }
        // Try the longest range first.
        found.sort_by_key(|(range, _)| std::cmp::Reverse(range.last));
        for (range, name) in found {
            let Some(bytes) = self.bucket.get(&name).await? else { continue };
            let mut last_offset = range.last;
            let see = |line| {
                if let Line::Record(record) = line {
                    last_offset = record.offset;
                }
            };
            let Ok((records, last_line_sha256)) = object::read(&bytes, range, see) else { continue };
            let linked = LinkedObject {
                name: name.to_string(),
                records,
                bytes: bytes.len() as u64,
                sha256: object::sha256(&bytes),
                last_line_sha256,
            };
            tracing::warn!(object = %name, "linking an object that a killed archiver left");
            self.put_link(Link::to(range, linked, last_offset), Some(&name)).await?;
            return Ok(true);
        }
        Ok(false)
    }

    fn without_object(&self, Range { first, last }: Range, is_empty: bool) -> Link {
        Link { first, last, object: None, is_empty, last_record: self.last_record() }
    }

    async fn put_link(&mut self, link: Link, object: Option<&Path>) -> Result<Appended, Error> {
        let json = serde_json::to_vec(&link).expect("texts and numbers can be written as JSON");
        let path = self.source.link(link.first);
        let is_new = self.bucket.put_new(&path, json.into()).await?;
        let counts = match is_new {
            true => link.clone(),
            false => self.find_link(link.first).await?.ok_or_else(|| conflict(&path))?,
        };
        let is_ours = counts == link;
        if let (false, Some(object)) = (is_ours, object)
            && counts.object.as_ref().is_none_or(|winner| winner.name != object.as_ref())
            && let Err(error) = self.bucket.delete(object).await
        {
            tracing::warn!(%error, "an object that is no part of the archive stays in the bucket");
        }
        self.advance(counts);
        if is_ours {
            return Ok(Appended::Ours);
        }
        // This append has its outcome. Links that cannot be read now are found by the next append.
        if let Err(error) = self.follow().await {
            tracing::debug!(%error, "following the chain of another writer");
        }
        Ok(Appended::Theirs)
    }

    /// Reads and checks the object of this name that another writer left. It must hold the same
    /// records; its bytes may differ, for example because of another version of Zstandard.
    async fn existing(&self, name: &Path, ours: &Object) -> Result<LinkedObject, Error> {
        let Some(bytes) = self.bucket.get(name).await? else {
            return Err(Error::Unavailable(format!("{name} was there, and was deleted meanwhile").into()));
        };
        if bytes == ours.bytes {
            return Ok(LinkedObject::of(name, ours));
        }
        let (records, last_line_sha256) =
            object::read(&bytes, ours.range, |_| {}).map_err(|reason| Error::damaged(name, reason))?;
        if (records, &last_line_sha256) != (ours.records, &ours.last_line_sha256) {
            return Err(Error::damaged(name, "it holds other records than the topic"));
        }
        Ok(LinkedObject {
            name: name.to_string(),
            records,
            bytes: bytes.len() as u64,
            sha256: object::sha256(&bytes),
            last_line_sha256,
        })
    }

    /// Advances past every link that follows the known end.
    async fn follow(&mut self) -> Result<(), Error> {
        while let Some(next) = self.next {
            let path = self.source.link(next);
            let Some(json) = self.bucket.get(&path).await? else { break };
            self.advance(parse(&path, next, &json)?);
        }
        Ok(())
    }

    fn advance(&mut self, link: Link) {
        self.next = Some(link.last + 1);
        self.last = Some(link);
    }

    async fn find_link(&self, first: i64) -> Result<Option<Link>, Error> {
        let path = self.source.link(first);
        let json = self.bucket.get(&path).await?;
        json.map(|json| parse(&path, first, &json)).transpose()
    }

    /// Deletes objects before the chain's end that no link names. Reads a link only if several
    /// objects begin at its first offset; a single one is the linked object.
    async fn delete_unlinked(&self, links: &[i64]) {
        let deleted = async {
            let mut by_first: BTreeMap<i64, Vec<Path>> = BTreeMap::new();
            for object in self.bucket.list(&self.source.data()).await? {
                let range = self.source.range_of(&object.location);
                if let Some(range) = range.filter(|range| self.next.is_some_and(|next| range.first < next)) {
                    by_first.entry(range.first).or_default().push(object.location);
                }
            }
            by_first.retain(|first, objects| objects.len() > 1 && links.binary_search(first).is_ok());
            for (first, objects) in by_first {
                let Some(link) = self.find_link(first).await? else { continue };
                let linked = link.object.map(|linked| linked.name);
                for object in objects.iter().filter(|object| linked.as_deref() != Some(object.as_ref())) {
                    tracing::info!(%object, "deleting an object that no link names");
                    self.bucket.delete(object).await?;
                }
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = deleted.await {
            tracing::warn!(%error, source = %self.source, "objects that no link names were not deleted");
        }
    }
}

/// The error for a conditional PUT that was refused although no object can be read: S3 answers 409
/// while another PUT of that name is in progress.
fn conflict(path: &Path) -> Error {
    Error::Unavailable(format!("{path} is being written by somebody else").into())
}

impl LinkedObject {
    fn of(name: &Path, object: &Object) -> LinkedObject {
        LinkedObject {
            name: name.to_string(),
            records: object.records,
            bytes: object.bytes.len() as u64,
            sha256: object::sha256(&object.bytes),
            last_line_sha256: object.last_line_sha256.clone(),
        }
    }
}

/// Reads where a chain begins. `None` means it has not begun.
pub(crate) async fn read_start(bucket: &Bucket, source: &Source) -> Result<Option<Start>, Error> {
    let path = source.start();
    let Some(json) = bucket.get(&path).await? else { return Ok(None) };
    let start = serde_json::from_slice(&json).map_err(|error| Error::damaged(&path, Cause::of(error)))?;
    Ok(Some(start))
}

/// Parses a link, and checks that it begins at the offset in its name.
pub(crate) fn parse(path: &Path, first: i64, json: &[u8]) -> Result<Link, Error> {
    let link: Link = serde_json::from_slice(json).map_err(|error| Error::damaged(path, Cause::of(error)))?;
    match link.first == first && link.last >= first && link.last < i64::MAX {
        true => Ok(link),
        false => Err(Error::damaged(path, format!("it covers the offsets {}", link.range()))),
    }
}

//! Names of the objects in the bucket. The data of a partition is under
//! `topic=…/partition=…/date=…`, the Hive layout that query engines expect. All other names begin
//! with `_`, which query engines ignore.

use object_store::path::Path;
use time::OffsetDateTime;

/// The object that names the group that owns the archive, and the format.
pub const MARKER: &str = "_archive.json";
/// The folder of the links of all chains.
pub const CHAINS: &str = "_chain";
/// The folder of the objects that probe conditional writes.
pub const PROBES: &str = "_probe";
/// The suffix of a data object's name.
const DATA_SUFFIX: &str = ".jsonl.zst";
const LINK_SUFFIX: &str = ".json";

/// A partition of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The topic.
    pub topic: String,
    /// The partition's number.
    pub partition: i32,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A range of offsets, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Range {
    /// The first offset.
    pub first: i64,
    /// The last offset.
    pub last: i64,
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl Source {
    /// The folder of the partition's data objects.
    pub fn data(&self) -> Path {
        Path::from(format!("topic={}/partition={}", self.topic, self.partition))
    }

    /// The folder of the partition's links.
    pub fn links(&self) -> Path {
        Path::from(format!("{CHAINS}/topic={}/partition={}", self.topic, self.partition))
    }

    /// The name of the link that begins at this offset. It contains no last offset, so only one
    /// link can begin there.
    pub fn link(&self, first: i64) -> Path {
        self.links().join(format!("{first:020}{LINK_SUFFIX}"))
    }

    /// The name of the object that says where the chain begins.
    pub fn start(&self) -> Path {
        self.links().join(format!("start{LINK_SUFFIX}"))
    }

    /// The name of the data object of these offsets. `timestamp_ms` is that of its first record,
    /// epoch milliseconds; its date is in the name.
    pub fn object(&self, range: Range, timestamp_ms: i64) -> Path {
        let at = OffsetDateTime::from_unix_timestamp(timestamp_ms.div_euclid(1000))
            .unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let date = format!("date={:04}-{:02}-{:02}", at.year(), u8::from(at.month()), at.day());
        let Range { first, last } = range;
        let name = format!("{}+{}+{first:020}-{last:020}{DATA_SUFFIX}", self.topic, self.partition);
        self.data().join(date).join(name)
    }

    /// Parses the offsets in a data object's name; none if it is not one of this partition.
    pub fn range_of(&self, object: &Path) -> Option<Range> {
        let prefix = format!("{}+{}+", self.topic, self.partition);
        let (first, last) =
            object.filename()?.strip_prefix(&prefix)?.strip_suffix(DATA_SUFFIX)?.split_once('-')?;
        let range = Range { first: first.parse().ok()?, last: last.parse().ok()? };
        (range.first <= range.last).then_some(range)
    }

    /// Parses the partition from a folder of links; none if it is no such folder.
    pub fn of_links(folder: &Path) -> Option<Source> {
        let parts: Vec<_> = folder.parts().collect();
        let [chains, topic, partition] = parts.as_slice() else { return None };
        let topic = topic.as_ref().strip_prefix("topic=")?.to_owned();
        let partition = partition.as_ref().strip_prefix("partition=")?.parse().ok()?;
        (chains.as_ref() == CHAINS).then_some(Source { topic, partition })
    }
}

/// Parses the first offset from a link's name; none if it is no link.
pub fn first_of_link(link: &Path) -> Option<i64> {
    link.filename()?.strip_suffix(LINK_SUFFIX)?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let source = Source { topic: "price_updates".into(), partition: 12 };
        let range = Range { first: 0, last: 99 };
        let object = source.object(range, 1_796_006_060_000);
        assert_eq!(
            object.as_ref(),
            "topic=price_updates/partition=12/date=2026-11-30/\
             price_updates+12+00000000000000000000-00000000000000000099.jsonl.zst"
        );
        assert_eq!(source.range_of(&object), Some(range));
        assert_eq!(Source { partition: 1, ..source.clone() }.range_of(&object), None);
        assert_eq!(Source::of_links(&source.links()), Some(source.clone()));
        assert_eq!(first_of_link(&source.link(7)), Some(7));
        assert_eq!(first_of_link(&source.start()), None);
    }

    #[test]
    fn a_time_before_1970_has_a_date_too() {
        let source = Source { topic: "t".into(), partition: 0 };
        let object = source.object(Range { first: 0, last: 0 }, -1);
        assert!(object.as_ref().contains("date=1969-12-31"), "{object}");
        assert!(source.object(Range { first: 0, last: 0 }, i64::MIN).as_ref().contains("date=1970-01-01"));
    }
}

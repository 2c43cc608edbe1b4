//! Buckets for one test alone: in a folder, and under a prefix of the shared S3 server.
#![allow(dead_code)] // each test file uses its part

pub mod topic;

use bytes::Bytes;
use pricedrop_archive::{AccessKey, Bucket, Line, Options, Reader, Source};
use pricedrop_harness::servers;
use pricedrop_model::archive::{ArchivedRecord, Header};
use tempfile::TempDir;

pub const GROUP: &str = "shop";

pub fn source() -> Source {
    Source { topic: "prices".into(), partition: 3 }
}

/// Returns the shared S3 server, with a unique prefix.
pub fn s3() -> Options {
    s3_at(&servers::s3())
}

/// The same for a server at another address.
pub fn s3_at(address: &str) -> Options {
    let prefix = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    Options {
        url: format!("s3://pricedrop/test-{prefix}-{}", std::process::id()),
        endpoint: Some(format!("http://{address}")),
        region: None,
        access_key: Some(AccessKey { id: "admin".into(), secret: "admin-secret".into() }),
    }
}

pub fn folder(folder: &TempDir) -> Options {
    Options { url: format!("file://{}", folder.path().display()), ..Options::default() }
}

pub fn open(options: &Options) -> Bucket {
    Bucket::open(options, pricedrop_outbound::trusting_client(None).unwrap()).unwrap()
}

/// Returns the record of a topic at this offset. Covers every kind of record, and gaps.
pub fn record_at(offset: i64) -> Option<ArchivedRecord> {
    let bytes = |text: String| Some(Bytes::from(text));
    let value = match offset % 7 {
        0 => return None,
        1 if offset % 3 == 0 => return None,
        2 => None,
        3 => Some(Bytes::from(vec![0xff, 0, (offset % 256) as u8])),
        4 => Some(Bytes::new()),
        _ => bytes(format!("{{\"productId\":\"P{offset}\",\n\"newPrice\":79.9}}")),
    };
    let header =
        |name: &str, value: Option<Bytes>| Header { name: Bytes::copy_from_slice(name.as_bytes()), value };
    let headers = match offset % 5 {
        1 => vec![Header { name: Bytes::from_static(b"\xff"), value: None }],
        0 => vec![header("a", bytes("b".into())), header("a", None), header("raw", bytes("\u{fffd}".into()))],
        _ => Vec::new(),
    };
    let key = (offset % 4 != 0).then(|| Bytes::from(vec![0xc3, 0x28, (offset % 200) as u8]));
    let timestamp_ms = 1_796_006_060_000 + offset * 1_000;
    Some(ArchivedRecord { offset, timestamp_ms, key, value, headers })
}

/// Reads all archived records of the partition, and checks that nothing is damaged.
pub async fn records(bucket: &Bucket) -> Vec<ArchivedRecord> {
    let reader = Reader::open(bucket.clone(), Some(GROUP)).await.unwrap();
    let (_, links, findings) = reader.links(&source()).await.unwrap();
    assert_eq!(findings, []);
    let mut records = Vec::new();
    for link in &links {
        let see = |line| {
            if let Line::Record(record) = line {
                records.push(record);
            }
        };
        assert_eq!(reader.read(link, see).await.unwrap(), None);
    }
    records
}

/// Checks that the records are the same, with a short message if they are not.
pub fn assert_same(archived: &[ArchivedRecord], expected: &[ArchivedRecord]) {
    let offsets = |records: &[ArchivedRecord]| records.iter().map(|record| record.offset).collect::<Vec<_>>();
    assert_eq!(offsets(archived), offsets(expected));
    let other = archived.iter().zip(expected).find(|(one, other)| one != other);
    assert_eq!(other, None);
}

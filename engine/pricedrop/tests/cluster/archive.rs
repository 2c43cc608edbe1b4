//! The archive of Kafka topics is complete and exactly once, even if archivers are killed.

use std::sync::atomic::{AtomicBool, Ordering};

use pricedrop_archive::{AccessKey, Bucket, Line, Options, Reader, Source};
use pricedrop_harness::kafka::{Kafka, RawRecord};
use pricedrop_harness::{Engine, Home, servers, wait_for};
use serde_json::Value;

use crate::running::metric;
use crate::support::{Setting, run_cli};

/// How often each of the two archivers is killed; more in `make test-faults`.
const KILLS: usize = 5;
const PARTITIONS: i32 = 2;

fn kills() -> usize {
    std::env::var("PRICEDROP_TEST_KILLS").map_or(KILLS, |text| text.parse().unwrap())
}

/// Returns a setting that archives into a prefix of the shared S3 server, with short timeouts.
pub fn setting() -> Setting {
    let setting = Setting::new();
    let archive = format!(
        "[archive]\nurl = \"s3://pricedrop/{}\"\nendpoint = \"http://{}\"\naccess_key_id = \"admin\"\n\
         secret_access_key_env = \"S3_SECRET\"\nmax_object_size = \"4KiB\"\nmax_object_age = \"300ms\"\n",
        setting.name,
        servers::s3()
    );
    setting.with(&archive).prepared()
}

pub fn home(setting: &Setting) -> (tempfile::TempDir, Home) {
    let (folder, mut home) = setting.home();
    home.environment.push(("S3_SECRET".into(), "admin-secret".into()));
    (folder, home)
}

fn start(home: &Home) -> Engine {
    home.start_with(&["--role", "archiver"]).unwrap()
}

pub fn reader(setting: &Setting) -> Reader {
    let options = Options {
        url: format!("s3://pricedrop/{}", setting.name),
        endpoint: Some(format!("http://{}", servers::s3())),
        region: None,
        access_key: Some(AccessKey { id: "admin".into(), secret: "admin-secret".into() }),
    };
    let bucket = Bucket::open(&options, pricedrop_outbound::trusting_client(None).unwrap()).unwrap();
    run(Reader::open(bucket, None)).unwrap()
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

/// Returns everything that is archived of a topic, and checks that nothing is damaged.
pub fn archived(reader: &Reader, topic: &str) -> Vec<RawRecord> {
    let mut records = Vec::new();
    for partition in 0..PARTITIONS {
        let source = Source { topic: topic.into(), partition };
        let (_, links, findings) = run(reader.links(&source)).unwrap();
        assert_eq!(findings, []);
        for link in &links {
            let see = |line| {
                if let Line::Record(record) = line {
                    records.push(RawRecord {
                        partition,
                        offset: record.offset,
                        timestamp_ms: record.timestamp_ms,
                        key: record.key.map(|key| key.to_vec()),
                        value: record.value.map(|value| value.to_vec()),
                        headers: record
                            .headers
                            .into_iter()
                            .map(|header| {
                                (
                                    String::from_utf8(header.name.to_vec()).unwrap(),
                                    header.value.map(|value| value.to_vec()),
                                )
                            })
                            .collect(),
                    });
                }
            };
            assert_eq!(run(reader.read(link, see)).unwrap(), None);
        }
    }
    records
}

fn sorted(mut records: Vec<RawRecord>) -> Vec<RawRecord> {
    records.sort_by_key(|record| (record.partition, record.offset));
    records
}

/// Returns a record: raw bytes, tombstones, empty values, headers that repeat or have no value.
fn record(number: usize) -> RawRecord {
    let text = |text: String| Some(text.into_bytes());
    RawRecord {
        partition: (number % PARTITIONS as usize) as i32,
        key: if number.is_multiple_of(5) { None } else { text(format!("P{number}")) },
        value: match number % 4 {
            0 => None,
            1 => Some(vec![0xff, 0xfe, (number % 256) as u8]),
            2 => Some(Vec::new()),
            _ => text(format!("{{\"productId\":\"P{number}\",\"newPrice\":79.9}}")),
        },
        headers: match number % 3 {
            0 => vec![("a".into(), text("b".into())), ("a".into(), None), ("raw".into(), Some(vec![0x80]))],
            _ => Vec::new(),
        },
        ..RawRecord::default()
    }
}

/// Commits and aborts transactions until it is stopped.
fn produce(setting: &Setting, stop: &AtomicBool) {
    let kafka = Kafka { bootstrap: setting.kafka.clone() };
    let transactions = kafka.transactions(&format!("{}-producer", setting.name)).unwrap();
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        let records: Vec<RawRecord> = (sent..sent + 4).map(record).collect();
        transactions.send(&format!("{}.prices", setting.name), &records, sent % 12 != 0).unwrap();
        sent += records.len();
    }
}

/// Starts and kills an archiver repeatedly. Every other time it is killed right after the start,
/// otherwise after it has archived an object.
fn kill_again_and_again(home: &Home) {
    for round in 0..kills() {
        let mut engine = start(home);
        let added = || (metric(&engine, "pricedrop_archive_objects_total") > 0.0).then_some(());
        if round % 2 == 0 {
            wait_for("an object", added).unwrap();
        }
        engine.kill().unwrap();
    }
}

#[test]
fn the_archive_equals_the_topic_whatever_is_killed() {
    let setting = setting();
    let homes = [home(&setting), home(&setting)];
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| produce(&setting, &stop));
        let killers = homes.each_ref().map(|(_, home)| scope.spawn(|| kill_again_and_again(home)));
        let killed: Vec<_> = killers.into_iter().map(|killer| killer.join()).collect();
        stop.store(true, Ordering::Relaxed);
        killed.into_iter().for_each(|killed| killed.unwrap());
    });
    let topic = format!("{}.prices", setting.name);
    let expected = sorted(Kafka { bootstrap: setting.kafka.clone() }.records(&topic).unwrap());
    assert!(expected.len() > 200, "{} records", expected.len());
    let _engine = start(&homes[0].1);
    let reader = reader(&setting);
    let complete = || (archived(&reader, &topic).len() >= expected.len()).then_some(());
    wait_for("the whole topic to be archived", complete).unwrap();
    assert_eq!(sorted(archived(&reader, &topic)), expected);

    let report = run_cli(&setting, &homes[0].1, &["archive", "verify"]);
    assert!(
        report.contains(&format!("{} records in ", expected.len())) && report.contains("exit code 0"),
        "{report}"
    );
    let status = homes[0].1.run(&["archive", "status", "--json"]).unwrap().stdout;
    let status = String::from_utf8(status).unwrap();
    let partitions: Vec<Value> = status.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of_topic = partitions.iter().filter(|it| it["topic"] == topic.as_str()).count();
    assert_eq!(of_topic, PARTITIONS as usize, "{status}");
}

#[test]
fn an_engine_without_its_bucket_works_and_says_so() {
    let mut setting = setting();
    setting.more = setting.more.replace(&servers::s3(), "127.0.0.1:9");
    let (_folder, home) = home(&setting);
    let engine = home.start().unwrap();
    let warned = || engine.request("GET", "/readyz", b"").ok().filter(|report| report.contains("archive"));
    wait_for("a warning", warned).unwrap();
}

#[test]
fn a_bucket_of_another_group_is_refused() {
    let setting = setting();
    let (_folder, first) = home(&setting);
    drop(start(&first));
    let mut other = setting.clone();
    other.more = format!("[stream]\ngroup = \"another\"\n{}", other.more);
    let (_folder, home) = home(&other);
    let report = run_cli(&setting, &home, &["run", "--role", "archiver"]).replace("\n  | ", " ");
    let refused =
        "holds the archive of the group pricedrop, and this one is another; give each group a prefix";
    assert!(report.contains(refused), "{report}");
}

/// Waits until every partition of topic and archive ends at this offset, markers of transactions
/// included. Checks that nothing was recorded as lost.
fn complete(reader: &Reader, kafka: &Kafka, topic: &str, end: i64) {
    let expected = vec![end; PARTITIONS as usize];
    let status = |partition| run(reader.status(&Source { topic: topic.into(), partition })).unwrap();
    let archived = || (0..PARTITIONS).map(status).map(|it| it.next).collect::<Vec<_>>();
    let complete = || (kafka.ends(topic).unwrap() == expected && archived() == expected).then_some(());
    wait_for("the archive to end where the topic does", complete).unwrap();
    (0..PARTITIONS).map(status).for_each(|it| assert_eq!(it.findings, []));
}

/// The last offsets of a topic are markers of transactions, which are not records.
#[test]
fn a_quiet_topic_emptied_by_retention_lost_nothing() {
    let setting = setting();
    let (_folder, home) = home(&setting);
    let (topic, kafka) = (format!("{}.prices", setting.name), Kafka { bootstrap: setting.kafka.clone() });
    let transactions = kafka.transactions(&format!("{}-producer", setting.name)).unwrap();
    transactions.send(&topic, &(0..8).map(record).collect::<Vec<_>>(), true).unwrap();
    let mut engine = start(&home);
    let reader = reader(&setting);
    complete(&reader, &kafka, &topic, 5);
    // After a closed object, where no record follows.
    transactions.send(&topic, &(8..12).map(record).collect::<Vec<_>>(), false).unwrap();
    complete(&reader, &kafka, &topic, 8);
    engine.kill().unwrap();
    kafka.empty(&topic).unwrap();
    let engine = start(&home);
    transactions.send(&topic, &(20..24).map(record).collect::<Vec<_>>(), true).unwrap();
    complete(&reader, &kafka, &topic, 11);
    let ready = engine.request("GET", "/readyz", b"").unwrap();
    assert!(!ready.contains("lost"), "{ready}");
    assert_eq!(archived(&reader, &topic).len(), 12);
}

#[test]
fn a_topic_that_was_created_anew_is_not_archived_as_the_old_one() {
    let setting = setting();
    let (_folder, home) = home(&setting);
    let (topic, kafka) = (format!("{}.prices", setting.name), Kafka { bootstrap: setting.kafka.clone() });
    let transactions = kafka.transactions(&format!("{}-producer", setting.name)).unwrap();
    let four = |first| (first..first + 4).map(record).collect::<Vec<_>>();
    transactions.send(&topic, &four(0), true).unwrap();
    let mut engine = start(&home);
    let reader = reader(&setting);
    complete(&reader, &kafka, &topic, 3);
    engine.kill().unwrap();
    kafka.delete_topic(&topic).unwrap();
    home.run(&["topics", "apply"]).unwrap();
    // The new topic has no record at the offset of the archive's last record.
    let anew = kafka.transactions(&format!("{}-again", setting.name)).unwrap();
    for first in 0..5 {
        anew.send(&topic, &four(first), first > 1).unwrap();
    }
    let engine = start(&home);
    let report = || engine.request("GET", "/readyz", b"").ok().filter(|report| report.contains("its id is"));
    let report = wait_for("the reason", report).unwrap();
    assert!(report.contains("The topic was created anew"), "{report}");
    assert_eq!(archived(&reader, &topic).len(), 4);
}

#[test]
fn a_bucket_that_does_not_exist_or_is_elsewhere_is_refused_at_the_start() {
    let setting = setting();
    let refused = |wrong: String, says: &[&str]| {
        let mut other = setting.clone();
        other.more = wrong;
        let (_folder, home) = home(&other);
        let report = run_cli(&setting, &home, &["run", "--role", "archiver"]).replace("\n  | ", " ");
        assert!(says.iter().all(|words| report.contains(words)), "{report}");
    };
    let missing = setting.more.replace("s3://pricedrop/", "s3://no-such-bucket/");
    refused(
        missing,
        &["archive.url names does not exist", "NoSuchBucket", "create the bucket", "exit code 2"],
    );
    let elsewhere = format!("{}region = \"eu-central-1\"\n", setting.more);
    refused(elsewhere, &["another region", "set archive.region to the region of the bucket", "exit code 2"]);
}

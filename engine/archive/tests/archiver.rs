//! The archiver over an in-memory topic: which objects it closes, and when it refuses to continue.
#![allow(clippy::unwrap_used)]

mod rig;

use pricedrop_archive::{Bucket, Builder, Chain, Limits, Options, Reader};
use pricedrop_harness::peers::Peer;
use pricedrop_harness::wait_for;
use rig::topic::{EAGER, Topic, archived, reason, run, start, start_as};
use rig::{GROUP, assert_same, folder, open, records, s3, s3_at, source};
use tempfile::TempDir;

fn home() -> (TempDir, Bucket) {
    let home = tempfile::tempdir().unwrap();
    let bucket = open(&folder(&home));
    (home, bucket)
}

/// Opens the same bucket again, as another process would.
fn open_again(bucket: &Bucket) -> Bucket {
    open(&Options { url: bucket.url().into(), ..Options::default() })
}

#[test]
fn a_topic_is_archived_once_across_restarts() {
    let (_home, bucket) = home();
    let topic = Topic::default();
    topic.append(0..100);
    {
        let running = start(&topic, &bucket, EAGER);
        archived(&running, &topic);
        topic.append(100..150);
        archived(&running, &topic);
    }
    topic.append(150..200);
    let running = start(&topic, &bucket, EAGER);
    archived(&running, &topic);
    drop(running);
    assert_same(&run(records(&bucket)), &topic.records());
}

#[test]
fn an_object_is_closed_by_size_long_before_its_age() {
    let (_home, bucket) = home();
    let topic = Topic::default();
    topic.append(0..20_000);
    let limits = Limits { object_bytes: 2_000, object_age_ms: u64::MAX, ..EAGER };
    let running = start(&topic, &bucket, limits);
    let objects = || Some(running.metrics.snapshots().first()?.objects).filter(|objects| *objects >= 2);
    wait_for("two objects", objects).unwrap();
}

#[test]
fn records_deleted_before_they_were_archived_stop_the_archive_until_the_loss_is_accepted() {
    let (_home, bucket) = home();
    let topic = Topic::default();
    topic.append(0..50);
    archived(&start(&topic, &bucket, EAGER), &topic);
    topic.append(50..100);
    topic.delete_before(80);
    {
        let running = start(&topic, &bucket, EAGER);
        let reason = reason(&running);
        assert!(reason.contains("prices/3: the records 49-79 are lost"), "{reason}");
        assert!(reason.contains("pricedrop archive accept-loss prices 3"), "{reason}");
    }
    run(async {
        let mut chain = Chain::open(&bucket, source()).await.unwrap();
        chain.append_loss(79).await.unwrap();
    });
    archived(&start(&topic, &bucket, EAGER), &topic);
}

#[test]
fn another_topic_of_the_same_name_is_not_archived_as_this_one() {
    let (_home, bucket) = home();
    let topic = Topic::default();
    topic.append(0..50);
    archived(&start(&topic, &bucket, EAGER), &topic);
    let anew = Topic::default();
    anew.append(0..20);
    let said = reason(&start(&anew, &bucket, EAGER));
    assert!(said.contains("it ends before offset 20, and the archive before 49"), "{said}");
    anew.append(20..100);
    anew.records.lock().unwrap().iter_mut().for_each(|record| record.timestamp_ms += 1);
    let running = start(&anew, &bucket, EAGER);
    let said = reason(&running);
    assert!(said.contains("its record at offset 48 is not the one in the archive"), "{said}");
    assert!(said.contains("The topic was created anew"), "{said}");
}

#[test]
fn two_archivers_of_one_partition_archive_it_once() {
    let (_home, bucket) = home();
    let topic = Topic::default();
    topic.append(0..10);
    let both = [start(&topic, &bucket, EAGER), start(&topic, &bucket, EAGER)];
    for end in (20..=400).step_by(10) {
        topic.append(end - 10..end);
        let next = topic.records().last().unwrap().offset + 1;
        let either = || both.iter().any(|it| it.metrics.snapshots().iter().any(|it| it.next == next));
        wait_for("either to archive it", || either().then_some(())).unwrap();
    }
    wait_for("all of it", || (run(records(&bucket)).len() == topic.records().len()).then_some(())).unwrap();
    assert_same(&run(records(&bucket)), &topic.records());
}

/// Runs three archivers that all read the whole topic, and close objects at different offsets.
fn archived_once_by_all(bucket: &Bucket) {
    let topic = Topic::default();
    topic.append(0..10);
    let settings = [
        Limits { object_bytes: 100, ..EAGER },
        Limits { object_bytes: 1_500, object_age_ms: 20, ..EAGER },
        Limits { memory_bytes: 700, object_age_ms: 5, ..EAGER },
    ];
    let all = settings.map(|limits| start(&topic, bucket, limits));
    for end in (20..=600).step_by(10) {
        topic.append(end - 10..end);
        let next = topic.next();
        let any = || all.iter().any(|it| it.counted().is_some_and(|it| it.next == next));
        wait_for("any to archive it", || any().then_some(())).unwrap();
    }
    assert_same(&run(records(bucket)), &topic.records());
    let counted = all.each_ref().map(|it| it.counted().unwrap());
    assert!(counted.iter().any(|it| it.conflicts > 0), "{counted:?}");
}

#[test]
fn archivers_of_different_settings_archive_a_partition_once_in_a_folder() {
    let (_home, bucket) = home();
    archived_once_by_all(&bucket);
}

#[test]
fn archivers_of_different_settings_archive_a_partition_once_in_versitygw() {
    archived_once_by_all(&open(&s3()));
}

#[test]
fn archivers_of_different_settings_archive_a_partition_once_in_moto() {
    let moto = Peer::s3().unwrap();
    archived_once_by_all(&open(&s3_at(&moto.host())));
}

#[test]
fn an_archiver_of_another_group_is_refused_and_says_so() {
    let (_home, bucket) = home();
    let topic = Topic::default();
    topic.append(0..50);
    let first = start(&topic, &bucket, EAGER);
    archived(&first, &topic);
    let other = open_again(&bucket);
    let second = start_as(&topic, &other, EAGER, ("another", "prices"));
    let said = reason(&second);
    assert!(said.contains("holds the archive of the group shop, and this one is another"), "{said}");
    topic.append(50..100);
    archived(&first, &topic);
    assert_eq!(second.counted(), None);
    assert_same(&run(records(&bucket)), &topic.records());
}

#[test]
fn archivers_of_one_group_may_archive_different_topics() {
    let (_home, bucket) = home();
    let (prices, notifications) = (Topic::default(), Topic::default());
    prices.append(0..50);
    notifications.append(0..30);
    let both = [
        start(&prices, &bucket, EAGER),
        start_as(&notifications, &open_again(&bucket), EAGER, (GROUP, "notifications")),
    ];
    archived(&both[0], &prices);
    archived(&both[1], &notifications);
    assert_same(&run(records(&bucket)), &prices.records());
    run(async {
        let reader = Reader::open(bucket.clone(), Some(GROUP)).await.unwrap();
        let topics: Vec<String> = reader.partitions().await.unwrap().into_iter().map(|it| it.topic).collect();
        assert_eq!(topics, ["notifications", "prices"]);
    });
}

#[test]
fn an_object_that_a_killed_archiver_left_is_archived_where_the_topic_lost_its_records() {
    let (home, bucket) = home();
    let topic = Topic::default();
    topic.append(0..50);
    archived(&start(&topic, &bucket, EAGER), &topic);
    topic.append(50..100);
    let all = topic.records();
    // Two writers died one after the other before they wrote a link; one object is truncated.
    for (last, cut) in [(60, 0), (80, 0), (90, 1)] {
        let mut builder = Builder::new(49);
        all.iter().filter(|it| (49..=last).contains(&it.offset)).for_each(|it| builder.push(it.clone()));
        let object = builder.finish();
        let name = source().object(object.range, object.first_timestamp_ms);
        std::fs::write(home.path().join(name.as_ref()), &object.bytes[cut..]).unwrap();
    }
    topic.delete_before(70);
    let running = start(&topic, &bucket, EAGER);
    archived(&running, &topic);
    assert_eq!(running.metrics.reasons(), [] as [String; 0]);
    drop(running);
    assert_same(&run(records(&bucket)), &all);
    run(async {
        Chain::open(&bucket, source()).await.unwrap();
        let reader = Reader::open(bucket.clone(), Some(GROUP)).await.unwrap();
        assert_eq!(reader.status(&source()).await.unwrap().findings, []);
    });
}

#[test]
fn offsets_after_the_last_record_are_archived_and_not_reported_as_lost_later() {
    let (_home, bucket) = home();
    let topic = Topic::default();
    topic.append(0..50);
    let ends_at = |next: i64| {
        let running = start(&topic, &bucket, EAGER);
        let there = || running.counted().filter(|it| it.next == next).map(|_| ());
        wait_for("the archive to end there", there).unwrap();
        assert_eq!(running.metrics.reasons(), [] as [String; 0]);
    };
    // Such offsets are archived with the last object, and also if no record follows for long.
    topic.end_at(55);
    ends_at(55);
    topic.end_at(60);
    ends_at(60);
    let all = topic.records();
    topic.delete_before(60);
    ends_at(60);
    topic.append(60..70);
    topic.end_at(71);
    ends_at(71);
    let expected: Vec<_> = all.into_iter().chain(topic.records()).collect();
    assert_same(&run(records(&bucket)), &expected);
}

#[test]
fn a_new_topic_of_the_same_name_is_detected_by_the_last_archived_record() {
    let (_home, bucket) = home();
    let topic = Topic::default();
    topic.append(0..50);
    topic.end_at(55);
    {
        let running = start(&topic, &bucket, EAGER);
        wait_for("all of it", || running.counted().filter(|it| it.next == 55).map(|_| ())).unwrap();
        topic.end_at(60);
        wait_for("all of it", || running.counted().filter(|it| it.next == 60).map(|_| ())).unwrap();
    }
    let anew = Topic::default();
    anew.append(0..100);
    anew.records.lock().unwrap().iter_mut().for_each(|record| record.timestamp_ms += 1);
    let said = reason(&start(&anew, &bucket, EAGER));
    assert!(said.contains("its record at offset 48 is not the one in the archive"), "{said}");
}

#[test]
fn a_topic_of_another_id_is_not_archived_as_this_one() {
    let (_home, bucket) = home();
    let topic = Topic::default().with_id("first");
    topic.append(0..50);
    archived(&start(&topic, &bucket, EAGER), &topic);
    // It is longer, and has no record at the offset of the archive's last one.
    let anew = Topic::default().with_id("second");
    anew.append(60..100);
    anew.begins_at(0);
    let said = reason(&start(&anew, &bucket, EAGER));
    assert!(said.contains("its id is second, and the archive is of the topic first"), "{said}");
    // A topic that is recreated while it is read: nothing of the new one is archived.
    let running = start(&topic, &bucket, Limits { object_bytes: 500, object_age_ms: u64::MAX, ..EAGER });
    wait_for("it to be opened", || running.counted().filter(|it| it.next == 49)).unwrap();
    topic.set_id("third");
    topic.append(50..5_000);
    let said = reason(&running);
    assert!(said.contains("its id is third"), "{said}");
    drop(running);
    assert_eq!(run(records(&bucket)).len(), topic.records().iter().filter(|it| it.offset < 50).count());
}

//! Whatever faults the bucket has, the archive holds every record exactly once; it reports why
//! it is blocked, and continues when it can.
#![allow(clippy::unwrap_used)]

mod rig;

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use pricedrop_archive::{Bucket, Limits, Reader};
use pricedrop_harness::faults::{Fault, Faulty, Request};
use pricedrop_harness::servers::{Kind, Own};
use pricedrop_harness::{servers, wait_for};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rig::topic::{EAGER, Running, Topic, archived, reason, run, start};
use rig::{GROUP, assert_same, records, s3_at, source};

/// The timeout of a request in these tests.
const ANSWER: Duration = Duration::from_millis(700);

fn open(address: &str) -> Bucket {
    Bucket::open(&s3_at(address), impatient()).unwrap()
}

fn impatient() -> reqwest::Client {
    // Another test may have installed it already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().timeout(ANSWER).build().unwrap()
}

/// Small objects, so that there are many requests.
const SMALL: Limits = Limits { object_bytes: 600, ..EAGER };

fn is_put_of_object(request: &Request) -> bool {
    request.method == "PUT" && request.path.contains("/topic%3D") && !request.path.contains("_chain")
}

fn is_put_of_link(request: &Request) -> bool {
    request.method == "PUT" && request.path.contains("_chain") && !request.path.contains("start.json")
}

/// Checks that the whole topic is in the archive once, and that the bucket holds nothing else.
fn equals(bucket: &Bucket, topic: &Topic) {
    run(async {
        assert_same(&records(bucket).await, &topic.records());
        let reader = Reader::open(bucket.clone(), Some(GROUP)).await.unwrap();
        assert_eq!(reader.status(&source()).await.unwrap().findings, []);
    });
}

/// Archives a topic through a server with this fault, which lasts until the reason is
/// reported, and a while longer.
fn survives(fault: Fault, which: fn(&Request) -> bool, says: &str) {
    let server = Faulty::before(&servers::s3()).unwrap();
    let bucket = open(server.address());
    let topic = Topic::default();
    topic.append(0..50);
    let running = start(&topic, &bucket, EAGER);
    archived(&running, &topic);
    let of_fault = fault.clone();
    server.misbehave(move |request| which(request).then(|| of_fault.clone()));
    topic.append(50..100);
    let said = reason(&running);
    assert!(said.contains(says), "{fault:?}: {said}");
    let failures = running.counted().unwrap().failures;
    let fails_on = || (running.counted().unwrap().failures > failures).then_some(());
    wait_for("it to try again", fails_on).unwrap();
    server.behave();
    archived(&running, &topic);
    wait_for("the reason to go", || running.metrics.reasons().is_empty().then_some(())).unwrap();
    topic.append(100..150);
    archived(&running, &topic);
    drop(running);
    assert!(server.faults() >= 2, "{fault:?}");
    equals(&bucket, &topic);
}

#[test]
fn a_put_that_is_cut_off_is_repeated() {
    survives(Fault::CutRequest(40), is_put_of_object, "topic=prices");
    survives(Fault::CutRequest(40), is_put_of_link, "_chain");
}

#[test]
fn a_put_whose_answer_is_lost_counts_once() {
    survives(Fault::LoseAnswer, is_put_of_object, "topic=prices");
    survives(Fault::LoseAnswer, is_put_of_link, "_chain");
}

#[test]
fn a_request_that_times_out_is_repeated() {
    survives(Fault::HoldAnswer, is_put_of_object, "topic=prices");
    survives(Fault::HoldAnswer, is_put_of_link, "_chain");
}

#[test]
fn a_key_that_loses_its_rights_is_reported_until_it_has_them_again() {
    survives(Fault::s3(403, "AccessDenied"), is_put_of_object, "is denied");
    survives(Fault::s3(403, "AccessDenied"), is_put_of_link, "is denied");
}

#[test]
fn a_server_that_keeps_throttling_is_reported_and_waited_for() {
    std::thread::scope(|scope| {
        scope.spawn(|| survives(Fault::s3(503, "SlowDown"), is_put_of_object, "SlowDown"));
        scope.spawn(|| survives(Fault::s3(429, "TooManyRequests"), is_put_of_link, "TooManyRequests"));
    });
}

#[test]
fn a_server_that_throttles_for_a_moment_is_not_reported() {
    let server = Faulty::before(&servers::s3()).unwrap();
    let bucket = open(server.address());
    let topic = Topic::default();
    topic.append(0..300);
    let mut requests = 0;
    server.misbehave(move |_| {
        requests += 1;
        (requests % 4 != 0).then(|| Fault::s3(503, "SlowDown"))
    });
    let running = start(&topic, &bucket, SMALL);
    archived(&running, &topic);
    assert_eq!((running.counted().unwrap().failures, running.metrics.reasons()), (0, Vec::new()));
    drop(running);
    assert!(server.faults() > 10, "{}", server.faults());
    server.behave();
    equals(&bucket, &topic);
}

/// If nothing can be written, nothing more is read, and a stop is obeyed.
#[test]
fn a_bucket_that_accepts_nothing_neither_grows_memory_nor_delays_the_stop() {
    let server = Faulty::before(&servers::s3()).unwrap();
    let bucket = open(server.address());
    let topic = Topic::default();
    topic.append(0..50_000);
    server.misbehave(|request| is_put_of_object(request).then_some(Fault::HoldAnswer));
    let running = start(&topic, &bucket, SMALL);
    reason(&running);
    let read = topic.read.load(Relaxed);
    assert!(read < 1_000, "{read} records were read");
    let failures = running.counted().unwrap().failures;
    let goes_on = || (running.counted().unwrap().failures >= failures + 3).then_some(());
    wait_for("more failures", goes_on).unwrap();
    assert_eq!(topic.read.load(Relaxed), read);
    let told = Instant::now();
    drop(running);
    assert!(told.elapsed() < ANSWER + Duration::from_secs(2), "{:?}", told.elapsed());
}

#[test]
fn a_server_that_is_killed_and_comes_back_is_continued() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Own::with(Kind::S3, folder.path(), &[]).unwrap();
    let bucket = open(server.address());
    let topic = Topic::default();
    topic.append(0..40);
    let running = start(&topic, &bucket, SMALL);
    archived(&running, &topic);
    for round in 0..3 {
        let first = 40 + round * 80;
        topic.append(first..first + 60);
        server.kill().unwrap();
        topic.append(first + 60..first + 80);
        wait_for("a reason", || (!running.metrics.reasons().is_empty()).then_some(())).unwrap();
        server.start().unwrap();
        archived(&running, &topic);
        wait_for("the reason to go", || running.metrics.reasons().is_empty().then_some(())).unwrap();
    }
    drop(running);
    equals(&bucket, &topic);
}

/// Returns a random fault for a share of the requests, those at the start included.
fn any_fault(random: &mut StdRng, share: f64) -> Option<Fault> {
    random.random_bool(share).then(|| match random.random_range(0..7) {
        0 => Fault::CutRequest(random.random_range(0..200)),
        1 => Fault::LoseAnswer,
        2 => Fault::HoldAnswer,
        3 => Fault::CutAnswer,
        4 => Fault::s3(503, "SlowDown"),
        5 => Fault::s3(500, "InternalError"),
        _ => Fault::s3(403, "AccessDenied"),
    })
}

/// Waits until one of the archivers has archived the whole topic.
fn archived_by_any(archivers: &[Running], topic: &Topic) {
    let next = topic.next();
    let is_there = || archivers.iter().any(|it| it.counted().is_some_and(|it| it.next == next)).then_some(());
    let reasons = || archivers.iter().map(|it| it.metrics.reasons()).collect::<Vec<_>>();
    wait_for("the archive to grow", is_there).unwrap_or_else(|error| panic!("{error}: {:?}", reasons()));
}

#[test]
fn archivers_of_different_settings_in_a_storm_of_faults_archive_everything_once() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let server = Faulty::before(&servers::s3()).unwrap();
    let bucket = open(server.address());
    let topic = Topic::default();
    topic.append(0..50);
    server.misbehave(move |_| any_fault(&mut random, 0.15));
    // Each has its own connections, and claims the bucket itself.
    let again = |limits| start(&topic, &open_again(&bucket, server.address()), limits);
    let settings = [SMALL, Limits { object_bytes: 900, ..EAGER }, Limits { object_age_ms: 300, ..EAGER }];
    let mut archivers = settings.map(again);
    for end in (100..=1_500).step_by(50) {
        topic.append(end - 50..end);
        archived_by_any(&archivers, &topic);
        if end % 500 == 0 {
            archivers = settings.map(again);
        }
    }
    let counted = archivers.each_ref().map(|it| it.counted());
    drop(archivers);
    server.behave();
    println!("{counted:?}, {} faults", server.faults());
    assert!(server.faults() > 50, "{}", server.faults());
    assert_same(&run(records(&bucket)), &topic.records());
}

/// Opens the same bucket again, as another process would.
fn open_again(bucket: &Bucket, address: &str) -> Bucket {
    let options = pricedrop_archive::Options { url: bucket.url().into(), ..s3_at(address) };
    Bucket::open(&options, impatient()).unwrap()
}

//! Plugins that violate their contracts: each causes one clear error, and none blocks the engine
//! or makes its memory grow.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::{Place, buckets, built, fixture, problem, settings};
use pricedrop_model::channel::{Item, Message, Money, Outgoing, Reason, Recipient};
use pricedrop_model::plugin::{Arrival, Plugins, Subject};
use pricedrop_model::{Currency, Price, ProductId, UserId, WallTime};

/// The longest time that any misbehaviour may cost, even on a slow machine.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn each_misbehaviour_is_refused_with_one_clear_error() {
    for (behaviour, function, told) in [
        ("loop", "bucket-of", "more than 200 ms of CPU time (limit cpu_ms)"),
        ("memory", "bucket-of", "bytes of memory (limit memory_bytes)"),
        ("stack", "bucket-of", "too deep a recursion"),
        ("giant", "bucket-of", "memory_bytes"),
        ("short", "bucket-of", "exactly one each is required"),
        ("decreasing", "bucket-of", "must never get a lower bucket"),
        ("impure", "bucket-of", "it must depend on the product and price alone"),
        ("configure-loop", "configure", "more than 2000 ms of CPU time"),
        ("configure-problem", "configure", "setting behaviour: a problem, as asked"),
        ("late-decreasing", "bucket-of", "lower bucket"),
        ("late-trap", "bucket-of", "a panic or a failed assertion"),
    ] {
        let place = Place::new();
        place.put_hostile("hostile", behaviour, 2);
        let started = Instant::now();
        let host = place.host();
        let problem = problem(&host, "hostile");
        assert!(
            problem.starts_with(&format!("hostile.wasm: {function}: ")) && problem.contains(told),
            "{behaviour}: {problem}"
        );
        assert!(host.bucketing().is_none(), "{behaviour}");
        assert!(started.elapsed() < PATIENCE, "{behaviour} took {:?}", started.elapsed());
    }
}

#[test]
fn an_answer_larger_than_the_limit_is_a_clear_error() {
    let place = Place::new();
    place.put_plugin("hostile", &fixture("hostile"));
    let roomy = "[limits]\nmemory_bytes = 1000000000\noutput_bytes = 1000000\ncpu_ms = 5000\n";
    place.put("hostile.toml", format!("{}{roomy}", settings("giant", 1)));
    let problem = problem(&place.host(), "hostile");
    assert!(problem.contains("bucket-of: ") && problem.contains("output_bytes"), "{problem}");
}

/// Counts the lines that plugins write into the log.
struct Lines(Arc<AtomicU64>);

impl tracing::Subscriber for Lines {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "plugin"
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn log_lines_of_a_plugin_are_limited_to_the_log_rate() {
    let place = Place::new();
    place.put_hostile("hostile", "log-flood", 1);
    let lines = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    tracing::subscriber::with_default(Lines(Arc::clone(&lines)), || {
        let host = place.host();
        for _ in 0..20 {
            assert_eq!(buckets(&host, &["5"]).unwrap(), [0]);
        }
    });
    // A burst of five seconds, then twenty a second; and as many lines that report dropped ones.
    let most = 2 * (100 + 20 * started.elapsed().as_secs() + 20);
    let lines = lines.load(Ordering::Relaxed);
    assert!((100..=most).contains(&lines), "{lines} lines, at most {most}");
}

#[test]
fn a_policy_that_breaks_its_contract_in_service_is_never_called_again() {
    let place = Place::new();
    place.put_hostile("hostile", "late-decreasing", 500);
    let host = place.host();
    let policy = host.bucketing().expect("it passed the load check");
    let until_breach = (0..2_000).find_map(|_| {
        let error = buckets_of(&*policy)?;
        Some(error)
    });
    assert!(until_breach.unwrap().contains("a higher price must never get a lower bucket"));
    assert!(buckets_of(&*policy).unwrap().contains("broke its contract"));
    assert!(host.bucketing().is_none(), "there is none before it: plain scans");
    assert!(problem(&host, "hostile").contains("broke its contract"));
    assert_eq!(host.status().plugin("hostile").unwrap().counts.breaches, 1);
}

fn buckets_of(policy: &dyn pricedrop_model::plugin::Bucketing) -> Option<String> {
    let prices = common::prices(&["5", "15", "25"]);
    policy.buckets_of(&common::product(), &prices).err().map(|error| error.to_string())
}

#[test]
fn after_an_occasional_trap_a_fresh_instance_answers() {
    let place = Place::new();
    place.put_hostile("hostile", "trap-at-random", 500);
    let host = place.host();
    for _ in 0..2_000 {
        assert_eq!(buckets(&host, &["5", "15"]).unwrap(), [0, 1]);
    }
    assert!(host.status().plugin("hostile").unwrap().counts.traps >= 3);
}

#[test]
fn the_breaker_of_a_plugin_that_keeps_failing_opens() {
    let place = Place::new();
    place.put_plugin("throttle", &fixture("throttle-hostile"));
    place.put("throttle.toml", "[settings]\nbehaviour = \"trap\"\n");
    let host = place.host();
    let throttle = host.throttling().unwrap();
    let product = common::product();
    let errors: Vec<String> =
        (0..500).map(|_| throttle.decide(&[arrival(&product)]).remove(0).unwrap_err().to_string()).collect();
    assert!(errors[0].contains("a panic or a failed assertion"), "{}", errors[0]);
    assert!(errors[499].contains("circuit breaker is open"), "{}", errors[499]);
    let counts = host.status().plugin("throttle").unwrap().counts;
    assert!(counts.calls < 100, "{counts:?}");
}

#[test]
fn the_cpu_limit_does_not_count_the_wall_time_of_a_starved_thread() {
    let place = Place::new();
    place.put_floor("floor", "10");
    place.put("floor.toml", "[limits]\ncpu_ms = 100\n");
    let host = place.host();
    let policy = host.bucketing().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let hogs: Vec<_> = (0..64)
        .map(|_| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || while !stop.load(Ordering::Relaxed) {})
        })
        .collect();
    // A few milliseconds of CPU time per call, which now takes much longer in wall time.
    let many: Vec<Price> = (0..10_000).map(|units| Price::new(units, 2).unwrap()).collect();
    let started = Instant::now();
    let (mut longest, mut failed) = (Duration::ZERO, None);
    let starved = Duration::from_millis(100);
    // Enough for many calls, and until one of them had to wait for the CPU.
    let enough = |longest| match longest > starved {
        true => started.elapsed() > Duration::from_secs(3),
        false => started.elapsed() > Duration::from_secs(30),
    };
    while !enough(longest) && failed.is_none() {
        let call = Instant::now();
        failed = policy.buckets_of(&common::product(), &many).err();
        longest = longest.max(call.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    hogs.into_iter().for_each(|hog| hog.join().unwrap());
    assert!(failed.is_none(), "{failed:?}");
    assert!(longest > starved, "the thread was starved: {longest:?}");
}

fn arrival(product: &ProductId) -> Arrival<'_> {
    let subject = Subject { product, currency: Currency::USD, evaluated: None, pending: None, saved: None };
    Arrival { subject, price: Price::parse("9").unwrap(), now: WallTime(1_000) }
}

#[test]
fn a_throttle_that_breaks_its_contract_answers_with_errors_only() {
    for (behaviour, told) in [
        ("hold-forever", "more than a year from now"),
        ("giant-state", "output_bytes"),
        ("trap", "a panic or a failed assertion"),
    ] {
        let place = Place::new();
        place.put_plugin("throttle", &fixture("throttle-hostile"));
        place.put("throttle.toml", format!("[settings]\nbehaviour = \"{behaviour}\"\n"));
        let host = place.host();
        let throttle = host.throttling().expect("it is loaded: nothing asks it to decide");
        let products: Vec<ProductId> = (0..8).map(|at| ProductId::new(&format!("P{at}")).unwrap()).collect();
        let arrivals: Vec<Arrival<'_>> = products.iter().map(arrival).collect();
        let answers = throttle.decide(&arrivals);
        assert_eq!(answers.len(), 8);
        for answer in answers {
            let error = answer.unwrap_err().to_string();
            assert!(error.contains("decide: ") && error.contains(told), "{behaviour}: {error}");
        }
    }
}

fn message(product: &str) -> Message {
    let money = Money { amount: Price::parse("9").unwrap(), currency: Currency::USD, text: "$9.00".into() };
    let item = Item {
        notification: "n".into(),
        product: product.into(),
        new_price: money,
        watch_price: None,
        previous_price: None,
        occurred_ms: None,
        attributes: Vec::new(),
    };
    Message {
        key: "k".into(),
        attempt: 1,
        reason: Reason::PriceDrop,
        to: Recipient {
            user_id: UserId::new("u1").unwrap(),
            channel: "channel".into(),
            address: "a".into(),
            locale: None,
            attributes: Vec::new(),
        },
        items: vec![item],
        unsubscribe_url: None,
        callback_url: None,
        collapse_key: None,
        expires_ms: None,
        sent_ms: 0,
        attributes: Vec::new(),
    }
}

#[test]
fn one_bad_item_does_not_fail_its_batch() {
    let place = Place::new();
    place.put_plugin("channel", &fixture("channel-hostile"));
    let host = place.host();
    let channel = host.channel("channel").unwrap();
    let messages: Vec<Message> =
        (0..200).map(|at| message(if at == 77 { "poison" } else { "fine" })).collect();
    let answers = channel.render(&messages);
    for (at, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(outgoing) => assert_eq!(outgoing, Ok(Outgoing::Line("fine".into()))),
            Err(error) => assert_eq!(at, 77, "{error}"),
        }
    }
    assert_eq!(host.status().plugin("channel").unwrap().counts.traps, 1, "one batch, one failure");
}

#[test]
fn memory_does_not_grow_while_plugins_keep_failing() {
    let place = Place::new();
    place.put_floor("floor", "10");
    place.put_plugin("throttle", &fixture("throttle-hostile"));
    place.put("throttle.toml", "[settings]\nbehaviour = \"giant-state\"\n");
    let host = place.host();
    let product = common::product();
    let warm = |rounds: usize| {
        for _ in 0..rounds {
            let throttle = host.throttling().unwrap();
            drop(throttle.decide(&[arrival(&product)]));
            place.put_hostile("floor", "memory", 1);
            host.reload();
            place.put_plugin("floor", &built("bucketing-floor"));
        }
    };
    warm(5);
    let before = resident_bytes();
    warm(30);
    let grown = resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "grew by {grown} bytes");
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

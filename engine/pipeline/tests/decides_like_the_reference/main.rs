//! The notifier over in-memory ports, compared with the reference model: random histories, read
//! by page and by bucket, committed in chunks, interrupted at any point.

#![allow(clippy::unwrap_used, missing_docs)]

mod fairness;
mod faults;
mod group;
mod harness;
mod journal;
mod policies;
mod script;
mod throttled;

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use pricedrop_model::Rules;
use pricedrop_model::ports::Outcome;
use pricedrop_testing::history::{History, Plot, plots, rules};
use pricedrop_testing::reference::{Answer, Counts, Verdict, who_is_told};
use prometheus_client::metrics::counter::Counter;
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};

use faults::{Fault, Faults};
use harness::{Dice, Run, Setup, run};
use policies::Mapping;
use throttled::Throttled;

const THREADS: u32 = 4;

/// Returns how many of `all` histories are run: all of them, or one in
/// `PRICEDROP_TEST_ONE_IN`, which `make check` sets because a developer waits for the result.
fn how_many(all: u32) -> u32 {
    let one_in = std::env::var("PRICEDROP_TEST_ONE_IN").map_or(1, |text| text.parse().unwrap());
    all.div_ceil(one_in)
}

/// Checks a property over random histories on several threads. Prints the smallest
/// history that violates it.
fn hold<S: Strategy>(cases: u32, strategy: impl Fn() -> S + Sync, property: impl Fn(S::Value) + Sync)
where
    S::Value: std::fmt::Debug,
{
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let cases = how_many(cases).div_ceil(THREADS);
                let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
                let held = TestRunner::new(config).run(&strategy(), |value| {
                    property(value);
                    Ok(())
                });
                if let Err(TestError::Fail(why, value)) = held {
                    panic!("{why}\n{value:#?}");
                } else {
                    held.unwrap();
                }
            });
        }
    });
}

/// Returns the settings of a run without faults and without small limits.
fn plain() -> Setup {
    Setup {
        commit_watches: 100_000,
        page_rows: 1_000,
        batch_records: 100,
        bucket_threshold: usize::MAX,
        mapping: None,
        throttled: false,
        partitions: 1,
        members: 1,
        moves_one_in: None,
        faults: Faults::None,
        seed: 0,
    }
}

/// Returns settings with small pages, small commits and a random policy.
fn cut_small(seed: u64) -> Setup {
    let mut dice = Dice(seed);
    let mapping = Mapping::ALL.get(dice.roll(6) as usize).copied();
    Setup {
        commit_watches: 1 + dice.roll(5) as usize,
        page_rows: 1 + dice.roll(4) as usize,
        batch_records: 1 + dice.roll(6) as usize,
        bucket_threshold: dice.roll(4) as usize,
        mapping,
        throttled: false,
        partitions: 1,
        members: 1,
        moves_one_in: None,
        faults: Faults::None,
        seed,
    }
}

fn expected(history: &History) -> Answer {
    who_is_told(&history.rules, history.times, &history.events)
}

/// Checks that the notifications are the same, those of each record in the same order.
fn assert_told(run: &Run, answer: &Answer) {
    let mut told = run.told.clone();
    told.sort_by_key(|told| told.record);
    assert_eq!(told, answer.told, "notifications: the engine's, then the reference's");
    let dead = answer.settled.iter().zip(0..).filter(|(settled, _)| settled.verdict == Verdict::Dead);
    let mut dead_letters = run.dead.clone();
    dead_letters.sort();
    assert_eq!(dead_letters, dead.map(|(_, offset)| offset).collect::<Vec<i64>>());
}

/// Checks that every reported outcome is correct, and reported once.
fn assert_settled(run: &Run, answer: &Answer) {
    let mut settled = run.settled.clone();
    settled.sort_by_key(|(offset, _)| *offset);
    assert!(settled.windows(2).all(|pair| pair[0].0 < pair[1].0), "settled twice: {settled:?}");
    for (offset, outcome) in settled {
        let verdict = match outcome {
            Outcome::Dead(_) => Verdict::Dead,
            Outcome::Tombstone => Verdict::Tombstone,
            Outcome::Stale => Verdict::Stale,
            Outcome::NotLower => Verdict::NotLower,
            Outcome::Drop { told, told_before } => Verdict::Drop { told, told_before },
            Outcome::Held | Outcome::Skipped => panic!("no throttle: {outcome:?}"),
        };
        assert_eq!(verdict, answer.settled[offset as usize].verdict, "record {offset}");
    }
}

/// Checks that the metrics are those of the reference.
fn assert_counts(run: &Run, answer: &Answer) {
    let counted = |counter: &Counter| counter.get();
    let engine = &run.metrics;
    let updates = counted(&engine.stale) + counted(&engine.not_lower) + counted(&engine.drops);
    let counts = Counts {
        updates,
        stale: counted(&engine.stale),
        drops: counted(&engine.drops),
        notifications: counted(&engine.notifications),
        dead: counted(&engine.dead),
    };
    assert_eq!(counts, answer.counts());
}

fn histories(steps: usize) -> impl Strategy<Value = (Rules, Plot, u64)> {
    (rules(), plots(steps), any::<u64>())
}

#[test]
fn scripts_without_a_clock_notify_the_same_users_as_the_reference() {
    let strategy = || histories(40).prop_map(|(rules, plot, seed)| (History::of_records(rules, &plot), seed));
    hold(10_000, strategy, |(history, seed)| {
        let answer = expected(&history);
        for setup in [plain(), cut_small(seed)] {
            let run = run(&history, &setup);
            assert_told(&run, &answer);
            assert_settled(&run, &answer);
            assert_eq!(run.settled.len(), answer.settled.len());
            assert_counts(&run, &answer);
        }
    });
}

#[test]
fn chunked_fan_outs_interrupted_at_random_notify_the_same_users_as_the_reference() {
    let strategy =
        || histories(40).prop_map(|(rules, plot, seed)| (History::under_a_clock(rules, &plot), seed));
    hold(10_000, strategy, |(history, seed)| {
        let answer = expected(&history);
        let faults = Faults::OneIn(2 + seed % 20, seed);
        let run = run(&history, &Setup { faults, ..cut_small(seed) });
        assert_told(&run, &answer);
        assert_settled(&run, &answer);
    });
}

#[test]
fn a_fan_out_interrupted_at_any_commit_resumes_with_the_same_result() {
    let strategy =
        || histories(10).prop_map(|(rules, plot, seed)| (History::under_a_clock(rules, &plot), seed));
    hold(200, strategy, |(history, seed)| {
        let answer = expected(&history);
        let setup = cut_small(seed);
        for number in 0..run(&history, &setup).commits {
            for fault in Fault::ALL {
                let run = run(&history, &Setup { faults: Faults::At(number, fault), ..setup.clone() });
                assert_told(&run, &answer);
                assert_settled(&run, &answer);
            }
        }
    });
}

#[test]
fn partitions_that_move_between_notifiers_notify_the_same_users_as_the_reference() {
    let strategy =
        || histories(40).prop_map(|(rules, plot, seed)| (History::under_a_clock(rules, &plot), seed));
    let moves = AtomicU64::new(0);
    hold(10_000, strategy, |(history, seed)| {
        let mut dice = Dice(seed ^ 4);
        let answer = expected(&history);
        let faults = if dice.roll(2) == 0 { Faults::None } else { Faults::OneIn(2 + seed % 20, seed) };
        let setup = Setup {
            partitions: 1 + dice.roll(4) as usize,
            members: 1 + dice.roll(3) as usize,
            moves_one_in: Some(4 + dice.roll(20)),
            faults,
            ..cut_small(seed)
        };
        let run = run(&history, &setup);
        moves.fetch_add(run.moves as u64, Relaxed);
        assert_told(&run, &answer);
        assert_settled(&run, &answer);
    });
    assert!(moves.load(Relaxed) > u64::from(how_many(10_000)), "partitions hardly moved");
}

#[test]
fn a_throttle_loses_no_accepted_update_and_released_updates_notify_like_the_reference() {
    let strategy =
        || histories(40).prop_map(|(rules, plot, seed)| (History::under_a_clock(rules, &plot), seed));
    hold(10_000, strategy, |(history, seed)| {
        let answer = expected(&history);
        let faults = if seed % 2 == 0 { Faults::None } else { Faults::OneIn(2 + seed % 20, seed) };
        let mut run = run(&history, &Setup { throttled: true, faults, ..cut_small(seed) });
        let throttled = Throttled::follow(&history, &answer.settled, &run.journal);
        throttled.assert_pending(&run.pending);
        run.told.sort_by_key(|told| told.record);
        assert_eq!(run.told, throttled.told, "notifications: the engine's, then the reference's");
    });
}

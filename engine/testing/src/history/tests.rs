//! Random histories reach every rule often enough to be a useful test.

#![allow(clippy::unwrap_used)]

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::reference::{Answer, Verdict};

fn answers(history: impl Fn(Rules, &Plot) -> History) -> Vec<(History, Answer)> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = (rules(), plots(40));
    let mut answer = || {
        let (rules, plot) = strategy.new_tree(&mut runner).unwrap().current();
        let history = history(rules, &plot);
        let answer = who_is_told(&history.rules, history.times, &history.events);
        (history, answer)
    };
    (0..2_000).map(|_| answer()).collect()
}

#[test]
fn random_histories_reach_every_rule() {
    for history in [History::of_records, History::under_a_clock] {
        let (mut records, mut quiet, mut repeated) = (0, 0, 0);
        let mut counts = [0; 5];
        for (_, answer) in answers(history) {
            let of_history = answer.counts();
            let kinds = [
                of_history.updates,
                of_history.stale,
                of_history.drops,
                of_history.notifications,
                of_history.dead,
            ];
            kinds.iter().zip(&mut counts).for_each(|(kind, count)| *count += kind);
            records += answer.settled.len();
            for settled in &answer.settled {
                if let Verdict::Drop { told, told_before } = settled.verdict {
                    quiet += u64::from(told == 0);
                    repeated += u64::from(told_before);
                }
            }
        }
        let reached = format!("{records} records {counts:?} quiet {quiet} repeated {repeated}");
        assert!(records > 20_000 && repeated > 500 && quiet > 1_000, "{reached}");
        assert!(counts.iter().all(|count| *count > 1_000), "{reached}");
    }
}

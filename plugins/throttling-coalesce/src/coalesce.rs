//! The rules of the policy: when an update is evaluated, held or skipped.

use crate::bindings::exports::pricedrop::throttling::policy::{
    Decision, Evaluated, Release, Subject, Update,
};
use pricedrop_plugin_support::nanos;
use pricedrop_plugin_support::types::Price;

const HUNDRED_PERCENT_NANOS: u128 = 100_000_000_000;

/// Which of the folded prices is evaluated.
#[derive(Clone, Copy, PartialEq)]
pub enum Released {
    Last,
    Lowest,
}

/// The settings.
pub struct Coalesce {
    interval_ms: i64,
    drop_nanos: u128,
    /// At most 100 %, so that a product with a price stays within 128 bits.
    drop_percent_nanos: u128,
    released: Released,
}

impl Coalesce {
    /// `None` if the percentage is above 100.
    pub fn new(interval_ms: i64, drop: &Price, drop_percent: &Price, released: Released) -> Option<Self> {
        let drop_percent_nanos = nanos(drop_percent);
        (drop_percent_nanos <= HUNDRED_PERCENT_NANOS).then(|| Self {
            interval_ms,
            drop_nanos: nanos(drop),
            drop_percent_nanos,
            released,
        })
    }

    /// A first price always passes.
    pub fn decide(&self, update: &Update) -> Decision {
        let Some(evaluated) = &update.subject.evaluated else { return Decision::Pass };
        if let Some(until_ms) = self.too_soon(evaluated, update.now_ms) {
            return Decision::Hold(until_ms);
        }
        match &update.subject.pending {
            _ if self.worth_telling(&update.price, evaluated) => Decision::Pass,
            // Forgetting it would leave a price that is gone as the latest held.
            Some(pending) => Decision::Hold(pending.due_ms),
            None => Decision::Skip,
        }
    }

    /// Held drops are measured when they are due: the price may have come back.
    pub fn due(&self, subject: &Subject, now_ms: i64) -> Release {
        let Some(pending) = &subject.pending else { return Release::Discard };
        let Some(evaluated) = &subject.evaluated else { return self.release() };
        if let Some(until_ms) = self.too_soon(evaluated, now_ms) {
            return Release::Hold(until_ms);
        }
        if self.released == Released::Lowest && self.worth_telling(&pending.lowest, evaluated) {
            return Release::Lowest;
        }
        if self.worth_telling(&pending.last, evaluated) { Release::Last } else { Release::Discard }
    }

    fn release(&self) -> Release {
        match self.released {
            Released::Last => Release::Last,
            Released::Lowest => Release::Lowest,
        }
    }

    /// Until when to wait. `None` means long enough. A clock that went back has waited
    /// long enough too, else a product could stay silent for as long as it went.
    fn too_soon(&self, evaluated: &Evaluated, now_ms: i64) -> Option<i64> {
        let waited_ms = now_ms.saturating_sub(evaluated.at_ms);
        (0..self.interval_ms).contains(&waited_ms).then(|| evaluated.at_ms.saturating_add(self.interval_ms))
    }

    /// Rises always are: they re-arm watches.
    fn worth_telling(&self, price: &Price, evaluated: &Evaluated) -> bool {
        let before = nanos(&evaluated.price);
        let Some(drop) = before.checked_sub(nanos(price)).filter(|&drop| drop > 0) else { return true };
        drop >= self.drop_nanos && drop * HUNDRED_PERCENT_NANOS >= before * self.drop_percent_nanos
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::exports::pricedrop::throttling::policy::Pending;

    fn price(units: i64) -> Price {
        Price { units, scale: 0 }
    }

    fn subject(evaluated: Option<(i64, i64)>, held: &[i64]) -> Subject {
        Subject {
            product: "P".into(),
            currency: "USD".into(),
            evaluated: evaluated.map(|(units, at_ms)| Evaluated { price: price(units), at_ms }),
            pending: held.first().map(|&first| Pending {
                first: price(first),
                last: price(held[held.len() - 1]),
                lowest: price(*held.iter().min().unwrap()),
                count: held.len() as u32,
                since_ms: 10,
                due_ms: 1_010,
            }),
            saved: None,
        }
    }

    fn decide(policy: &Coalesce, subject: Subject, units: i64, now_ms: i64) -> String {
        format!("{:?}", policy.decide(&Update { subject, price: price(units), now_ms }))
    }

    fn due(policy: &Coalesce, subject: &Subject, now_ms: i64) -> String {
        format!("{:?}", policy.due(subject, now_ms))
    }

    fn policy(interval_ms: i64, drop: i64, percent: i64, released: Released) -> Coalesce {
        Coalesce::new(interval_ms, &price(drop), &price(percent), released).unwrap()
    }

    #[test]
    fn the_defaults_pass_everything() {
        let policy = policy(0, 0, 0, Released::Last);
        for units in [9, 10, 11] {
            assert_eq!(decide(&policy, subject(Some((10, 5)), &[]), units, 5), "Decision::Pass");
        }
    }

    #[test]
    fn a_first_price_passes_whatever_the_settings() {
        let policy = policy(i64::MAX, 50, 100, Released::Last);
        assert_eq!(decide(&policy, subject(None, &[]), 9, 0), "Decision::Pass");
    }

    #[test]
    fn an_update_too_soon_waits_for_the_end_of_the_interval() {
        let policy = policy(1_000, 0, 0, Released::Last);
        assert_eq!(decide(&policy, subject(Some((10, 5)), &[]), 9, 5), "Decision::Hold(1005)");
        assert_eq!(decide(&policy, subject(Some((10, 5)), &[9]), 8, 1_004), "Decision::Hold(1005)");
        assert_eq!(decide(&policy, subject(Some((10, 5)), &[]), 9, 1_005), "Decision::Pass");
        assert_eq!(
            decide(&policy, subject(Some((10, 5)), &[]), 9, 4),
            "Decision::Pass",
            "a clock that went back"
        );
    }

    #[test]
    fn drops_below_either_limit_are_forgotten() {
        let policy = policy(0, 5, 10, Released::Last);
        for (before, now, decision) in
            [(40, 36, "Skip"), (40, 35, "Pass"), (100, 91, "Skip"), (100, 90, "Pass"), (40, 41, "Pass")]
        {
            assert_eq!(
                decide(&policy, subject(Some((before, 0)), &[]), now, 0),
                format!("Decision::{decision}"),
                "{before} to {now}"
            );
        }
    }

    #[test]
    fn a_price_that_came_back_replaces_the_held_drop() {
        let policy = policy(1_000, 5, 0, Released::Last);
        assert_eq!(decide(&policy, subject(Some((100, 0)), &[90]), 99, 1_000), "Decision::Hold(1010)");
        assert_eq!(due(&policy, &subject(Some((100, 0)), &[90, 99]), 1_010), "Release::Discard");
    }

    #[test]
    fn what_is_released_follows_the_setting() {
        let held = subject(Some((100, 0)), &[80, 99]);
        assert_eq!(due(&policy(1_000, 5, 0, Released::Lowest), &held, 1_000), "Release::Lowest");
        assert_eq!(due(&policy(1_000, 0, 0, Released::Last), &held, 1_000), "Release::Last");
        assert_eq!(due(&policy(1_000, 0, 0, Released::Last), &held, 999), "Release::Hold(1000)");
        assert_eq!(due(&policy(0, 90, 0, Released::Lowest), &held, 0), "Release::Discard");
        assert_eq!(due(&policy(0, 90, 0, Released::Lowest), &subject(None, &[80]), 0), "Release::Lowest");
    }

    #[test]
    fn the_highest_prices_do_not_overflow() {
        let policy = policy(0, 0, 100, Released::Last);
        assert_eq!(decide(&policy, subject(Some(((1 << 53) - 1, 0)), &[]), 0, 0), "Decision::Pass");
        assert!(Coalesce::new(0, &price(0), &price(101), Released::Last).is_none());
    }
}

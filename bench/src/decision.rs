//! The cost of a drop that notifies ten users, as the number of the product's watches grows.

use std::time::Duration;

use bytes::Bytes;
use pricedrop_model::{Mode, Price};

use crate::measure::{median, report};
use crate::native;
use crate::rig::{Rig, update, watch};

/// Drops of one run. Each is followed by a rise that arms the same ten watches again.
const DROPS: usize = 500;

/// Runs the section.
pub fn run() {
    let mut baseline: Option<Duration> = None;
    for watches in [100usize, 1_000, 10_000, 100_000, 1_000_000] {
        let rig = Rig::start(native::shipped(), 10_000);
        let threshold = |index: usize| Price::new(1_000_000 + index as i64, 3).unwrap();
        rig.watch((0..watches).map(|index| watch(1, threshold(index), index, Mode::Crossing)));
        // The first drop fires every watch; each later one fires the ten with the highest thresholds.
        rig.post(&[update(1, Price::new(900_000, 3).unwrap())]);
        let above = update(1, threshold(watches));
        let below = update(1, threshold(watches - 10));
        rig.post(std::slice::from_ref(&above));
        rig.post(std::slice::from_ref(&below));
        let updates: Vec<Bytes> = (0..DROPS).flat_map(|_| [above.clone(), below.clone()]).collect();
        let begin = rig.store.outbox_end();
        let time = median(|| rig.post(&updates));
        assert_eq!(rig.store.outbox_end() - begin, (DROPS * 10 * crate::measure::RUNS) as i64);
        let each = time / DROPS as u32;
        let baseline = *baseline.get_or_insert(each);
        let ratio = each.as_secs_f64() / baseline.as_secs_f64();
        report(
            &format!("{watches} watches, ten told"),
            format!("{:.1} us a drop", each.as_secs_f64() * 1e6),
            Some(ratio),
        );
    }
}

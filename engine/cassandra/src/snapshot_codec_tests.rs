//! Property tests of encoded cache entries: any range read from one equals that range of its
//! rows.

use proptest::prelude::*;

use pricedrop_model::{
    Currency, Cursor, Floor, Hysteresis, Mode, Price, UserId, WallTime, WatchPage, WatchRow, WriteTime,
};

use super::*;

type Row = (Price, String, Option<Mode>, Option<Currency>, Option<WallTime>, WriteTime);

fn row() -> impl Strategy<Value = Row> {
    let mode = prop::option::of(prop::sample::select(vec![Mode::EveryDrop, Mode::Crossing, Mode::Once]));
    let currency = prop::option::of(prop::sample::select(vec![Currency::USD, Currency::new("EUR").unwrap()]));
    let time = prop::option::of(any::<i64>().prop_map(WallTime));
    (0..40i64, 0..3u32, "[a-dé\u{0}]{1,4}", mode, currency, time, any::<i64>()).prop_map(
        |(units, scale, user, mode, currency, time, written)| {
            (Price::new(units, scale).unwrap(), user, mode, currency, time, WriteTime(written))
        },
    )
}

fn page(rows: &[Row]) -> WatchPage {
    let mut page = WatchPage::default();
    for (threshold, user, mode, currency, updated_at, write_time) in rows {
        page.push(WatchRow {
            threshold: *threshold,
            user,
            mode: *mode,
            currency: *currency,
            updated_at: *updated_at,
            write_time: *write_time,
        });
    }
    page
}

fn rows(page: &WatchPage) -> Vec<Row> {
    page.iter()
        .map(|row| {
            (row.threshold, row.user.to_owned(), row.mode, row.currency, row.updated_at, row.write_time)
        })
        .collect()
}

fn floor() -> impl Strategy<Value = Floor> {
    let price = || (0..40i64).prop_map(|units| Price::new(units, 1).unwrap());
    prop_oneof![Just(Floor::Infinite), price().prop_map(Floor::Drop), price().prop_map(Floor::Rise)]
}

fn snapshot(all: &[Row], rows_a_page: usize) -> Snapshot {
    let mut encoder = Encoder::default();
    for some in all.chunks(rows_a_page) {
        encoder.add(&page(some));
    }
    assert_eq!(encoder.rows(), all.len() as u64);
    Snapshot::open(encoder.finish()).expect("it is whole")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_range_is_answered_page_by_page(
        mut all in prop::collection::vec(row(), 0..60),
        from in 0..40i64,
        below in floor(),
        most in 1..20usize,
    ) {
        all.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        all.dedup_by(|a, b| (a.0, &a.1) == (b.0, &b.1));
        let snapshot = snapshot(&all, most);
        let bounds = Bounds { from: Price::new(from, 1).unwrap(), below, hysteresis: Hysteresis::NONE };
        let (mut seen, mut after, mut more) = (Vec::new(), None, true);
        while more {
            let mut page = WatchPage::default();
            more = snapshot.fill(&bounds, after.as_ref(), most, &mut page).expect("it is whole");
            prop_assert!(page.len() <= most);
            seen.extend(rows(&page));
            after = seen.last().map(|(threshold, user, ..)| Cursor {
                bucket: None,
                threshold: *threshold,
                user: UserId::new(user).unwrap(),
            });
        }
        let inside = |row: &&Row| row.0 >= bounds.from && !below.spends(row.0, Hysteresis::NONE);
        prop_assert_eq!(seen, all.iter().filter(inside).cloned().collect::<Vec<_>>());
    }

    #[test]
    fn the_header_summarises_all_rows(mut all in prop::collection::vec(row(), 0..40)) {
        all.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let snapshot = snapshot(&all, 7);
        let header = snapshot.header();
        let any = |mode: &dyn Fn(Option<Mode>) -> bool| all.iter().any(|row| mode(row.2));
        prop_assert_eq!(header.rows, all.len() as u64);
        prop_assert_eq!(header.modeless, any(&|mode| mode.is_none()));
        prop_assert_eq!(header.every_drop, any(&|mode| mode == Some(Mode::EveryDrop)));
        prop_assert_eq!(header.crossing, any(&|mode| matches!(mode, Some(Mode::Crossing | Mode::Once))));
        prop_assert_eq!(header.last_changed, all.iter().filter_map(|row| row.4).max());
    }

    #[test]
    fn damaged_bytes_are_not_decoded(all in prop::collection::vec(row(), 1..20), at in any::<prop::sample::Index>()) {
        let mut sorted = all;
        sorted.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let mut encoder = Encoder::default();
        encoder.add(&page(&sorted));
        let mut bytes = encoder.finish().to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 0x55;
        prop_assert!(Snapshot::open(bytes.into()).is_none());
    }
}

#[test]
fn a_snapshot_of_too_many_rows_contains_only_their_number() {
    let snapshot = Snapshot::open(too_large(200_000)).unwrap();
    assert!(snapshot.header().too_large);
    assert_eq!(snapshot.header().rows, 200_000);
}

//! The conformance suite for implementations of the `WatchStore` and `WatchWriter` ports.

use pricedrop_model::ports::{Scan, WatchStore, WatchView, WatchWriter};
use pricedrop_model::{
    Floor, Hysteresis, Mode, Price, ProductId, Removal, UserId, WallTime, Watch, WatchPage, WriteTime,
};

fn product(name: &str) -> ProductId {
    ProductId::new(name).expect("a short name")
}

fn price(text: &str) -> Price {
    Price::parse(text).expect("a price")
}

/// Returns a watch without mode and currency.
pub fn watch(name: &str, threshold: &str, user: &str) -> Watch {
    Watch {
        product_id: product(name),
        price_watch_value: price(threshold),
        user_id: UserId::new(user).expect("a short name"),
        mode: None,
        currency: None,
        updated_at: None,
    }
}

/// A row of a scan: threshold, user, mode, `updated_at` and version.
pub type Row = (Price, String, Option<Mode>, Option<WallTime>, WriteTime);

/// Reads a whole scan in pages of at most `page_rows` rows.
pub async fn rows(view: &mut dyn WatchView, mut scan: Scan<'_>, page_rows: usize) -> Vec<Row> {
    let (mut page, mut rows) = (WatchPage::default(), Vec::new());
    scan.page_rows = page_rows;
    loop {
        let next = view.scan(&scan, &mut page).await.expect("the store answers");
        assert!(page.len() <= page_rows, "a page of {} rows, not {page_rows}", page.len());
        rows.extend(
            page.iter()
                .map(|row| (row.threshold, row.user.to_owned(), row.mode, row.updated_at, row.write_time)),
        );
        match next {
            Some(cursor) => scan.after = Some(cursor),
            None => return rows,
        }
    }
}

/// Returns a scan of the plain range from a price up.
pub fn from_price<'a>(product: &'a ProductId, from: &str) -> Scan<'a> {
    Scan {
        product,
        from: price(from),
        below: Floor::Infinite,
        hysteresis: Hysteresis::NONE,
        buckets: None,
        after: None,
        page_rows: 100,
    }
}

async fn all<S: WatchStore>(store: &S, name: &str) -> Vec<Row> {
    let product = product(name);
    let mut view = store.view().await.expect("a view");
    rows(&mut *view, from_price(&product, "0"), 100).await
}

/// An acknowledged write is visible to every later view.
pub async fn a_written_watch_is_visible_to_the_next_view<S: WatchStore + WatchWriter>(store: S) {
    for turn in 0..20 {
        let name = format!("P{turn}");
        let written = store.put(vec![watch(&name, "79.90", "u1")]).await.expect("written").updated_at;
        let mut view = store.view().await.expect("a view");
        assert!(view.wall_time() >= written, "the view is older than what it shows");
        let product = product(&name);
        let seen = rows(&mut *view, from_price(&product, "79.9"), 10).await;
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].3, Some(written), "updated_at is the answer's");
        let summary = view.summary(&product).await.expect("a summary");
        assert!(summary.modeless, "there is one without a mode");
        assert!(summary.last_changed.is_none_or(|changed| changed >= written));
    }
}

/// A write after a view was opened has a later `updated_at` than the view's wall time.
pub async fn a_write_behind_a_view_is_updated_after_it<S: WatchStore + WatchWriter>(store: S) {
    for turn in 0..20 {
        let view = store.view().await.expect("a view");
        let written =
            store.put(vec![watch("P", "10", &format!("u{turn}"))]).await.expect("written").updated_at;
        assert!(written > view.wall_time(), "{written} is not after the view of {}", view.wall_time());
    }
}

/// There is one row per product, threshold and user.
pub async fn writing_a_watch_again_replaces_it<S: WatchStore + WatchWriter>(store: S) {
    store.put(vec![watch("P", "10", "u")]).await.expect("written");
    let first = all(&store, "P").await;
    let again = Watch { mode: Some(Mode::Once), ..watch("P", "10.00", "u") };
    store.put(vec![again]).await.expect("written");
    let second = all(&store, "P").await;
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_eq!(second[0].2, Some(Mode::Once));
    assert!(second[0].4 > first[0].4, "a new version of the row");
    let mut view = store.view().await.expect("a view");
    assert!(view.summary(&product("P")).await.expect("a summary").crossing, "there is a once-watch");
}

/// If one call writes a watch twice, the later one wins.
pub async fn of_two_writes_in_one_put_the_later_stands<S: WatchStore + WatchWriter>(store: S) {
    let earlier = Watch { mode: Some(Mode::Once), ..watch("P", "10", "u") };
    let later = Watch { mode: Some(Mode::Crossing), ..watch("P", "10", "u") };
    store.put(vec![earlier, watch("A", "1", "u"), later]).await.expect("written");
    let seen = all(&store, "P").await;
    assert_eq!(seen.iter().map(|row| row.2).collect::<Vec<_>>(), [Some(Mode::Crossing)]);
}

/// Returns 300 watches of one product. Some share a threshold, and some thresholds are not
/// normalised.
fn crowd(name: &str) -> Vec<Watch> {
    (0..300u64)
        .map(|n| {
            let threshold = format!("{}.{}", (n * 7919) % 50, (n * 31) % 100);
            let mode = [None, Some(Mode::EveryDrop), Some(Mode::Crossing), Some(Mode::Once)];
            Watch { mode: mode[(n % 4) as usize], ..watch(name, &threshold, &format!("user-{n}")) }
        })
        .collect()
}

/// The size of pages changes nothing, and products with similar names are not read.
pub async fn every_page_size_reads_the_same_rows_in_order<S: WatchStore + WatchWriter>(store: S) {
    for name in ["P", "P1", "P\u{0}", "O"] {
        store.put(crowd(name)).await.expect("written");
    }
    let product = product("P");
    let mut expected: Vec<(Price, String)> = crowd("P")
        .into_iter()
        .filter(|watch| watch.price_watch_value >= price("12.5"))
        .map(|watch| (watch.price_watch_value, watch.user_id.to_string()))
        .collect();
    expected.sort();
    let mut view = store.view().await.expect("a view");
    for page_rows in [1, 2, 7, 299, 300, 1000] {
        let seen = rows(&mut *view, from_price(&product, "12.5"), page_rows).await;
        let seen: Vec<_> = seen.into_iter().map(|row| (row.0, row.1)).collect();
        assert_eq!(seen, expected, "pages of {page_rows}");
    }
}

/// Rows at or above the floor are not read, with any hysteresis.
pub async fn a_scan_ends_at_the_floor<S: WatchStore + WatchWriter>(store: S) {
    store.put(crowd("P")).await.expect("written");
    let product = product("P");
    let tenth = Hysteresis::new("0.1".parse().expect("a decimal")).expect("a share");
    let mut view = store.view().await.expect("a view");
    for below in [Floor::Drop(price("30")), Floor::Rise(price("33")), Floor::Drop(price("5"))] {
        for hysteresis in [Hysteresis::NONE, tenth] {
            let scan = Scan { below, hysteresis, ..from_price(&product, "12.5") };
            let seen = rows(&mut *view, scan, 50).await;
            let inside =
                |threshold: Price| threshold >= price("12.5") && !below.spends(threshold, hysteresis);
            let expected = crowd("P").into_iter().filter(|watch| inside(watch.price_watch_value)).count();
            assert_eq!(seen.len(), expected, "{below:?} {hysteresis:?}");
            assert!(seen.iter().all(|row| inside(row.0)));
        }
    }
}

/// A delete is durable, and returns whether the watch existed.
pub async fn deleting_says_whether_there_was_one<S: WatchStore + WatchWriter>(store: S) {
    store.put(vec![watch("P", "10", "u"), watch("P", "20", "u")]).await.expect("written");
    let (product, user) = (product("P"), UserId::new("u").expect("a short name"));
    assert!(store.delete(&product, price("10.0"), &user).await.expect("deleted").existed);
    assert!(!store.delete(&product, price("10"), &user).await.expect("answered").existed);
    assert_eq!(all(&store, "P").await.len(), 1);
}

/// A removal names a version. So a row that was written again is kept, and repeating the removal
/// does nothing.
pub async fn a_notified_row_is_removed_unless_it_was_written_again<S: WatchStore + WatchWriter>(store: S) {
    store.put(vec![watch("P", "10", "kept"), watch("P", "10", "told")]).await.expect("written");
    let removals: Vec<Removal> = all(&store, "P")
        .await
        .into_iter()
        .map(|row| Removal {
            product: product("P"),
            threshold: row.0,
            user: UserId::new(&row.1).expect("a short name"),
            write_time: row.4,
        })
        .collect();
    store.put(vec![watch("P", "10", "kept")]).await.expect("written");
    for _ in 0..2 {
        store.remove_told(&removals).await.expect("removed");
        let left: Vec<_> = all(&store, "P").await.into_iter().map(|row| row.1).collect();
        assert_eq!(left, ["kept"]);
    }
}

/// Pages contain all watches, ordered by product, threshold and user.
pub async fn a_list_goes_through_all_products_in_order<S: WatchStore + WatchWriter>(store: S) {
    let names = ["a", "a\u{0}", "a\u{0}b", "ab", "b", "é"];
    for name in names {
        store
            .put(vec![watch(name, "20", "v"), watch(name, "3", "u"), watch(name, "20", "u")])
            .await
            .expect("written");
    }
    let mut seen: Vec<Watch> = Vec::new();
    loop {
        let page = store.list(None, seen.last(), 4).await.expect("a page");
        assert!(page.len() <= 4);
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    let keys: Vec<_> = seen
        .iter()
        .map(|watch| (watch.product_id.as_str(), watch.price_watch_value, watch.user_id.as_str()))
        .collect();
    assert_eq!(keys.len(), names.len() * 3);
    assert!(keys.is_sorted(), "{keys:?}");
    let one = store.list(Some(&product("a")), None, 100).await.expect("a page");
    assert_eq!(one.len(), 3, "of one product");
    assert!(store.list(Some(&product("a")), one.last(), 100).await.expect("a page").is_empty());
}

/// Stores with exact summaries count the watches and know their modes, after writes, rewrites and
/// deletes.
pub async fn a_summary_counts_what_there_is<S: WatchStore + WatchWriter>(store: S) {
    let once = Watch { mode: Some(Mode::Once), ..watch("P", "10", "u") };
    store.put(vec![watch("P", "10", "u")]).await.expect("written");
    assert_eq!(counted(&store).await, (1, false, false, true));
    store.put(vec![once.clone()]).await.expect("written");
    assert_eq!(counted(&store).await, (1, false, true, false), "rewritten");
    let crossing = Watch { mode: Some(Mode::Crossing), ..watch("P", "20", "u") };
    store.put(vec![once, watch("A", "1", "u"), crossing.clone(), crossing]).await.expect("written");
    assert_eq!(counted(&store).await, (2, false, true, false), "of two writes in one, one counts");
    let user = UserId::new("u").expect("a short name");
    store.delete(&product("P"), price("10"), &user).await.expect("deleted");
    assert_eq!(counted(&store).await, (1, false, true, false), "deleted");
}

async fn counted<S: WatchStore>(store: &S) -> (u64, bool, bool, bool) {
    let mut view = store.view().await.expect("a view");
    let known = view.summary(&product("P")).await.expect("a summary");
    (known.watches, known.every_drop, known.crossing, known.modeless)
}

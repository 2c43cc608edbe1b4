//! The conformance suite of caches of watches.

use bytes::Bytes;
use pricedrop_model::cache::{Cached, Shelf, ShelfCache};
use pricedrop_model::{BucketId, ProductId};

/// More keys than an adapter sends in one request.
const MANY: i64 = 2_500;

fn product(name: &str) -> ProductId {
    ProductId::new(name).expect("a short name")
}

fn plain(name: &str) -> Shelf {
    Shelf::Plain(product(name))
}

fn bucket(number: i64) -> Shelf {
    Shelf::Bucket { product: product("P"), policy: "steps@1+ab".into(), bucket: BucketId(number) }
}

async fn get<C: ShelfCache>(cache: &C, shelf: &Shelf) -> Cached {
    let mut found = cache.get(std::slice::from_ref(shelf)).await;
    assert_eq!(found.len(), 1);
    found.remove(0)
}

async fn token<C: ShelfCache>(cache: &C, shelf: &Shelf) -> u64 {
    match get(cache, shelf).await {
        Cached::Fill(token) => token,
        other => panic!("{shelf:?} is to be filled, not {other:?}"),
    }
}

async fn fill<C: ShelfCache>(cache: &C, shelf: &Shelf, bytes: &'static str) {
    let token = token(cache, shelf).await;
    cache.fill(shelf, token, bytes.into()).await;
}

fn hit(bytes: &'static str) -> Cached {
    Cached::Hit(bytes.into())
}

/// An empty entry is found too: that a product has no watches is worth caching.
pub async fn a_filled_shelf_is_found<C: ShelfCache>(cache: C) {
    fill(&cache, &plain("P"), "rows").await;
    fill(&cache, &plain("Q"), "").await;
    assert_eq!(cache.get(&[plain("Q"), plain("P")]).await, [hit(""), hit("rows")]);
}

/// Other readers read the store, and fill nothing.
pub async fn one_asker_fills_a_shelf<C: ShelfCache>(cache: C) {
    let shelf = plain("P");
    let token = token(&cache, &shelf).await;
    assert_eq!(get(&cache, &shelf).await, Cached::Pass);
    cache.fill(&shelf, token.wrapping_add(1), "another's".into()).await;
    assert_eq!(get(&cache, &shelf).await, Cached::Pass);
    cache.fill(&shelf, token, "rows".into()).await;
    assert_eq!(get(&cache, &shelf).await, hit("rows"));
}

/// From `mark` on, readers read the store. After `drop`, one of them fills the entry.
pub async fn a_shelf_being_written_is_passed_over<C: ShelfCache>(cache: C) {
    let shelf = plain("P");
    fill(&cache, &shelf, "old").await;
    assert_eq!(cache.mark(std::slice::from_ref(&shelf)).await, None);
    assert_eq!(get(&cache, &shelf).await, Cached::Pass);
    assert_eq!(get(&cache, &shelf).await, Cached::Pass);
    assert_eq!(cache.drop(std::slice::from_ref(&shelf)).await, None);
    fill(&cache, &shelf, "new").await;
    assert_eq!(get(&cache, &shelf).await, hit("new"));
}

/// A reader that read the store before a write cannot store its result after the write.
pub async fn a_fill_begun_before_a_write_is_refused<C: ShelfCache>(cache: C) {
    let shelf = [plain("P")];
    let early = token(&cache, &shelf[0]).await;
    assert_eq!(cache.mark(&shelf).await, None);
    cache.fill(&shelf[0], early, "old".into()).await;
    assert_eq!(get(&cache, &shelf[0]).await, Cached::Pass);
    assert_eq!(cache.drop(&shelf).await, None);
    cache.fill(&shelf[0], early, "old".into()).await;
    let late = token(&cache, &shelf[0]).await;
    cache.fill(&shelf[0], early, "old".into()).await;
    assert_eq!(get(&cache, &shelf[0]).await, Cached::Pass);
    cache.fill(&shelf[0], late, "new".into()).await;
    assert_eq!(get(&cache, &shelf[0]).await, hit("new"));
}

/// `drop` ends only the caller's own invalidation.
pub async fn of_two_writers_the_other_still_stands<C: ShelfCache>(cache: C) {
    let (both, one) = ([plain("P"), plain("Q")], [plain("P")]);
    assert_eq!(cache.mark(&both).await, None);
    assert_eq!(cache.mark(&one).await, None);
    assert_eq!(cache.drop(&both).await, None);
    assert_eq!(get(&cache, &both[0]).await, Cached::Pass);
    assert!(matches!(get(&cache, &both[1]).await, Cached::Fill(_)));
    assert_eq!(cache.drop(&one).await, None);
    assert!(matches!(get(&cache, &both[0]).await, Cached::Fill(_)));
}

/// Names may contain any character that an adapter uses to build its keys.
pub async fn shelves_are_told_apart<C: ShelfCache>(cache: C) {
    let live = |name: &str, policy: &str| Shelf::Live { product: product(name), policy: policy.into() };
    let shelves = [
        plain("P"),
        plain("P:steps@1+ab:live"),
        plain("P\r\n{}*?%00é"),
        live("P", "steps@1+ab"),
        live("P:steps@1+ab", "x"),
        live("P", "steps@1+ab:x"),
        bucket(0),
        bucket(-1),
        bucket((1 << 53) - 1),
    ];
    for (number, shelf) in shelves.iter().enumerate() {
        let token = token(&cache, shelf).await;
        cache.fill(shelf, token, number.to_string().into()).await;
    }
    let all: Vec<Cached> = (0..shelves.len()).map(|number| Cached::Hit(number.to_string().into())).collect();
    assert_eq!(cache.get(&shelves).await, all);
    assert_eq!(cache.drop(&shelves[3..4]).await.unwrap_or(0), 0);
    let found = cache.get(&shelves).await;
    let hits = found.iter().filter(|cached| matches!(cached, Cached::Hit(_))).count();
    assert_eq!((hits, matches!(found[3], Cached::Fill(_))), (shelves.len() - 1, true));
}

/// Answers have the order of the keys, however many there are.
pub async fn many_shelves_are_answered_in_their_order<C: ShelfCache>(cache: C) {
    let shelves: Vec<Shelf> = (0..MANY).map(bucket).collect();
    for (number, found) in cache.get(&shelves).await.into_iter().enumerate() {
        let Cached::Fill(token) = found else { panic!("{number} is to be filled, not {found:?}") };
        if number % 2 == 0 {
            cache.fill(&shelves[number], token, Bytes::from(number.to_string())).await;
        }
    }
    for (number, found) in cache.get(&shelves).await.into_iter().enumerate() {
        let expected = if number % 2 == 0 { Cached::Hit(number.to_string().into()) } else { Cached::Pass };
        assert_eq!(found, expected, "{number}");
    }
    assert_eq!(cache.mark(&shelves).await, None);
    assert!(cache.get(&shelves).await.iter().all(|cached| *cached == Cached::Pass));
    assert_eq!(cache.drop(&shelves).await, None);
    assert!(cache.get(&shelves).await.iter().all(|cached| matches!(cached, Cached::Fill(_))));
}

/// Entries of several megabytes are returned complete, alone and beside others.
pub async fn shelves_of_megabytes_are_found<C: ShelfCache>(cache: C) {
    const MEGABYTE: u32 = 1024 * 1024;
    let lengths = [10 * MEGABYTE, 1, 3 * MEGABYTE, 3 * MEGABYTE, 0, 2 * MEGABYTE, MEGABYTE, 5 * MEGABYTE];
    let bytes = |length| -> Bytes { (0..length).map(|at| (at % 251) as u8).collect::<Vec<u8>>().into() };
    let shelves: Vec<Shelf> = (0..lengths.len() as i64).map(bucket).collect();
    for (shelf, length) in shelves.iter().zip(lengths) {
        let token = token(&cache, shelf).await;
        cache.fill(shelf, token, bytes(length)).await;
    }
    for (found, length) in cache.get(&shelves).await.into_iter().zip(lengths) {
        assert!(found == Cached::Hit(bytes(length)), "not the {length} bytes that were stored");
    }
}

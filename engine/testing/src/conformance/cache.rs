//! The conformance suite for implementations of the `WatchCache` port.

use bytes::Bytes;
use pricedrop_model::cache::{CacheKey, Cached, WatchCache};
use pricedrop_model::{BucketId, ProductId};

/// More keys than an adapter sends in one request.
const MANY: i64 = 2_500;

fn product(name: &str) -> ProductId {
    ProductId::new(name).expect("a short name")
}

fn plain(name: &str) -> CacheKey {
    CacheKey::Product(product(name))
}

fn bucket(number: i64) -> CacheKey {
    CacheKey::Bucket { product: product("P"), policy: "steps@1+ab".into(), bucket: BucketId(number) }
}

async fn get<C: WatchCache>(cache: &C, key: &CacheKey) -> Cached {
    let mut found = cache.get(std::slice::from_ref(key)).await;
    assert_eq!(found.len(), 1);
    found.remove(0)
}

async fn lease<C: WatchCache>(cache: &C, key: &CacheKey) -> u64 {
    match get(cache, key).await {
        Cached::Fill(lease) => lease,
        other => panic!("{key:?} is to be filled, not {other:?}"),
    }
}

async fn fill<C: WatchCache>(cache: &C, key: &CacheKey, bytes: &'static str) {
    let lease = lease(cache, key).await;
    cache.fill(key, lease, bytes.into()).await;
}

fn hit(bytes: &'static str) -> Cached {
    Cached::Hit(bytes.into())
}

/// An empty entry is found too: that a product has no watches is worth caching.
pub async fn a_filled_entry_is_found<C: WatchCache>(cache: C) {
    fill(&cache, &plain("P"), "rows").await;
    fill(&cache, &plain("Q"), "").await;
    assert_eq!(cache.get(&[plain("Q"), plain("P")]).await, [hit(""), hit("rows")]);
}

/// Other readers read the store, and fill nothing.
pub async fn one_reader_fills_an_entry<C: WatchCache>(cache: C) {
    let key = plain("P");
    let lease = lease(&cache, &key).await;
    assert_eq!(get(&cache, &key).await, Cached::Pass);
    cache.fill(&key, lease.wrapping_add(1), "another's".into()).await;
    assert_eq!(get(&cache, &key).await, Cached::Pass);
    cache.fill(&key, lease, "rows".into()).await;
    assert_eq!(get(&cache, &key).await, hit("rows"));
}

/// While an entry is being invalidated, readers read the store. Afterwards, one of them fills the entry.
pub async fn an_entry_being_written_is_not_filled<C: WatchCache>(cache: C) {
    let key = plain("P");
    fill(&cache, &key, "old").await;
    assert_eq!(cache.begin_invalidation(std::slice::from_ref(&key)).await, None);
    assert_eq!(get(&cache, &key).await, Cached::Pass);
    assert_eq!(get(&cache, &key).await, Cached::Pass);
    assert_eq!(cache.end_invalidation(std::slice::from_ref(&key)).await, None);
    fill(&cache, &key, "new").await;
    assert_eq!(get(&cache, &key).await, hit("new"));
}

/// A reader that read the store before a write cannot store its result after the write.
pub async fn a_fill_that_began_before_a_write_is_refused<C: WatchCache>(cache: C) {
    let key = [plain("P")];
    let early = lease(&cache, &key[0]).await;
    assert_eq!(cache.begin_invalidation(&key).await, None);
    cache.fill(&key[0], early, "old".into()).await;
    assert_eq!(get(&cache, &key[0]).await, Cached::Pass);
    assert_eq!(cache.end_invalidation(&key).await, None);
    cache.fill(&key[0], early, "old".into()).await;
    let late = lease(&cache, &key[0]).await;
    cache.fill(&key[0], early, "old".into()).await;
    assert_eq!(get(&cache, &key[0]).await, Cached::Pass);
    cache.fill(&key[0], late, "new".into()).await;
    assert_eq!(get(&cache, &key[0]).await, hit("new"));
}

/// `drop` ends only the caller's own invalidation.
pub async fn the_mark_of_another_writer_remains<C: WatchCache>(cache: C) {
    let (both, one) = ([plain("P"), plain("Q")], [plain("P")]);
    assert_eq!(cache.begin_invalidation(&both).await, None);
    assert_eq!(cache.begin_invalidation(&one).await, None);
    assert_eq!(cache.end_invalidation(&both).await, None);
    assert_eq!(get(&cache, &both[0]).await, Cached::Pass);
    assert!(matches!(get(&cache, &both[1]).await, Cached::Fill(_)));
    assert_eq!(cache.end_invalidation(&one).await, None);
    assert!(matches!(get(&cache, &both[0]).await, Cached::Fill(_)));
}

/// Names may contain any character that an adapter uses to build its keys.
pub async fn entries_do_not_share_content<C: WatchCache>(cache: C) {
    let live = |name: &str, policy: &str| CacheKey::Live { product: product(name), policy: policy.into() };
    let keys = [
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
    for (number, key) in keys.iter().enumerate() {
        let lease = lease(&cache, key).await;
        cache.fill(key, lease, number.to_string().into()).await;
    }
    let all: Vec<Cached> = (0..keys.len()).map(|number| Cached::Hit(number.to_string().into())).collect();
    assert_eq!(cache.get(&keys).await, all);
    assert_eq!(cache.end_invalidation(&keys[3..4]).await.unwrap_or(0), 0);
    let found = cache.get(&keys).await;
    let hits = found.iter().filter(|cached| matches!(cached, Cached::Hit(_))).count();
    assert_eq!((hits, matches!(found[3], Cached::Fill(_))), (keys.len() - 1, true));
}

/// Answers have the order of the keys, however many there are.
pub async fn many_keys_are_answered_in_order<C: WatchCache>(cache: C) {
    let keys: Vec<CacheKey> = (0..MANY).map(bucket).collect();
    for (number, found) in cache.get(&keys).await.into_iter().enumerate() {
        let Cached::Fill(lease) = found else { panic!("{number} is to be filled, not {found:?}") };
        if number % 2 == 0 {
            cache.fill(&keys[number], lease, Bytes::from(number.to_string())).await;
        }
    }
    for (number, found) in cache.get(&keys).await.into_iter().enumerate() {
        let expected = if number % 2 == 0 { Cached::Hit(number.to_string().into()) } else { Cached::Pass };
        assert_eq!(found, expected, "{number}");
    }
    assert_eq!(cache.begin_invalidation(&keys).await, None);
    assert!(cache.get(&keys).await.iter().all(|cached| *cached == Cached::Pass));
    assert_eq!(cache.end_invalidation(&keys).await, None);
    assert!(cache.get(&keys).await.iter().all(|cached| matches!(cached, Cached::Fill(_))));
}

/// Entries of several megabytes are returned complete, alone and beside others.
pub async fn entries_of_megabytes_are_found<C: WatchCache>(cache: C) {
    const MEGABYTE: u32 = 1024 * 1024;
    let lengths = [10 * MEGABYTE, 1, 3 * MEGABYTE, 3 * MEGABYTE, 0, 2 * MEGABYTE, MEGABYTE, 5 * MEGABYTE];
    let bytes = |length| -> Bytes { (0..length).map(|at| (at % 251) as u8).collect::<Vec<u8>>().into() };
    let keys: Vec<CacheKey> = (0..lengths.len() as i64).map(bucket).collect();
    for (key, length) in keys.iter().zip(lengths) {
        let lease = lease(&cache, key).await;
        cache.fill(key, lease, bytes(length)).await;
    }
    for (found, length) in cache.get(&keys).await.into_iter().zip(lengths) {
        assert!(found == Cached::Hit(bytes(length)), "not the {length} bytes that were stored");
    }
}

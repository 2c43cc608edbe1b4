//! Kills, pauses, flushes and restarts Redis: calls end within a bounded time, and the cache and
//! the retry index return no stale data afterwards.
#![allow(clippy::unwrap_used)]

mod rig;

use std::time::{Duration, Instant};

use bytes::Bytes;
use pricedrop_harness::certificates::Authority;
use pricedrop_harness::servers::{Kind, Own};
use pricedrop_model::cache::{CacheKey, Cached, WatchCache as _};
use pricedrop_model::dispatch::{Claim, Leases as _};
use pricedrop_model::ports::Error;
use pricedrop_model::retry_index::{Kept, Owned, RetryIndex};
use pricedrop_model::{Partition, ProductId, WallTime};
use pricedrop_redis::{Options, Redis, RedisLeases, RedisRetryIndex, RedisWatchCache, Tls};
use pricedrop_testing::conformance::retries::retry;

/// The delay that scheduling on a loaded machine may add to a call.
const SLACK: Duration = Duration::from_secs(3);
const TTL_MS: u64 = 60_000;

struct Rig {
    server: Own,
    _folder: tempfile::TempDir,
}

impl Rig {
    fn new(settings: &str) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let extra = folder.path().join("extra.conf");
        std::fs::write(&extra, settings).unwrap();
        let options = ["--extra", extra.to_str().unwrap()];
        let server = Own::with(Kind::Redis, &folder.path().join("redis"), &options).unwrap();
        Rig { server, _folder: folder }
    }

    fn redis(&self, options: Options) -> Redis {
        Redis::new(rig::at(self.server.address(), options)).unwrap()
    }

    async fn command(&self, words: &[&str]) -> redis::Value {
        let client = redis::Client::open(format!("redis://{}", self.server.address())).unwrap();
        let patient = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let mut link = client.get_multiplexed_async_connection_with_config(&patient).await.unwrap();
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]).query_async(&mut link).await.unwrap()
    }
}

fn quick() -> Options {
    Options { cache_timeout_ms: 200, timeout_ms: 300, breaker_reset_timeout_ms: 200, ..Options::default() }
}

/// Returns options for a server that is available, on a machine that may be busy.
fn patient() -> Options {
    Options {
        cache_timeout_ms: 10_000,
        timeout_ms: 10_000,
        breaker_reset_timeout_ms: 200,
        ..Options::default()
    }
}

fn key() -> [CacheKey; 1] {
    [CacheKey::Product(ProductId::new("P").unwrap())]
}

async fn get(cache: &RedisWatchCache) -> Cached {
    cache.get(&key()).await.remove(0)
}

async fn fill(cache: &RedisWatchCache, bytes: &'static str) {
    let found = until("it can be filled", async || match get(cache).await {
        Cached::Fill(token) => Some(token),
        _ => None,
    });
    cache.fill(&key()[0], found.await, Bytes::from(bytes)).await;
    assert_eq!(get(cache).await, Cached::Hit(bytes.into()));
}

/// Retries until there is a result.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn within<T>(most: Duration, asked: impl Future<Output = T>) -> T {
    let began = Instant::now();
    let answer = asked.await;
    assert!(began.elapsed() < most + SLACK, "took {:?}", began.elapsed());
    answer
}

#[tokio::test]
async fn a_killed_server_costs_latency_only_and_the_cache_comes_back() {
    let mut rig = Rig::new("");
    let redis = rig.redis(quick());
    let cache = RedisWatchCache::with_ttl(&redis, TTL_MS, TTL_MS);
    fill(&cache, "old").await;
    rig.server.kill().unwrap();
    within(Duration::from_millis(200), async { assert_eq!(get(&cache).await, Cached::Pass) }).await;
    within(Duration::from_millis(2_000), async {
        for _ in 0..1_000 {
            assert_eq!(get(&cache).await, Cached::Pass);
        }
    })
    .await;
    assert!(redis.metrics().not_tried.get() > 900, "{:?}", redis.metrics());
    assert_eq!(within(Duration::from_millis(300), cache.begin_invalidation(&key())).await, Some(TTL_MS));
    assert_eq!(within(Duration::from_millis(300), cache.end_invalidation(&key())).await, Some(TTL_MS));
    rig.server.start().unwrap();
    fill(&cache, "new").await;
}

/// A full server answers every write with an error. Calls must not wait for it, nor may it look
/// healthy.
#[tokio::test]
async fn a_full_server_is_reported_and_used_again_once_it_has_memory() {
    let rig = Rig::new("");
    let redis = rig.redis(quick());
    let leases = RedisLeases::new(&redis);
    let (now, end) = (WallTime(0), WallTime(60_000));
    let claim = async |delivery: &str| leases.claim(&[delivery.to_owned()], now, end).await;
    assert_eq!(claim("a").await.unwrap(), [Claim::Yours]);
    rig.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let full = redis.check().await.unwrap_err().to_string();
    assert!(full.contains("OOM"), "{full}");
    let refused = until("the breaker opens", async || {
        let error = claim("b").await.unwrap_err().to_string();
        error.contains("calls are refused for a while").then_some(error)
    });
    let refused = refused.await;
    assert!(refused.contains("OOM"), "the reason is kept: {refused}");
    rig.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    until("leases work again", async || claim("b").await.ok()).await;
    redis.check().await.unwrap();
}

/// A server that refuses single commands is as useless as a full one.
#[tokio::test]
async fn a_server_without_a_primary_or_too_few_replicas_is_reported() {
    let rig = Rig::new("min-replicas-to-write 1");
    let error = rig.redis(quick()).check().await.unwrap_err();
    assert!(
        matches!(&error, Error::Unavailable(reason) if reason.to_string().contains("NOREPLICAS")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_server_in_cluster_mode_is_refused() {
    let rig = Rig::new("cluster-enabled yes");
    let error = rig.redis(quick()).check().await.unwrap_err();
    assert!(
        matches!(&error, Error::Fatal(reason) if reason.to_string().contains("cluster mode")),
        "{error:?}"
    );
}

#[tokio::test]
async fn calls_to_a_paused_server_soon_fail_at_once_and_work_again_afterwards() {
    let rig = Rig::new("");
    let redis = rig.redis(quick());
    let (cache, leases) = (RedisWatchCache::with_ttl(&redis, TTL_MS, TTL_MS), RedisLeases::new(&redis));
    fill(&cache, "rows").await;
    rig.server.all().pause().unwrap();
    within(Duration::from_millis(5 * 200 + 200), async {
        for _ in 0..1_000 {
            assert_eq!(get(&cache).await, Cached::Pass);
        }
    })
    .await;
    assert!(redis.metrics().timed_out.get() >= 5, "{:?}", redis.metrics());
    let (now, later) = (WallTime(0), WallTime(60_000));
    let claimed = within(Duration::from_millis(300), leases.claim(&["k".into()], now, later)).await;
    assert!(matches!(claimed, Err(Error::Unavailable(_))), "{claimed:?}");
    rig.server.all().resume().unwrap();
    let hit = until("it serves again", async || match get(&cache).await {
        Cached::Hit(bytes) => Some(bytes),
        _ => None,
    });
    assert_eq!(hit.await, "rows");
}

/// Otherwise each lost response would delay a delivery by a whole lease.
#[tokio::test]
async fn a_claim_whose_answer_was_lost_may_be_repeated_by_its_process_alone() {
    let rig = Rig::new("");
    let (leases, others) = (RedisLeases::new(&rig.redis(quick())), RedisLeases::new(&rig.redis(patient())));
    let (key, now, until_ms) = (["k".to_owned()], WallTime(0), WallTime(60_000));
    leases.claim(&["warm".into()], now, until_ms).await.unwrap();
    rig.server.all().pause().unwrap();
    leases.claim(&key, now, until_ms).await.unwrap_err();
    rig.server.all().resume().unwrap();
    until("the late claim is carried out", async || {
        others.claim(&key, now, now).await.ok().filter(|claims| claims[0] == Claim::Leased(until_ms))
    })
    .await;
    let again = until("it answers", async || leases.claim(&key, now, WallTime(70_000)).await.ok()).await;
    assert_eq!(again, [Claim::Yours]);
    assert_eq!(others.claim(&key, now, until_ms).await.unwrap(), [Claim::Leased(WallTime(70_000))]);
    assert_eq!(leases.claim(&key, now, until_ms).await.unwrap(), [Claim::Leased(WallTime(70_000))]);
}

#[tokio::test]
async fn a_server_restored_from_an_old_snapshot_serves_no_old_entry() {
    let mut rig = Rig::new("appendonly no");
    let redis = rig.redis(patient());
    let (cache, leases) = (RedisWatchCache::with_ttl(&redis, TTL_MS, TTL_MS), RedisLeases::new(&redis));
    fill(&cache, "old").await;
    let (delivered, now) = (["k".to_owned()], WallTime(0));
    leases.confirm(&delivered, now).await.unwrap();
    rig.command(&["SAVE"]).await;
    assert_eq!((cache.begin_invalidation(&key()).await, cache.end_invalidation(&key()).await), (None, None));
    rig.server.kill().unwrap();
    rig.server.start().unwrap();
    let found = until("it answers", async || Some(get(&cache).await).filter(|it| *it != Cached::Pass)).await;
    assert!(matches!(found, Cached::Fill(_)), "{found:?}");
    let claims = until("it answers", async || leases.claim(&delivered, now, WallTime(9)).await.ok()).await;
    assert_eq!(claims, [Claim::Delivered], "confirmations outlive a restart as far as they are on disk");
}

#[tokio::test]
async fn a_flushed_or_restarted_server_is_not_taken_for_an_empty_queue() {
    let mut rig = Rig::new("");
    let index = RedisRetryIndex::new(&rig.redis(patient()));
    let owned = [Owned { partition: Partition(0), token: 5 }];
    let build = async || {
        let rebuilt = until("it answers", async || index.clear(owned[0]).await.ok());
        rebuilt.await;
        assert_eq!(index.restore(owned[0], &[retry("a", "mail", 10)]).await.unwrap(), Kept::Done);
        assert_eq!(index.seed(owned[0]).await.unwrap(), Kept::Done);
    };
    let take = async |channel: &str| {
        let taken = until("it answers", async || {
            index.take(&owned, channel, WallTime(20), WallTime(20), 9).await.ok()
        });
        let taken = taken.await;
        (taken.retries.len(), taken.lost.len())
    };
    build().await;
    assert_eq!((take("mail").await, take("push").await), ((1, 0), (0, 0)));
    rig.command(&["FLUSHALL"]).await;
    assert_eq!((take("mail").await, take("push").await), ((0, 1), (0, 1)));
    build().await;
    assert_eq!(take("mail").await, (1, 0));
    rig.server.restart().unwrap();
    assert_eq!(take("mail").await, (0, 1), "what it still has may be old");
    build().await;
    rig.command(&["DEL", "pricedrop:retries:0:channel:mail:due"]).await;
    assert_eq!((take("mail").await, take("push").await), ((0, 1), (0, 0)), "evicted in part");
}

#[tokio::test]
async fn a_mark_expires_and_its_late_writer_learns_that() {
    let cache = RedisWatchCache::with_ttl(&rig::redis(), TTL_MS, 5_000);
    fill(&cache, "old").await;
    assert_eq!(cache.begin_invalidation(&key()).await, None);
    assert_eq!(get(&cache).await, Cached::Pass);
    let found =
        until("the mark ends", async || Some(get(&cache).await).filter(|it| *it != Cached::Pass)).await;
    assert!(matches!(found, Cached::Fill(_)), "{found:?}");
    assert_eq!(cache.end_invalidation(&key()).await, Some(0));
}

/// An entry is as old as the start of its fill: a write that did not reach the cache is visible
/// one TTL after it, however slow the fill was.
#[tokio::test]
async fn the_time_to_live_of_an_entry_begins_with_its_fill_lease() {
    const FILL_LEASE_MS: i64 = 15_000;
    let rig = Rig::new("");
    let redis = rig.redis(patient());
    let cache = RedisWatchCache::with_ttl(&redis, TTL_MS, TTL_MS);
    let name = format!("pricedrop:{}:price_watch:P", redis.facts().await.unwrap().run);
    let left = async |name: &str| match rig.command(&["PTTL", name]).await {
        redis::Value::Int(left) => left,
        other => panic!("{other:?}"),
    };
    let Cached::Fill(token) = get(&cache).await else { panic!("nobody filled it yet") };
    let slow = until("the filler is slow", async || {
        Some(FILL_LEASE_MS - left(&format!("{name}:fill")).await).filter(|slow| *slow >= 300)
    });
    let slow = slow.await;
    cache.fill(&key()[0], token, Bytes::from("rows")).await;
    let lives = left(&name).await;
    assert!((1..=TTL_MS as i64 - slow).contains(&lives), "{lives} ms after {slow} ms");
}

#[tokio::test]
async fn a_wrong_password_is_reported_at_once_and_the_right_one_connects() {
    let rig = Rig::new("requirepass s3cret\nmasterauth s3cret");
    for (password, fits) in [(None, false), (Some("wrong"), false), (Some("s3cret"), true)] {
        let password = password.map(str::to_owned);
        let facts = rig.redis(Options { password, timeout_ms: 10_000, ..Options::default() }).facts().await;
        match facts {
            Ok(facts) => assert!(fits && facts.primary && !facts.run.is_empty(), "{facts:?}"),
            Err(error) => assert!(!fits && matches!(error, Error::Fatal(_)), "{error:?}"),
        }
    }
}

#[tokio::test]
async fn over_tls_a_server_must_have_a_certificate_of_the_trusted_authority() {
    let authority = Authority::new().unwrap();
    let (own, shown) = (authority.own(), authority.issue("redis", "DNS:localhost").unwrap());
    let tls = ["port 0", "tls-port {port}", "tls-auth-clients no"].map(str::to_owned);
    let named = [("cert", &shown.certificate), ("key", &shown.key), ("ca-cert", &own.certificate)];
    let named = named.map(|(what, file)| format!("tls-{what}-file {}", file.display()));
    let rig = Rig::new(&[tls.as_slice(), &named].concat().join("\n"));
    let address = rig.server.address().replace("127.0.0.1", "localhost");
    let facts = async |tls| {
        let options = Options { tls, timeout_ms: 10_000, ..Options::default() };
        Redis::new(rig::at(&address, options)).unwrap().facts().await
    };
    let error = facts(Some(Tls::default())).await.unwrap_err().to_string();
    assert!(error.contains("UnknownIssuer"), "{error}");
    assert!(facts(None).await.is_err());
    let trusting = Tls { ca_file: Some(own.certificate), client: None };
    assert!(facts(Some(trusting)).await.unwrap().primary);
    let none = Tls { ca_file: Some("nowhere/ca.pem".into()), client: None };
    assert!(Redis::new(Options { tls: Some(none), ..Options::default() }).is_err());
}

/// The permissions that schema/redis.md lists are sufficient, and all of them are needed.
#[tokio::test]
async fn the_documented_rights_suffice() {
    let rig = Rig::new("");
    let document = std::fs::read_to_string("../../schema/redis.md").unwrap();
    let rights = document.split("ACL SETUSER pricedrop ").nth(1).unwrap().split("```").next().unwrap();
    let rights = rights.replace(">PASSWORD", ">s3cret");
    let words: Vec<&str> =
        ["ACL", "SETUSER", "pricedrop"].into_iter().chain(rights.split_whitespace()).collect();
    rig.command(&words).await;
    let as_user =
        Options { user: Some("pricedrop".into()), password: Some("s3cret".into()), database: 1, ..patient() };
    let redis = rig.redis(as_user.clone());
    redis.facts().await.unwrap();
    let cache = RedisWatchCache::new(&redis);
    fill(&cache, "rows").await;
    assert_eq!((cache.begin_invalidation(&key()).await, get(&cache).await), (None, Cached::Pass));
    assert_eq!(cache.end_invalidation(&key()).await, None);
    let large = Bytes::from(vec![b'x'; 5 * 1024 * 1024]);
    let Cached::Fill(token) = get(&cache).await else { panic!("it was dropped") };
    cache.fill(&key()[0], token, large.clone()).await;
    assert!(get(&cache).await == Cached::Hit(large));
    let (leases, key) = (RedisLeases::new(&redis), ["k".to_owned()]);
    leases.claim(&key, WallTime(0), WallTime(9_000)).await.unwrap();
    leases.release(&key).await.unwrap();
    leases.confirm(&key, WallTime(0)).await.unwrap();
    let (index, owned) = (RedisRetryIndex::new(&redis), [Owned { partition: Partition(0), token: 5 }]);
    let entry = retry("a", "mail", 10);
    for _ in 0..2 {
        index.clear(owned[0]).await.unwrap();
        assert_eq!(index.restore(owned[0], std::slice::from_ref(&entry)).await.unwrap(), Kept::Done);
        assert_eq!(index.seed(owned[0]).await.unwrap(), Kept::Done);
    }
    let taken = index.take(&owned, "mail", WallTime(20), WallTime(30), 9).await.unwrap();
    assert_eq!(taken.retries, std::slice::from_ref(&entry));
    assert_eq!(index.remove(&owned, &[entry]).await.unwrap(), []);
    assert_eq!(index.waiting(&owned).await.unwrap().by_channel, [("mail".into(), 0)]);
    let stranger = RedisLeases::new(&rig.redis(Options { prefix: "other".into(), ..as_user }));
    let refused = stranger.claim(&key, WallTime(0), WallTime(9)).await.unwrap_err();
    assert!(matches!(&refused, Error::Fatal(why) if why.as_str().contains("schema/redis.md")), "{refused:?}");
}

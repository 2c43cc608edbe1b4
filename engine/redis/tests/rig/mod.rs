//! A Redis for tests: the shared one under a prefix of the test's own, or an
//! own server that may be killed, paused and flushed.
#![allow(dead_code)]

use std::sync::atomic::{AtomicU32, Ordering};

use pricedrop_redis::{Options, Redis};

/// How the shared server is reached, with a prefix that no other test has.
pub fn options() -> Options {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let started = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let prefix = format!("test-{started}-{}-{number}", std::process::id());
    // Tests share two cores with others: patience is not what they are about.
    at(&shared(), Options { prefix, cache_timeout_ms: 10_000, timeout_ms: 10_000, ..Options::default() })
}

/// The shared server, under a prefix that no other test has.
pub fn redis() -> Redis {
    Redis::new(options()).unwrap()
}

/// The same options for a server at this address.
pub fn at(address: &str, options: Options) -> Options {
    Options { addresses: vec![address.parse().unwrap()], ..options }
}

fn shared() -> String {
    pricedrop_harness::servers::redis()
}

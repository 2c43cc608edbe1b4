//! A Redis for tests: the shared one with a unique key prefix, or an own server that may be
//! killed, paused and flushed.
#![allow(dead_code)]

use std::sync::atomic::{AtomicU32, Ordering};

use pricedrop_redis::{Options, Redis};

/// Returns options for the shared server, with a unique prefix.
pub fn options() -> Options {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let started = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    let prefix = format!("test-{started}-{}-{number}", std::process::id());
    // The machine may be busy, and these tests are not about timeouts.
    at(&shared(), Options { prefix, cache_timeout_ms: 10_000, timeout_ms: 10_000, ..Options::default() })
}

/// Returns the shared server, with a unique prefix.
pub fn redis() -> Redis {
    Redis::new(options()).unwrap()
}

/// Returns the same options for a server at this address.
pub fn at(address: &str, options: Options) -> Options {
    Options { addresses: vec![address.parse().unwrap()], ..options }
}

fn shared() -> String {
    pricedrop_harness::servers::redis()
}

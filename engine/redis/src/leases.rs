//! Leases and confirmations of deliveries. One key for each delivery holds `D` once it was
//! delivered, before that the token of its claim and the end of the lease.
//!
//! Times come from the callers: a lease has ended if its stored end is not after the caller's
//! `now`. Its key expires no earlier than that.
//!
//! Invariant: nothing is sent under a claim whose answer was lost. So the process that made it may
//! claim the delivery again; it remembers the token until then.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{Claim, Leases};
use pricedrop_model::ports::Error;
use pricedrop_model::sync::lock;
use redis::Script;

use super::Redis;
use super::connection::Connection;
use super::limits::{CONFIRMATION_TTL_MS, SCRIPT_KEYS};
use super::names::Names;

static CLAIM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/claim.lua")));
static CONFIRM: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/confirm.lua")));
static RELEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lua/release.lua")));

/// Leases in Redis. Cheap to clone; clones share the leases they hold.
#[derive(Clone)]
pub struct RedisLeases {
    connection: Connection,
    names: Names,
    timeout: Duration,
    confirmation_ttl_ms: u64,
    held: Arc<Mutex<HeldLeases>>,
}

#[derive(Default)]
struct HeldLeases {
    by_delivery: HashMap<String, Held>,
    /// When there are more than this many, those that have ended are removed.
    swept_at: usize,
}

const SWEPT_AT: usize = 4_096;

#[derive(Clone, Copy)]
struct Held {
    token: u64,
    until: WallTime,
    /// Whether the claim was answered. If not, nothing was sent under it.
    answered: bool,
}

impl HeldLeases {
    fn keep(&mut self, delivery: &str, held: Held, now: WallTime) {
        self.by_delivery.insert(delivery.to_owned(), held);
        if self.by_delivery.len() > self.swept_at.max(SWEPT_AT) {
            self.by_delivery.retain(|_, held| held.until > now);
            self.swept_at = self.by_delivery.len() * 2;
        }
    }

    fn forget(&mut self, deliveries: &[String]) {
        for delivery in deliveries {
            self.by_delivery.remove(delivery);
        }
    }

    /// Returns the token of a claim by this process that was never answered.
    fn unanswered(&self, delivery: &str) -> Option<u64> {
        self.by_delivery.get(delivery).filter(|held| !held.answered).map(|held| held.token)
    }
}

impl RedisLeases {
    /// Opens leases whose confirmations are kept for `CONFIRMATION_TTL_MS`.
    pub fn new(redis: &Redis) -> RedisLeases {
        RedisLeases::with_confirmation_ttl(redis, CONFIRMATION_TTL_MS)
    }

    /// Opens leases whose confirmations are kept for `confirmation_ttl_ms`. That must be longer
    /// than the longest retry and the retention of the topic together.
    pub fn with_confirmation_ttl(redis: &Redis, confirmation_ttl_ms: u64) -> RedisLeases {
        RedisLeases {
            connection: redis.connection(),
            names: redis.names(),
            timeout: redis.timeout(),
            confirmation_ttl_ms,
            held: Arc::default(),
        }
    }

    fn held<T>(&self, with: impl FnOnce(&mut HeldLeases) -> T) -> T {
        with(&mut lock(&self.held))
    }

    async fn claim_some(
        &self,
        deliveries: &[String],
        now: WallTime,
        until: WallTime,
    ) -> Result<Vec<Claim>, Error> {
        let token: u64 = rand::random();
        let mut ask = CLAIM.prepare_invoke();
        ask.arg(now.0).arg(until.0).arg(token);
        self.held(|held| {
            for delivery in deliveries {
                let earlier = held.unanswered(delivery);
                ask.key(self.names.delivery(delivery))
                    .arg(earlier.map_or_else(String::new, |it| it.to_string()));
            }
        });
        let asked = self.connection.call(self.timeout, |mut session| async move {
            ask.invoke_async::<Vec<String>>(&mut session.link).await
        });
        let claims = asked.await.and_then(|answers| read_claims(&answers, deliveries.len()));
        self.held(|held| {
            for (at, delivery) in deliveries.iter().enumerate() {
                let kept = Held { token, until, answered: claims.is_ok() };
                match claims.as_ref().map(|claims| claims[at]) {
                    Ok(Claim::Yours) | Err(_) => held.keep(delivery, kept, now),
                    Ok(Claim::Leased(_) | Claim::Delivered) => {}
                }
            }
        });
        claims
    }

    async fn confirm_some(&self, deliveries: &[String]) -> Result<(), Error> {
        let mut ask = CONFIRM.arg(self.confirmation_ttl_ms);
        for delivery in deliveries {
            ask.key(self.names.delivery(delivery));
        }
        let confirmed = self.connection.call(self.timeout, |mut session| async move {
            ask.invoke_async::<u64>(&mut session.link).await
        });
        confirmed.await?;
        self.held(|held| held.forget(deliveries));
        Ok(())
    }

    async fn release_some(&self, ours: &[(&String, u64)]) -> Result<(), Error> {
        let mut ask = RELEASE.prepare_invoke();
        for (delivery, token) in ours {
            ask.key(self.names.delivery(delivery)).arg(*token);
        }
        let released = self.connection.call(self.timeout, |mut session| async move {
            ask.invoke_async::<u64>(&mut session.link).await
        });
        released.await.map(|_| ())
    }
}

fn read_claims(answers: &[String], asked: usize) -> Result<Vec<Claim>, Error> {
    let read = |answer: &String| match answer.as_str() {
        "Y" => Some(Claim::Yours),
        "D" => Some(Claim::Delivered),
        until => until.parse().ok().map(|until| Claim::Leased(WallTime(until))),
    };
    let claims: Option<Vec<Claim>> = answers.iter().map(read).collect();
    let claims = claims.filter(|claims| claims.len() == asked);
    claims.ok_or_else(|| Error::Fatal("Redis holds a lease that is none: do others use our keys?".into()))
}

#[async_trait]
impl Leases for RedisLeases {
    async fn claim(&self, keys: &[String], now: WallTime, until: WallTime) -> Result<Vec<Claim>, Error> {
        let mut claims = Vec::with_capacity(keys.len());
        for some in keys.chunks(SCRIPT_KEYS) {
            claims.extend(self.claim_some(some, now, until).await?);
        }
        Ok(claims)
    }

    async fn confirm(&self, keys: &[String], _: WallTime) -> Result<(), Error> {
        for some in keys.chunks(SCRIPT_KEYS) {
            self.confirm_some(some).await?;
        }
        Ok(())
    }

    async fn release(&self, keys: &[String]) -> Result<(), Error> {
        let ours = |key| Some((key, self.held(|held| held.by_delivery.remove(key))?.token));
        let ours: Vec<(&String, u64)> = keys.iter().filter_map(ours).collect();
        for some in ours.chunks(SCRIPT_KEYS) {
            self.release_some(some).await?;
        }
        Ok(())
    }
}

//! Caches one access token, and renews it before it expires.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use pricedrop_model::sync::lock;

use super::error::Error;
use crate::limits::{TOKEN_MARGIN_MS, TOKEN_USE_PERCENT};

/// A new token and its lifetime.
pub(super) struct Issued {
    pub(super) token: String,
    pub(super) lifetime: Duration,
}

#[derive(Clone)]
struct CachedToken {
    token: String,
    renew_at: Instant,
    expires_at: Instant,
}

/// A cache of one token. At most one renewal is in flight.
#[derive(Default)]
pub(super) struct TokenCache {
    cached: Mutex<Option<CachedToken>>,
    /// Locked during a renewal. Contains the time and the reason of the last failure.
    renewal: tokio::sync::Mutex<Option<(Instant, String)>>,
}

impl std::fmt::Debug for TokenCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenCache")
    }
}

impl TokenCache {
    /// Returns the token, and renews it if it is due. During a renewal, other callers get the old
    /// token as long as it is valid; else they wait. A caller that waited for a renewal that failed
    /// gets its error and does not repeat it.
    ///
    /// # Errors
    /// No valid token is cached, and the renewal failed or exceeded the deadline.
    pub(super) async fn get<F>(&self, deadline: Instant, renew: F) -> Result<String, Error>
    where
        F: Future<Output = Result<Issued, Error>>,
    {
        let requested_at = Instant::now();
        let cached = self.cached();
        if let Some(cached) = cached.as_ref().filter(|cached| requested_at < cached.renew_at) {
            return Ok(cached.token.clone());
        }
        let valid = cached.filter(|cached| requested_at < cached.expires_at);
        let timed_out = || Error::Unavailable("the token server took too long".into());
        let mut failure = match (&valid, self.renewal.try_lock()) {
            (_, Ok(free)) => free,
            (Some(valid), Err(_)) => return Ok(valid.token.clone()),
            (None, Err(_)) => {
                tokio::time::timeout_at(deadline, self.renewal.lock()).await.map_err(|_| timed_out())?
            }
        };
        if let Some(cached) = self.cached().filter(|cached| Instant::now() < cached.renew_at) {
            return Ok(cached.token);
        }
        if let Some((_, reason)) = failure.as_ref().filter(|(at, _)| *at > requested_at) {
            return Err(Error::Unavailable(reason.clone().into()));
        }
        let issued = tokio::time::timeout_at(deadline, renew).await.unwrap_or_else(|_| Err(timed_out()));
        match (issued, valid) {
            (Ok(issued), _) => Ok(self.store(issued)),
            (Err(_), Some(valid)) if Instant::now() < valid.expires_at => Ok(valid.token),
            (Err(error), _) => {
                *failure = Some((Instant::now(), error.to_string()));
                Err(error)
            }
        }
    }

    /// Drops this token. Does nothing if it was already replaced.
    pub(super) fn forget(&self, token: &str) {
        let mut cached = lock(&self.cached);
        cached.take_if(|cached| cached.token == token);
    }

    fn store(&self, issued: Issued) -> String {
        let now = Instant::now();
        let early = issued.lifetime * TOKEN_USE_PERCENT / 100;
        let margin = issued.lifetime.saturating_sub(Duration::from_millis(TOKEN_MARGIN_MS));
        // If the lifetime is below the margin, only the percentage applies.
        let used_for = if margin.is_zero() { early } else { early.min(margin) };
        let cached = CachedToken {
            token: issued.token.clone(),
            renew_at: now + used_for,
            expires_at: now + issued.lifetime,
        };
        *lock(&self.cached) = Some(cached);
        issued.token
    }

    fn cached(&self) -> Option<CachedToken> {
        lock(&self.cached).clone()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const LIFETIME: Duration = Duration::from_secs(3_600);

    /// A token server that counts its requests.
    #[derive(Default)]
    struct Server {
        requests: Cell<u32>,
        is_down: Cell<bool>,
    }

    impl Server {
        async fn issue(&self) -> Result<Issued, Error> {
            self.requests.set(self.requests.get() + 1);
            tokio::time::sleep(Duration::from_secs(1)).await;
            match self.is_down.get() {
                true => Err(Error::Unavailable("down".into())),
                false => Ok(Issued { token: format!("token-{}", self.requests.get()), lifetime: LIFETIME }),
            }
        }
    }

    async fn get(cache: &TokenCache, server: &Server) -> Result<String, Error> {
        cache.get(Instant::now() + Duration::from_secs(10), server.issue()).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_before_it_expires() {
        let (cache, server) = (TokenCache::default(), Server::default());
        assert_eq!(get(&cache, &server).await.unwrap(), "token-1");
        tokio::time::advance(LIFETIME * 89 / 100).await;
        assert_eq!(get(&cache, &server).await.unwrap(), "token-1");
        tokio::time::advance(LIFETIME / 50).await;
        assert_eq!(get(&cache, &server).await.unwrap(), "token-2");
        assert_eq!(server.requests.get(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_cannot_be_renewed_is_used_until_it_expires() {
        let (cache, server) = (TokenCache::default(), Server::default());
        get(&cache, &server).await.unwrap();
        server.is_down.set(true);
        tokio::time::advance(LIFETIME * 95 / 100).await;
        assert_eq!(get(&cache, &server).await.unwrap(), "token-1");
        tokio::time::advance(LIFETIME / 10).await;
        assert!(matches!(get(&cache, &server).await, Err(Error::Unavailable(_))));
        server.is_down.set(false);
        assert_eq!(get(&cache, &server).await.unwrap(), "token-4");
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_in_flight_delays_no_request_with_a_valid_token() {
        let (cache, server) = (TokenCache::default(), Server::default());
        get(&cache, &server).await.unwrap();
        tokio::time::advance(LIFETIME * 95 / 100).await;
        let (renewed, other) = tokio::join!(get(&cache, &server), get(&cache, &server));
        assert_eq!((renewed.unwrap().as_str(), other.unwrap().as_str()), ("token-2", "token-1"));
        assert_eq!(server.requests.get(), 2);
    }
}

//! Access control: checks the token, the `Host` and the `Origin` of requests, and limits how many
//! are served at a time.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::problem::{Problem, Result};
use crate::state::AppState;

/// Runs before every route. `/livez` needs no token, so that a supervisor can call it without one.
pub(crate) async fn guard(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let checked = check(&state, &request);
    if let Err(problem) = checked {
        return problem.into_response();
    }
    match request.uri().path() {
        // Answered however many requests are being served.
        "/livez" => return next.run(request).await,
        "/readyz" | "/metrics" => {
            let _permit = state.health_permits.acquire().await;
            return next.run(request).await;
        }
        _ => {}
    }
    let Ok(_permit) = state.permits.try_acquire() else {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many concurrent requests");
        return problem.remedy("send the request again, over fewer connections").into_response();
    };
    next.run(request).await
}

fn check(state: &AppState, request: &Request) -> Result<()> {
    let headers = request.headers();
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        same_origin(headers)?;
    }
    match &state.options.token {
        _ if request.uri().path() == "/livez" => Ok(()),
        Some(token) => require_token(headers, token),
        None => known_host(headers, &state.host),
    }
}

/// Refuses writes that a browser sends for a page of another site (CSRF).
fn same_origin(headers: &HeaderMap) -> Result<()> {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return Ok(());
    };
    let origin = origin.to_str().unwrap_or_default();
    let authority = origin.split_once("://").map(|(_, authority)| authority);
    match authority.is_some() && authority == host(headers) {
        true => Ok(()),
        false => {
            Err(Problem::new(StatusCode::FORBIDDEN, "a web page of another site may not write").at("Origin"))
        }
    }
}

/// Requires the bearer token.
fn require_token(headers: &HeaderMap, token: &str) -> Result<()> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    // The name of the scheme has no case (RFC 9110).
    let given = given.and_then(|value| value.split_once(' '));
    let given =
        given.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    match given.is_some_and(|given| same_secret(given.as_bytes(), token.as_bytes())) {
        true => Ok(()),
        false => Err(Problem::new(StatusCode::UNAUTHORIZED, "the token is missing or wrong")
            .at("Authorization")
            .remedy("send the header `Authorization: Bearer <token>` with the token of the engine's configuration")),
    }
}

/// Compares in a time that does not depend on where the first difference is.
fn same_secret(given: &[u8], right: &[u8]) -> bool {
    let differences = given.iter().zip(right).fold(0, |sum, (a, b)| sum | std::hint::black_box(a ^ b));
    given.len() == right.len() && differences == 0
}

/// Without a token, only accepts the `Host` of loopback or of `http.listen`. This prevents DNS
/// rebinding: a web page whose own host name resolves to this address sends that name.
fn known_host(headers: &HeaderMap, listening: &str) -> Result<()> {
    let name = host(headers).map(without_port).unwrap_or_default();
    let loopback = name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    match loopback || name.eq_ignore_ascii_case(listening) {
        true => Ok(()),
        false => Err(Problem::new(StatusCode::FORBIDDEN, format!("unknown host {name:?}"))
            .at("Host")
            .remedy("send the request to 127.0.0.1 or localhost, or set a token (http.token_file or http.token_env)")),
    }
}

fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

/// Returns the host of `name:port` or `[::1]:port`, with or without a port.
pub(crate) fn without_port(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(address, _)| address);
    }
    authority.split_once(':').map_or(authority, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_and_the_own_name_are_known_hosts() {
        for (host, known) in [
            ("127.0.0.1:8080", true),
            ("127.0.0.9", true),
            ("localhost:1", true),
            ("LOCALHOST:1", true),
            ("[::1]:8080", true),
            ("prices.internal:8080", true),
            ("attacker.example:8080", false),
            ("localhost.attacker.example", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.extend(host.parse().map(|value| (header::HOST, value)));
            assert_eq!(known_host(&headers, "prices.internal").is_ok(), known, "{host}");
        }
    }

    #[test]
    fn only_equal_secrets_match() {
        assert!(same_secret(b"abc", b"abc"));
        for wrong in [&b""[..], b"ab", b"abcd", b"abd"] {
            assert!(!same_secret(wrong, b"abc"));
        }
    }
}

//! Sends one HTTP request: to allowed hosts only, without redirects or proxies, with limits on time
//! and size.

use std::error::Error as _;
use std::time::Duration;

use pricedrop_model::channel::{HttpRequest, Method, Reply, SendError, SendRequest};
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use reqwest::{Response, Url};
use tokio::time::Instant;

use super::channel::ChannelAccess;
use super::clients::describe;
use super::credential::{self, Bound, Call};
use super::headers;
use super::limits::Options;
use super::resolve::PrivateAddress;
use super::secret::Secrets;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Sends one request and reads its response. It does not retry.
///
/// # Errors
/// The request breaks a rule or a limit, or its address is invalid: a retry would fail too. A
/// request that failed or timed out is [`Reply::Unanswered`].
pub(super) async fn send(
    request: &SendRequest<'_>,
    http: &HttpRequest,
    channel: &ChannelAccess,
    options: &Options,
    secrets: &Secrets,
) -> Result<Reply, SendError> {
    let url = read_url(request, http)?;
    let reach = channel.hosts.permit(&url).ok_or_else(|| not_listed(&url, request.channel))?;
    if http.body.len() > options.request_bytes {
        let (bytes, most) = (http.body.len(), options.request_bytes);
        return Err(SendError::Refused(format!("a body of {bytes} bytes; a request has at most {most}")));
    }
    let mut headers = headers::read(&http.headers).map_err(SendError::Refused)?;
    let key = HeaderValue::try_from(request.idempotency_key)
        .map_err(|_| SendError::Refused("the idempotency key is not a header value".into()))?;
    headers.insert(IDEMPOTENCY_KEY, key);
    let deadline = Instant::now() + Duration::from_millis(request.timeout_ms);
    let credential = find_credential(http, channel)?;
    if let Some(credential) = credential {
        let call = Call {
            secrets,
            clients: &channel.clients,
            hosts: credential.hosts(),
            method: method(http.method),
            url: &url,
            body: &http.body,
            key: request.idempotency_key,
            epoch_s: std::time::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs()),
            deadline,
        };
        match credential.apply(&call, &mut headers).await {
            Ok(()) => {}
            Err(credential::Error::Refused(reason)) => return Err(SendError::Refused(reason.to_string())),
            Err(error) => return Ok(Reply::Unanswered(format!("the credential is unavailable: {error}"))),
        }
    }
    let used = headers.get(AUTHORIZATION).cloned();
    let client = channel.clients.of(reach);
    let built = client.request(method(http.method), url).headers(headers).body(http.body.clone());
    let reply = match tokio::time::timeout_at(deadline, built.send()).await {
        Ok(Ok(response)) => Ok(read(response, options.response_bytes, deadline).await),
        Ok(Err(error)) => unanswered(&error),
        Err(_) => Ok(Reply::Unanswered(format!("no response within {} ms", request.timeout_ms))),
    };
    if let (Some(credential), Some(used), Ok(Reply::Http { status, body, .. })) = (credential, used, &reply) {
        credential.record_response(&used, *status, body);
    }
    reply
}

fn find_credential<'a>(
    http: &HttpRequest,
    channel: &'a ChannelAccess,
) -> Result<Option<&'a Bound>, SendError> {
    let Some(name) = &http.credential else { return Ok(None) };
    let bound = channel.credentials.get(name);
    bound.map(Some).ok_or_else(|| SendError::Refused(format!("there is no credential {name:?}")))
}

/// Returns an error that says how to allow the host.
fn not_listed(url: &Url, channel: &str) -> SendError {
    let host = url.host_str().unwrap_or_default();
    let entry = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    SendError::Refused(format!(
        "{entry} is not among the hosts of {channel}: to allow it, add it to `hosts` in {channel}.toml"
    ))
}

fn read_url(request: &SendRequest<'_>, http: &HttpRequest) -> Result<Url, SendError> {
    let is_address = http.url == request.to.address;
    let wrong = |what: &str| match is_address {
        true => SendError::BadRecipient(format!("the address is {what}")),
        false => SendError::Refused(format!("the request has {what}")),
    };
    let url = Url::parse(&http.url).map_err(|_| wrong("not an absolute URL"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong("a URL that is neither http nor https"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("a URL with a user name in it"));
    }
    Ok(url)
}

fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}

/// Reads a response. Its status is valid even if the body is truncated: by the limit `most`
/// (bytes), by the deadline, or by a broken connection.
async fn read(mut response: Response, most: usize, deadline: Instant) -> Reply {
    let status = response.status().as_u16();
    let headers = headers::write(response.headers());
    let mut body = Vec::new();
    let truncated = loop {
        match tokio::time::timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) if body.len() + chunk.len() <= most => body.extend_from_slice(&chunk),
            Ok(Ok(Some(chunk))) => {
                body.extend_from_slice(&chunk[..most - body.len()]);
                break true;
            }
            Ok(Ok(None)) => break false,
            Ok(Err(_)) | Err(_) => break true,
        }
    };
    Reply::Http { status, headers, body: String::from_utf8_lossy(&body).into_owned(), truncated }
}

fn unanswered(error: &reqwest::Error) -> Result<Reply, SendError> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(private) = cause.downcast_ref::<PrivateAddress>() {
            return Err(SendError::Refused(private.to_string()));
        }
        source = cause.source();
    }
    match error.is_builder() {
        true => Err(SendError::Refused(describe(error))),
        false => Ok(Reply::Unanswered(describe(error))),
    }
}

//! Requests OAuth 2.0 bearer tokens: by client credentials (RFC 6749 section 4.4), and by the JWT
//! grant of service accounts (RFC 7523).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pricedrop_model::Cause;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde::Deserialize;
use serde_json::{Value, json};

use super::cache::Issued;
use super::call::Call;
use super::error::Error;
use super::jwt;
use crate::address::is_public;
use crate::hosts::{Hosts, Reach};
use crate::limits::{TOKEN_LIFETIME_S, TOKEN_RESPONSE_BYTES};

const JWT_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
const ASSERTION_LIFETIME_S: u64 = 3_600;

/// The client of a client credentials grant.
pub(super) struct Client<'a> {
    pub(super) token_url: &'a str,
    pub(super) id: &'a str,
    pub(super) secret: &'a str,
    pub(super) scopes: &'a [String],
    pub(super) audience: Option<&'a str>,
}

#[derive(Deserialize)]
struct KeyFile {
    client_email: String,
    private_key: String,
    #[serde(default)]
    private_key_id: Option<String>,
    token_uri: String,
}

/// Parses a token URL. It must be https to a public host, or lead to a private host that the
/// credential lists.
pub(super) fn token_url(hosts: &Hosts, text: &str) -> Result<(Url, Reach), String> {
    let url = Url::parse(text).map_err(|_| "the token URL is not an absolute URL".to_owned())?;
    let reach = hosts.permit(&url).unwrap_or(Reach::Public);
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let private = address.is_some_and(|address| !is_public(address));
    match (url.scheme(), reach) {
        ("http" | "https", Reach::Anywhere) => Ok((url, reach)),
        ("https", Reach::Public) if !private => Ok((url, reach)),
        ("https", Reach::Public) => Err(format!("the host of the token URL has the private address {host}")),
        _ => Err("the token URL must be https".into()),
    }
}

/// Requests a token by the client credentials grant.
pub(super) async fn client_credentials(call: &Call<'_>, client: Client<'_>) -> Result<Issued, Error> {
    let mut form = vec![("grant_type", "client_credentials")];
    let scope = client.scopes.join(" ");
    if !scope.is_empty() {
        form.push(("scope", &scope));
    }
    form.extend(client.audience.map(|audience| ("audience", audience)));
    let pair = format!("{}:{}", encoded(client.id), encoded(client.secret));
    request(call, client.token_url, &form, Some(format!("Basic {}", STANDARD.encode(pair)))).await
}

/// Requests a token with a JWT signed by the service account.
pub(super) async fn service_account(call: &Call<'_>, key: &str, scopes: &[String]) -> Result<Issued, Error> {
    let bad = |what: &str| Error::Unavailable(format!("the service account's key file {what}").into());
    let key: KeyFile = serde_json::from_str(key).map_err(|_| bad("is not JSON with the required keys"))?;
    let claims = json!({
        "iss": key.client_email, "scope": scopes.join(" "), "aud": key.token_uri,
        "iat": call.epoch_s, "exp": call.epoch_s + ASSERTION_LIFETIME_S,
    });
    let mut header = json!({"alg": "RS256", "typ": "JWT"});
    if let Some(id) = key.private_key_id {
        header["kid"] = Value::from(id);
    }
    let assertion = jwt::rs256(&key.private_key, &header, &claims)
        .map_err(|reason| bad(&format!("is unusable: {reason}")))?;
    request(call, &key.token_uri, &[("grant_type", JWT_GRANT), ("assertion", &assertion)], None).await
}

async fn request(
    call: &Call<'_>,
    url: &str,
    form: &[(&str, &str)],
    authorization: Option<String>,
) -> Result<Issued, Error> {
    let (url, reach) = token_url(call.hosts, url).map_err(|reason| Error::Unavailable(reason.into()))?;
    let mut request = call.clients.of(reach).post(url).body(form_body(form));
    request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(value) = authorization {
        request = request.header(AUTHORIZATION, value);
    }
    let failed = |error: reqwest::Error| {
        let text = format!("the token request: {}", crate::clients::describe(&error));
        // The URL may contain a secret.
        Error::Unavailable(Cause::quoting(text, error.without_url()))
    };
    let mut response = request.send().await.map_err(failed)?;
    let status = response.status();
    if !status.is_success() {
        return Err(Error::Unavailable(
            format!("the token server responded with status {}", status.as_u16()).into(),
        ));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > TOKEN_RESPONSE_BYTES {
            return Err(Error::Unavailable("the response of the token server is too long".into()));
        }
        body.extend_from_slice(&chunk);
    }
    read(&body)
}

/// Parses a token response. Error texts never contain the body, because it may contain a token.
fn read(body: &[u8]) -> Result<Issued, Error> {
    let none = || Error::Unavailable("the response of the token server has no token".into());
    let answer: Value = serde_json::from_slice(body).map_err(|_| none())?;
    let token = answer["access_token"].as_str().filter(|token| !token.is_empty()).ok_or_else(none)?;
    let lifetime_s = answer["expires_in"].as_u64().unwrap_or(TOKEN_LIFETIME_S).min(u64::from(u32::MAX));
    Ok(Issued { token: format!("Bearer {token}"), lifetime: Duration::from_secs(lifetime_s) })
}

fn form_body(form: &[(&str, &str)]) -> String {
    let mut url = Url::parse("http://form/").expect("it is a URL");
    url.query_pairs_mut().extend_pairs(form);
    url.query().unwrap_or_default().to_owned()
}

fn encoded(text: &str) -> String {
    let mut url = Url::parse("http://form/").expect("it is a URL");
    url.query_pairs_mut().append_key_only(text);
    url.query().unwrap_or_default().to_owned()
}

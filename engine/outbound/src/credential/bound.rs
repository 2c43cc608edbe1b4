//! A channel's credential: the hosts that may receive it, and how it is added to a request.
//!
//! Invariant: a credential is used only for requests to its listed hosts. Over plain http to a
//! public host, only HMAC and Standard Webhooks are used, because they send a signature and no
//! secret.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pricedrop_model::channel::{Credential, CredentialScheme, Secret};
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::cache::{Issued, TokenCache};
use super::call::Call;
use super::error::Error;
use super::{check, jwt, oauth, sigv4, vapid, webhooks};
use crate::hosts::{Hosts, Reach};
use crate::limits::APNS_TOKEN_S;

/// A credential with its parsed hosts and its cached tokens.
#[derive(Debug)]
pub(crate) struct Bound {
    hosts: Hosts,
    scheme: CredentialScheme,
    tokens: TokenCache,
    audiences: vapid::Audiences,
}

impl Bound {
    pub(crate) fn new(credential: &Credential) -> Result<Bound, String> {
        let hosts = Hosts::parse(&credential.hosts).map_err(|error| error.to_string())?;
        check::check(&credential.scheme, &hosts)?;
        Ok(Bound {
            hosts,
            scheme: credential.scheme.clone(),
            tokens: TokenCache::default(),
            audiences: vapid::Audiences::default(),
        })
    }

    pub(crate) fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    pub(crate) fn is_vapid(&self) -> bool {
        matches!(self.scheme, CredentialScheme::Vapid { .. })
    }

    /// Adds the credential's headers to a request. May first request a token.
    ///
    /// # Errors
    /// The host is not listed, or the secret or the token is unavailable.
    pub(crate) async fn apply(&self, call: &Call<'_>, headers: &mut HeaderMap) -> Result<(), Error> {
        self.permit(call.url)?;
        match &self.scheme {
            CredentialScheme::Bearer { token } => {
                set(headers, AUTHORIZATION, &format!("Bearer {}", call.secrets.read(token)?.reveal()))
            }
            CredentialScheme::Basic { username, password } => {
                let pair = format!("{username}:{}", call.secrets.read(password)?.reveal());
                set(headers, AUTHORIZATION, &format!("Basic {}", STANDARD.encode(pair)))
            }
            CredentialScheme::Hmac { key, header, timestamp_header } => {
                apply_hmac(call, key, header, timestamp_header.as_deref(), headers)
            }
            CredentialScheme::StandardWebhooks { keys } => apply_webhooks(call, keys, headers),
            CredentialScheme::Vapid { private_key, public_key, subject } => {
                let private = call.secrets.read_text(private_key)?;
                let keys = (private.reveal(), public_key.as_str());
                let value = self.audiences.authorization(call.url, keys, subject, call.epoch_s);
                set(headers, AUTHORIZATION, &value.map_err(|reason| Error::Unavailable(reason.into()))?)
            }
            CredentialScheme::AwsSigv4 { .. } => apply_sigv4(call, &self.scheme, headers),
            CredentialScheme::Oauth2 { .. }
            | CredentialScheme::ServiceAccount { .. }
            | CredentialScheme::Apns { .. } => {
                let token = self.tokens.get(call.deadline, issue(call, &self.scheme)).await?;
                set(headers, AUTHORIZATION, &token)
            }
        }
    }

    /// Drops the used token if this response says that the provider refused it, so that the next
    /// attempt gets a new one.
    pub(crate) fn record_response(&self, used: &HeaderValue, status: u16, body: &str) {
        let expired = body.contains("ExpiredProviderToken") || body.contains("InvalidProviderToken");
        if let (true, Ok(used)) = (status == 401 || (status == 403 && expired), used.to_str()) {
            self.tokens.forget(used);
            self.audiences.forget(used);
        }
    }

    fn permit(&self, url: &Url) -> Result<(), Error> {
        let host = url.host_str().unwrap_or_default();
        let reach = self.hosts.permit(url);
        let reach = reach
            .ok_or_else(|| Error::Refused(format!("the credential may not be sent to {host}").into()))?;
        let signs_only =
            matches!(self.scheme, CredentialScheme::Hmac { .. } | CredentialScheme::StandardWebhooks { .. });
        if url.scheme() == "http" && reach == Reach::Public && !signs_only {
            return Err(Error::Refused(format!("the credential would be sent to {host} without TLS").into()));
        }
        Ok(())
    }
}

async fn issue(call: &Call<'_>, scheme: &CredentialScheme) -> Result<Issued, Error> {
    match scheme {
        CredentialScheme::Oauth2 { token_url, client_id, client_secret, scopes, audience } => {
            let secret = call.secrets.read(client_secret)?;
            let audience = audience.as_deref();
            let client =
                oauth::Client { token_url, id: client_id, secret: secret.reveal(), scopes, audience };
            oauth::client_credentials(call, client).await
        }
        CredentialScheme::ServiceAccount { key, scopes } => {
            oauth::service_account(call, call.secrets.read_text(key)?.reveal(), scopes).await
        }
        CredentialScheme::Apns { key, key_id, team_id } => {
            let key = call.secrets.read_text(key)?;
            let key = jwt::ec_key(key.reveal()).map_err(|reason| Error::Unavailable(reason.into()))?;
            let header = json!({"alg": "ES256", "kid": key_id});
            let token = jwt::es256(&key, &header, &json!({"iss": team_id, "iat": call.epoch_s}));
            let token = format!("bearer {}", token.map_err(|reason| Error::Unavailable(reason.into()))?);
            Ok(Issued { token, lifetime: Duration::from_secs(APNS_TOKEN_S) })
        }
        _ => Err(Error::Refused("the credential has no token".into())),
    }
}

fn apply_hmac(
    call: &Call<'_>,
    key: &Secret,
    header: &str,
    timestamp_header: Option<&str>,
    headers: &mut HeaderMap,
) -> Result<(), Error> {
    let key = call.secrets.read(key)?;
    let stamp = timestamp_header.map(|name| (name, call.epoch_s.to_string()));
    let signature = sign(key.reveal(), stamp.as_ref().map(|(_, stamp)| stamp.as_str()), call.body);
    if let Some((name, stamp)) = &stamp {
        set(headers, header_name(name)?, stamp)?;
    }
    set(headers, header_name(header)?, &signature)
}

fn apply_webhooks(call: &Call<'_>, keys: &[Secret], headers: &mut HeaderMap) -> Result<(), Error> {
    let timestamp = call.epoch_s.to_string();
    let mut signatures = Vec::new();
    for key in keys {
        let key = call.secrets.read(key)?;
        let signature = webhooks::sign(key.reveal(), call.key, &timestamp, call.body);
        signatures.push(signature.map_err(|reason| Error::Unavailable(reason.into()))?);
    }
    set(headers, HeaderName::from_static("webhook-id"), call.key)?;
    set(headers, HeaderName::from_static("webhook-timestamp"), &timestamp)?;
    set(headers, HeaderName::from_static("webhook-signature"), &signatures.join(" "))
}

fn apply_sigv4(call: &Call<'_>, scheme: &CredentialScheme, headers: &mut HeaderMap) -> Result<(), Error> {
    let CredentialScheme::AwsSigv4 { access_key_id, secret_access_key, session_token, region, service } =
        scheme
    else {
        return Err(Error::Refused("the credential is not one of AWS".into()));
    };
    let id = call.secrets.read(access_key_id)?;
    let secret = call.secrets.read(secret_access_key)?;
    let session = session_token.as_ref().map(|token| call.secrets.read(token)).transpose()?;
    let signer =
        sigv4::Signer { access_key_id: id.reveal(), secret_access_key: secret.reveal(), region, service };
    let (date, hash) = (sigv4::amz_date(call.epoch_s), sigv4::sha256_hex(call.body));
    let host = sigv4::host(call.url);
    let mut signed_headers =
        vec![("host", host.as_str()), ("x-amz-content-sha256", hash.as_str()), ("x-amz-date", date.as_str())];
    signed_headers.extend(session.as_ref().map(|token| ("x-amz-security-token", token.reveal())));
    let signed = sigv4::Signed {
        method: call.method.as_str(),
        url: call.url,
        headers: &signed_headers,
        body: call.body,
    };
    let authorization = signer.authorization(&signed, &date);
    for (name, value) in &signed_headers[1..] {
        set(headers, HeaderName::from_static(name), value)?;
    }
    set(headers, AUTHORIZATION, &authorization)
}

fn header_name(name: &str) -> Result<HeaderName, Error> {
    HeaderName::try_from(name).map_err(|_| Error::Refused(format!("{name:?} is not a header name").into()))
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), Error> {
    let invalid = |_| Error::Refused(format!("the credential does not fit into the header {name}").into());
    let mut value = HeaderValue::try_from(value).map_err(invalid)?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

/// Returns the HMAC-SHA256, hexadecimal, of the body or (with a timestamp) of `stamp.body`.
fn sign(key: &str, stamp: Option<&str>, body: &[u8]) -> String {
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()));
    if let Some(stamp) = stamp {
        mac.update(stamp.as_bytes());
        mac.update(b".");
    }
    mac.update(body);
    sigv4::hex(mac.sign().as_ref())
}

#[cfg(test)]
mod tests {
    use super::sign;

    /// The second test case of RFC 4231.
    #[test]
    fn signatures_are_those_of_the_standard() {
        assert_eq!(
            sign("Jefe", None, b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(sign("k", Some("17"), b"body"), sign("k", None, b"17.body"));
    }
}

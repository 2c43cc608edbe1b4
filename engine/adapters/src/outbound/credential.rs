//! Credentials: applied after rendering, to hosts they are bound to, where
//! nobody can read along.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use pricedrop_model::dispatch::{Credential, CredentialScheme};
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

use super::hosts::{Hosts, Reach};
use super::secret::{self, Secrets};

/// Why a credential was not applied.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It would not be the next time either.
    #[error("{0}")]
    Refused(String),
    /// Its secret is away.
    #[error("{0}")]
    Secret(#[from] secret::Error),
}

/// A credential with its hosts read.
#[derive(Debug)]
pub(super) struct Bound {
    hosts: Hosts,
    scheme: CredentialScheme,
}

impl Bound {
    pub(super) fn new(credential: &Credential) -> Result<Bound, String> {
        let hosts = Hosts::parse(&credential.hosts).map_err(|error| error.to_string())?;
        if let CredentialScheme::Hmac { header, timestamp_header, .. } = &credential.scheme {
            for name in std::iter::once(header).chain(timestamp_header) {
                HeaderName::try_from(name.as_str()).map_err(|_| format!("{name:?} is no header name"))?;
            }
        }
        Ok(Bound { hosts, scheme: credential.scheme.clone() })
    }

    /// Adds its headers to a request for this URL with this body.
    pub(super) fn apply(
        &self,
        secrets: &Secrets,
        url: &Url,
        body: &[u8],
        epoch_s: u64,
        headers: &mut HeaderMap,
    ) -> Result<(), Error> {
        let host = url.host_str().unwrap_or_default();
        let reach = self.hosts.permit(url);
        let reach = reach.ok_or_else(|| Error::Refused(format!("the credential is not for {host}")))?;
        let signs_only = matches!(self.scheme, CredentialScheme::Hmac { .. });
        if url.scheme() == "http" && reach == Reach::Public && !signs_only {
            return Err(Error::Refused(format!("the credential would go to {host} in the clear")));
        }
        match &self.scheme {
            CredentialScheme::Bearer { token } => {
                set(headers, AUTHORIZATION, &format!("Bearer {}", secrets.read(token)?.reveal()))
            }
            CredentialScheme::Basic { username, password } => {
                let pair = format!("{username}:{}", secrets.read(password)?.reveal());
                set(headers, AUTHORIZATION, &format!("Basic {}", STANDARD.encode(pair)))
            }
            CredentialScheme::Hmac { key, header, timestamp_header } => {
                let key = secrets.read(key)?;
                let stamp = timestamp_header.as_ref().map(|name| (name, epoch_s.to_string()));
                let signature = sign(key.reveal(), stamp.as_ref().map(|(_, stamp)| stamp.as_str()), body);
                if let Some((name, stamp)) = &stamp {
                    set(headers, header_name(name)?, stamp)?;
                }
                set(headers, header_name(header)?, &signature)
            }
        }
    }
}

fn header_name(name: &str) -> Result<HeaderName, Error> {
    HeaderName::try_from(name).map_err(|_| Error::Refused(format!("{name:?} is no header name")))
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), Error> {
    let unfit = |_| Error::Refused(format!("the credential does not fit into the header {name}"));
    let mut value = HeaderValue::try_from(value).map_err(unfit)?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

/// HMAC-SHA256 in hex over the body, or over `stamp.body`.
fn sign(key: &str, stamp: Option<&str>, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("HMAC takes keys of any length");
    if let Some(stamp) = stamp {
        mac.update(stamp.as_bytes());
        mac.update(b".");
    }
    mac.update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
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

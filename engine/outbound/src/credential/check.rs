//! Checks the values of a credential that are not secret, when its sidecar is loaded.

use pricedrop_model::channel::{CredentialScheme, Secret};
use reqwest::header::HeaderName;

use super::{oauth, vapid};
use crate::hosts::Hosts;
use crate::secret::Form;

/// Checks a scheme's values without reading its secrets.
///
/// # Errors
/// A value is invalid; the text names it.
pub(super) fn check(scheme: &CredentialScheme, hosts: &Hosts) -> Result<(), String> {
    match scheme {
        CredentialScheme::Hmac { header, timestamp_header, .. } => {
            std::iter::once(header).chain(timestamp_header).try_for_each(|name| header_name(name))
        }
        CredentialScheme::StandardWebhooks { keys } if keys.is_empty() => {
            Err("keys: at least one is required".into())
        }
        CredentialScheme::Oauth2 { token_url, .. } => {
            oauth::token_url(hosts, token_url).map(drop).map_err(|reason| format!("token_url: {reason}"))
        }
        CredentialScheme::Vapid { public_key, subject, .. } => {
            vapid::public_key(public_key)?;
            let contact = subject.strip_prefix("mailto:").or(subject.strip_prefix("https:"));
            match contact.is_some_and(|contact| !contact.is_empty()) {
                true => Ok(()),
                false => Err(format!("subject {subject:?} must begin with mailto: or https:")),
            }
        }
        CredentialScheme::Apns { key_id, team_id, .. } => {
            plain("key_id", key_id).and(plain("team_id", team_id))
        }
        CredentialScheme::AwsSigv4 { region, service, .. } => {
            plain("region", region).and(plain("service", service))
        }
        _ => Ok(()),
    }
}

/// Returns the secrets of a scheme, each with its key in the sidecar and its form.
pub(crate) fn secrets(scheme: &CredentialScheme) -> Vec<(&'static str, &Secret, Form)> {
    match scheme {
        CredentialScheme::Bearer { token } => vec![("token", token, Form::Line)],
        CredentialScheme::Basic { password, .. } => vec![("password", password, Form::Line)],
        CredentialScheme::Hmac { key, .. } => vec![("key", key, Form::Line)],
        CredentialScheme::StandardWebhooks { keys } => {
            keys.iter().map(|key| ("keys", key, Form::Line)).collect()
        }
        CredentialScheme::Oauth2 { client_secret, .. } => vec![("client_secret", client_secret, Form::Line)],
        CredentialScheme::ServiceAccount { key, .. } | CredentialScheme::Apns { key, .. } => {
            vec![("key", key, Form::Text)]
        }
        CredentialScheme::Vapid { private_key, .. } => vec![("private_key", private_key, Form::Text)],
        CredentialScheme::AwsSigv4 { access_key_id, secret_access_key, session_token, .. } => {
            let mut secrets = vec![
                ("access_key_id", access_key_id, Form::Line),
                ("secret_access_key", secret_access_key, Form::Line),
            ];
            secrets.extend(session_token.iter().map(|token| ("session_token", token, Form::Line)));
            secrets
        }
    }
}

fn header_name(name: &str) -> Result<(), String> {
    HeaderName::try_from(name).map(drop).map_err(|_| format!("{name:?} is not a header name"))
}

fn plain(key: &str, text: &str) -> Result<(), String> {
    let fits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if fits { Ok(()) } else { Err(format!("{key}: {text:?} is not letters, digits and hyphens")) }
}

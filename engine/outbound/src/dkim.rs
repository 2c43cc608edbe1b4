//! Signs mails with DKIM, by RSA or Ed25519 (RFC 6376, RFC 8463).

use lettre::Message;
use lettre::message::dkim::{
    DkimCanonicalization, DkimCanonicalizationType, DkimConfig, DkimSigningAlgorithm, DkimSigningKey,
    dkim_sign,
};
use lettre::message::header::HeaderName;
use pricedrop_model::channel::Dkim;

/// The headers that are signed, if the mail has them.
const SIGNED: [&str; 10] = [
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
    "Auto-Submitted",
];

/// Checks the domain and the selector. The error names the invalid one.
pub(super) fn check(dkim: &Dkim) -> Result<(), String> {
    for (key, name) in [("domain", &dkim.domain), ("selector", &dkim.selector)] {
        let label = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if !name.split('.').all(label) || (key == "domain" && !name.contains('.')) {
            return Err(format!("dkim.{key} {name:?} is not a DNS name"));
        }
    }
    Ok(())
}

/// Adds the signature. The error text does not contain the key.
pub(super) fn sign(message: &mut Message, dkim: &Dkim, key: &str) -> Result<(), String> {
    let algorithm = match key.contains("-----BEGIN") {
        true => DkimSigningAlgorithm::Rsa,
        false => DkimSigningAlgorithm::Ed25519,
    };
    let key = DkimSigningKey::new(key.trim(), algorithm).map_err(|error| format!("the DKIM key: {error}"))?;
    let relaxed = DkimCanonicalizationType::Relaxed;
    let canonicalization = DkimCanonicalization { header: relaxed, body: relaxed };
    let names = SIGNED.iter().filter(|name| message.headers().get_raw(name).is_some());
    let names = names.map(|name| HeaderName::new_from_ascii_str(name)).collect();
    let config = DkimConfig::new(dkim.selector.clone(), dkim.domain.clone(), key, names, canonicalization);
    dkim_sign(message, &config);
    Ok(())
}

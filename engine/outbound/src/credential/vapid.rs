//! VAPID (RFC 8292): signed tokens that identify this server to a push service. One token per push
//! service is cached.

use std::collections::HashMap;
use std::sync::Mutex;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use reqwest::Url;
use serde_json::json;

use pricedrop_model::sync::lock;

use super::jwt;
use crate::limits::{VAPID_AUDIENCES, VAPID_LIFETIME_S};

/// The signed headers by audience (origin of the push service), each with its renewal time, epoch
/// seconds.
#[derive(Default)]
pub(super) struct Audiences(Mutex<HashMap<String, (String, u64)>>);

impl std::fmt::Debug for Audiences {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Audiences")
    }
}

impl Audiences {
    /// Returns the value of `Authorization` for this endpoint. `keys` are the private and the
    /// public key.
    pub(super) fn authorization(
        &self,
        url: &Url,
        keys: (&str, &str),
        subject: &str,
        epoch_s: u64,
    ) -> Result<String, String> {
        let audience = url.origin().ascii_serialization();
        let mut known = lock(&self.0);
        if let Some((value, until)) = known.get(&audience)
            && epoch_s < *until
        {
            return Ok(value.clone());
        }
        let key = key_pair(keys.0, keys.1)?;
        let claims = json!({"aud": audience, "exp": epoch_s + VAPID_LIFETIME_S, "sub": subject});
        let token = jwt::es256(&key, &json!({"typ": "JWT", "alg": "ES256"}), &claims)?;
        let value = format!("vapid t={token}, k={}", keys.1.trim_end_matches('='));
        if known.len() >= VAPID_AUDIENCES {
            known.clear();
        }
        known.insert(audience, (value.clone(), epoch_s + VAPID_LIFETIME_S / 2));
        Ok(value)
    }

    /// Drops a value that the push service refused.
    pub(super) fn forget(&self, refused: &str) {
        let mut known = lock(&self.0);
        known.retain(|_, (value, _)| value != refused);
    }
}

/// Builds the key pair, and checks that the two keys belong together.
fn key_pair(private: &str, public: &str) -> Result<EcdsaKeyPair, String> {
    let public = public_key(public)?;
    let mismatch = || "the private key and the public key do not belong together".to_owned();
    if private.contains("-----BEGIN") {
        let key = jwt::ec_key(private)?;
        return if key.public_key().as_ref() == public { Ok(key) } else { Err(mismatch()) };
    }
    let private = jwt::decode(private).ok_or("the private key is neither base64url nor PEM")?;
    EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, &private, &public)
        .map_err(|_| mismatch())
}

/// Decodes the public key: an uncompressed P-256 point of 65 bytes.
pub(super) fn public_key(text: &str) -> Result<Vec<u8>, String> {
    let key = jwt::decode(text).filter(|key| key.len() == 65 && key[0] == 4);
    key.ok_or_else(|| "the public key is not 65 bytes in base64url".into())
}

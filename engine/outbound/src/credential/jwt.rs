//! JSON Web Tokens, signed with ES256 or RS256 (RFC 7515).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

/// Encodes bytes as base64url without padding.
pub(in crate::credential) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes base64url with or without padding.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok()
}

/// Reads a P-256 key from PKCS#8 in PEM. Error texts never contain the key.
pub(in crate::credential) fn ec_key(pem: &str) -> Result<EcdsaKeyPair, String> {
    let der = pkcs8(pem)?;
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der())
        .map_err(|error| format!("the key is not a P-256 key: {error}"))
}

/// Returns a JWT signed with ES256.
pub(in crate::credential) fn es256(
    key: &EcdsaKeyPair,
    header: &Value,
    claims: &Value,
) -> Result<String, String> {
    let input = signing_input(header, claims);
    let signature = key.sign(&SystemRandom::new(), input.as_bytes());
    let signature = signature.map_err(|_| "the token could not be signed".to_owned())?;
    Ok(format!("{input}.{}", encode(signature.as_ref())))
}

/// Returns a JWT signed with RS256, by a key in PKCS#8 PEM.
pub(in crate::credential) fn rs256(pem: &str, header: &Value, claims: &Value) -> Result<String, String> {
    let der = pkcs8(pem)?;
    let key = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der())
        .map_err(|error| format!("the key is not an RSA key: {error}"))?;
    let input = signing_input(header, claims);
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature)
        .map_err(|_| "the token could not be signed".to_owned())?;
    Ok(format!("{input}.{}", encode(&signature)))
}

fn pkcs8(pem: &str) -> Result<PrivatePkcs8KeyDer<'static>, String> {
    PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| "the key is not a private key in PKCS#8 PEM".to_owned())
}

fn signing_input(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims.to_string().as_bytes()))
}

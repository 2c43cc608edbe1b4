//! Builds web push messages: encrypts the payload for the subscription (RFC 8291) and puts it into
//! a request (RFC 8030). [`crate::http`] sends it.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, EphemeralPrivateKey, UnparsedPublicKey, agree_ephemeral};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use pricedrop_model::channel::{HttpRequest, Method, SendError, Urgency, WebPush};
use reqwest::Url;

use super::channel::ChannelAccess;
use super::credential::jwt::decode;
use super::limits::PUSH_PAYLOAD_BYTES;

/// The record size that the header declares, bytes. A message is one record.
const RECORD_BYTES: u32 = 4_096;
/// The padding delimiter of the last record (RFC 8188).
const LAST_RECORD: u8 = 2;

/// Builds the request to the push service.
///
/// # Errors
/// The subscription is invalid, the payload is too long, or no VAPID credential is named.
pub(super) fn request(push: &WebPush, channel: &ChannelAccess) -> Result<HttpRequest, SendError> {
    check(push, channel)?;
    let bad = |what: &str| SendError::BadRecipient(format!("the subscription's {what}"));
    let url = Url::parse(&push.endpoint).map_err(|_| bad("endpoint is not a URL"))?;
    if url.scheme() != "https" && url.scheme() != "http" {
        return Err(bad("endpoint is neither https nor http"));
    }
    let public = decode(&push.p256dh).filter(|key| key.len() == 65 && key[0] == 4);
    let public = public.ok_or_else(|| bad("p256dh is not 65 bytes in base64url"))?;
    let auth = decode(&push.auth).filter(|auth| auth.len() == 16);
    let auth = auth.ok_or_else(|| bad("auth is not 16 bytes in base64url"))?;
    let body =
        encrypt(&public, &auth, &push.payload).ok_or_else(|| bad("p256dh is not a point of the curve"))?;
    let mut headers = vec![
        ("content-type".to_owned(), "application/octet-stream".to_owned()),
        ("content-encoding".to_owned(), "aes128gcm".to_owned()),
        ("ttl".to_owned(), push.ttl_s.to_string()),
        ("urgency".to_owned(), urgency(push.urgency).to_owned()),
    ];
    headers.extend(push.topic.clone().map(|topic| ("topic".to_owned(), topic)));
    let (url, credential) = (push.endpoint.clone(), push.credential.clone());
    Ok(HttpRequest { method: Method::Post, url, headers, body, credential })
}

fn check(push: &WebPush, channel: &ChannelAccess) -> Result<(), SendError> {
    let bytes = push.payload.len();
    if bytes > PUSH_PAYLOAD_BYTES {
        return Err(SendError::Refused(format!(
            "a payload of {bytes} bytes; a push message has at most {PUSH_PAYLOAD_BYTES}"
        )));
    }
    let credential = push.credential.as_ref().and_then(|name| channel.credentials.get(name));
    match credential.is_some_and(super::credential::Bound::is_vapid) {
        true => Ok(()),
        false => Err(SendError::Refused("a push message needs a credential of the scheme vapid".into())),
    }
}

fn urgency(urgency: Urgency) -> &'static str {
    match urgency {
        Urgency::VeryLow => "very-low",
        Urgency::Low => "low",
        Urgency::Normal => "normal",
        Urgency::High => "high",
    }
}

/// Encrypts a payload. `None` means the public key is not a point of the curve.
fn encrypt(public: &[u8], auth: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    let random = SystemRandom::new();
    let own = EphemeralPrivateKey::generate(&ECDH_P256, &random).ok()?;
    let own_public = own.compute_public_key().ok()?;
    let mut salt = [0; 16];
    random.fill(&mut salt).ok()?;
    let peer = UnparsedPublicKey::new(&ECDH_P256, public);
    let info = [b"WebPush: info\0", public, own_public.as_ref()];
    let secret = agree_ephemeral(own, peer, (), |shared| derive::<32>(auth, shared, &info).ok_or(())).ok()?;
    let key = derive::<16>(&salt, &secret, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce = derive::<12>(&salt, &secret, &[b"Content-Encoding: nonce\0"])?;
    let mut record = payload.to_vec();
    record.push(LAST_RECORD);
    let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).ok()?);
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut record).ok()?;
    let length = u8::try_from(own_public.as_ref().len()).ok()?;
    Some([&salt, &RECORD_BYTES.to_be_bytes()[..], &[length], own_public.as_ref(), &record].concat())
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive<const N: usize>(salt: &[u8], secret: &[u8], info: &[&[u8]]) -> Option<[u8; N]> {
    let mut out = [0; N];
    let key = Salt::new(HKDF_SHA256, salt).extract(secret);
    key.expand(info, Length(N)).ok()?.fill(&mut out).ok()?;
    Some(out)
}

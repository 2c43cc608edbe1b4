//! Keys of deliveries: for leases and confirmations in stores, and as idempotency keys for
//! providers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use pricedrop_model::{Notification, ProductId};
use sha2::{Digest, Sha256};

/// Longest idempotency key, bytes; a longer one is hashed.
const IDEMPOTENCY_KEY_BYTES: usize = 255;

/// Returns the notification's id, or `userId:productId:newPrice` if it has none.
pub fn notification_name(notification: &Notification) -> String {
    match &notification.id {
        Some(id) => id.0.to_string(),
        None => {
            format!("{}:{}:{}", notification.user_id, notification.product_id, notification.new_price)
        }
    }
}

/// Computes the keys of deliveries. A key contains a keyed hash of the address, because keys go
/// to providers and into stores, and an address may be secret (a push subscription is).
#[derive(Clone)]
pub struct Keys {
    addresses: Hmac<Sha256>,
}

impl Default for Keys {
    fn default() -> Keys {
        Keys::new("")
    }
}

impl Keys {
    /// Keys whose hashes can be computed only with `secret`. All instances need the same secret:
    /// with another one the keys differ, and confirmations of earlier deliveries are not found.
    pub fn new(secret: &str) -> Keys {
        let addresses = Hmac::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of any length");
        Keys { addresses }
    }

    /// Returns the key of a delivery, the same at every attempt and after every crash:
    /// `id:channel:addressKey`, or `userId:productId:newPrice:channel:addressKey`.
    pub fn delivery(&self, notification: &Notification, channel: &str, address: &str) -> String {
        format!("{}:{channel}:{}", notification_name(notification), self.address(address))
    }

    /// Returns the hash of an address that is used in keys: 22 characters of base64url.
    pub fn address(&self, address: &str) -> String {
        let hash = self.addresses.clone().chain_update(address).finalize().into_bytes();
        short(&hash)
    }
}

fn short(hash: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(&hash[..16])
}

/// Returns the collapse key of a product: a push message replaces an undelivered older one with
/// the same key. 22 characters of base64url, as the `Topic` header of RFC 8030 requires.
pub(super) fn collapse_key(product: &ProductId) -> String {
    short(&Sha256::digest(product.as_str().as_bytes()))
}

/// Returns a delivery's key as a header value: the key itself if it is printable ASCII of at most
/// 255 bytes, else its SHA-256 in hex. The key of a follow-up (`step` > 0) ends with its step.
pub fn idempotency_key(key: &str, step: u32) -> String {
    let full = if step == 0 { key.to_owned() } else { format!("{key}:{step}") };
    let fits = full.len() <= IDEMPOTENCY_KEY_BYTES && full.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { full } else { hashed(&full) }
}

fn hashed(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn notification(json: &str) -> Notification {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_notification_without_an_id_is_keyed_by_user_product_and_price() {
        let lean = notification(r#"{"userId":"u1","productId":"P7","newPrice":79.90}"#);
        let keys = Keys::default();
        assert_eq!(
            keys.delivery(&lean, "channel-email", "a@b.c"),
            format!("u1:P7:79.9:channel-email:{}", keys.address("a@b.c"))
        );
        let full = notification(
            r#"{"userId":"u1","productId":"P7","newPrice":1,"id":"00000000-0000-8000-8000-000000000001"}"#,
        );
        let key = keys.delivery(&full, "c", "secret");
        assert!(key.starts_with("00000000-0000-8000-8000-000000000001:c:"), "{key}");
        assert!(!key.contains("secret"), "{key}");
    }

    #[test]
    fn an_address_is_hashed_with_the_secret() {
        let keys = Keys::new("Jefe");
        // The first 16 bytes of test case 2 of RFC 4231.
        assert_eq!(keys.address("what do ya want for nothing?"), "W9zBRr9gdU5qBCQmCJV1xw");
        assert_ne!(keys.address("a@b.c"), Keys::new("jefe").address("a@b.c"));
        assert_ne!(keys.address("a@b.c"), keys.address("a@b.d"));
    }

    #[test]
    fn an_idempotency_key_is_always_a_safe_header() {
        assert_eq!(idempotency_key("id:c:a", 0), "id:c:a");
        assert_eq!(idempotency_key("id:c:a", 2), "id:c:a:2");
        for unsafe_key in ["id:c:a\r\nx: y", "id:c:ä", "id:c:a b", &"x".repeat(256)] {
            let key = idempotency_key(unsafe_key, 0);
            assert_eq!(key.len(), 64, "{unsafe_key}");
            assert_ne!(key, idempotency_key(unsafe_key, 1));
        }
    }
}

//! Reads an address: the subscription that a browser's Push API returned.

use pricedrop_plugin_support::{Object, host_of};
use serde_json::Value;

/// Hosts that may be reached without TLS, for trials on one machine.
const LOCAL_HOSTS: [&str; 3] = ["127.0.0.1", "[::1]", "localhost"];
/// An uncompressed point on P-256.
const KEY_BYTES: usize = 65;
/// RFC 8291, section 3.2.
const AUTH_BYTES: usize = 16;

/// A subscription whose parts have been checked.
#[derive(Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Where the push service takes messages.
    pub endpoint: String,
    /// The public key in base64url without padding.
    pub p256dh: String,
    /// The authentication secret in base64url without padding.
    pub auth: String,
}

impl Subscription {
    /// Reads the JSON of a browser's `PushSubscription`.
    ///
    /// # Errors
    /// What is wrong with it, in words for the person who entered it.
    pub fn parse(address: &str) -> Result<Self, String> {
        let json: Value =
            serde_json::from_str(address).map_err(|_| "is not the JSON of a push subscription".to_owned())?;
        let text = |value: &Value, name: &str| {
            value.as_str().map(str::to_owned).ok_or_else(|| format!("has no {name} that is a text"))
        };
        let endpoint = text(&json["endpoint"], "endpoint")?;
        check_endpoint(&endpoint)?;
        let p256dh = unpadded(text(&json["keys"]["p256dh"], "keys.p256dh")?);
        if decode(&p256dh).is_none_or(|key| key.len() != KEY_BYTES || key[0] != 4) {
            return Err("keys.p256dh must be 65 bytes in base64url, the first of them 0x04".into());
        }
        let auth = unpadded(text(&json["keys"]["auth"], "keys.auth")?);
        if decode(&auth).is_none_or(|secret| secret.len() != AUTH_BYTES) {
            return Err("keys.auth must be 16 bytes in base64url".into());
        }
        Ok(Self { endpoint, p256dh, auth })
    }

    /// The canonical form: no blanks, no padding, no expiration time.
    pub fn canonical(&self) -> String {
        let mut keys = Object::default();
        keys.text("p256dh", &self.p256dh);
        keys.text("auth", &self.auth);
        let mut object = Object::default();
        object.text("endpoint", &self.endpoint);
        object.raw("keys", &keys.end());
        object.end()
    }
}

fn check_endpoint(endpoint: &str) -> Result<(), String> {
    let host = host_of(endpoint).filter(|_| endpoint.is_ascii()).ok_or("endpoint is not an https URL")?;
    let is_tls = endpoint.split_once(':').is_some_and(|(scheme, _)| scheme.eq_ignore_ascii_case("https"));
    match is_tls || LOCAL_HOSTS.contains(&host) {
        true => Ok(()),
        false => Err("endpoint must be an https URL; http is for this machine only".into()),
    }
}

fn unpadded(text: String) -> String {
    text.trim_end_matches('=').to_owned()
}

/// RFC 4648, section 5, without padding; bits that are left over must be zero.
fn decode(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for c in text.bytes() {
        let six = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(six);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    (count < 6 && bits == 0).then_some(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn json(endpoint: &str, p256dh: &str, auth: &str) -> String {
        format!(
            r#"{{ "endpoint": "{endpoint}", "expirationTime": null, "keys": {{"auth": "{auth}", "p256dh": "{p256dh}"}} }}"#
        )
    }

    #[test]
    fn a_subscription_is_written_in_one_way_only() {
        let key = format!("B{}", "A".repeat(86));
        let auth = "A".repeat(22);
        let padded = json("https://push.example/x", &format!("{key}="), &format!("{auth}=="));
        let expected =
            format!(r#"{{"endpoint":"https://push.example/x","keys":{{"p256dh":"{key}","auth":"{auth}"}}}}"#);
        let canonical = Subscription::parse(&padded).unwrap().canonical();
        assert_eq!(canonical, expected);
        assert_eq!(Subscription::parse(&canonical).unwrap().canonical(), expected);
    }

    #[test]
    fn a_subscription_that_cannot_work_is_refused_with_a_reason() {
        let key = format!("B{}", "A".repeat(86));
        let auth = "A".repeat(22);
        for (address, reason) in [
            ("no".to_owned(), "JSON"),
            ("{}".to_owned(), "endpoint"),
            (json("http://push.example/x", &key, &auth), "https"),
            (json("https://a@push.example/x", &key, &auth), "https"),
            (json("https://push.example/x", &"A".repeat(87), &auth), "p256dh"),
            (json("https://push.example/x", &key, "AAAA"), "auth"),
        ] {
            let error = Subscription::parse(&address).unwrap_err();
            assert!(error.contains(reason), "{address}: {error}");
        }
        assert!(Subscription::parse(&json("http://127.0.0.1:8080/x", &key, &auth)).is_ok());
    }
}

//! Signs requests by Standard Webhooks 1.0.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Returns one signature: `v1,<base64>`. The error text does not contain the key.
pub(super) fn sign(key: &str, id: &str, timestamp: &str, body: &[u8]) -> Result<String, String> {
    let key = key.strip_prefix("whsec_").unwrap_or(key);
    let key =
        STANDARD.decode(key).map_err(|_| "a key does not have the form whsec_ and base64".to_owned())?;
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(body);
    Ok(format!("v1,{}", STANDARD.encode(mac.sign())))
}

#[cfg(test)]
mod tests {
    /// The example in the specification.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let body = br#"{"test": 2432232314}"#;
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let signed = super::sign("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", id, "1614265330", body);
        assert_eq!(signed, Ok("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".into()));
    }
}

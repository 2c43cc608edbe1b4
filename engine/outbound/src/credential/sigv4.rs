//! Signs requests with AWS Signature Version 4.

use aws_lc_rs::{digest, hmac};
use reqwest::Url;
use time::OffsetDateTime;

/// The access key, the region and the service of a signature.
pub(super) struct Signer<'a> {
    pub(super) access_key_id: &'a str,
    pub(super) secret_access_key: &'a str,
    pub(super) region: &'a str,
    pub(super) service: &'a str,
}

/// The request that is signed.
pub(super) struct Signed<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a Url,
    /// Names in lower case, sorted. They include `host` and `x-amz-date`.
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: &'a [u8],
}

/// Returns the value of `x-amz-date`.
pub(super) fn amz_date(epoch_s: u64) -> String {
    let at = i64::try_from(epoch_s).ok().and_then(|at| OffsetDateTime::from_unix_timestamp(at).ok());
    let at = at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
    format!("{year:04}{month:02}{day:02}T{:02}{:02}{:02}Z", at.hour(), at.minute(), at.second())
}

/// Returns the `host` header of a URL.
pub(super) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

impl Signer<'_> {
    /// Returns the value of `Authorization`.
    pub(super) fn authorization(&self, signed: &Signed<'_>, amz_date: &str) -> String {
        let names: Vec<_> = signed.headers.iter().map(|(name, _)| *name).collect();
        let names = names.join(";");
        let scope = format!("{}/{}/{}/aws4_request", &amz_date[..8], self.region, self.service);
        let canonical = self.canonical(signed, &names);
        let text = format!("AWS4-HMAC-SHA256\n{amz_date}\n{scope}\n{}", sha256_hex(canonical.as_bytes()));
        let secret = format!("AWS4{}", self.secret_access_key);
        let key = scope.split('/').fold(secret.into_bytes(), |key, part| mac(&key, part));
        let signature = hex(&mac(&key, &text));
        let id = self.access_key_id;
        format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}")
    }

    fn canonical(&self, signed: &Signed<'_>, names: &str) -> String {
        // S3 signs the path as it is sent. Other services sign it percent-encoded a second time.
        let path = match self.service {
            "s3" => signed.url.path().to_owned(),
            _ => signed.url.path().split('/').map(encode).collect::<Vec<_>>().join("/"),
        };
        let mut query: Vec<_> =
            signed.url.query_pairs().map(|(name, value)| (encode(&name), encode(&value))).collect();
        query.sort();
        let query: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let headers: String =
            signed.headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim())).collect();
        let hash = sha256_hex(signed.body);
        format!("{}\n{path}\n{}\n{headers}\n{names}\n{hash}", signed.method, query.join("&"))
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes()).as_ref().to_vec()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn encode(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Cases `get-vanilla`, `post-vanilla` and `get-vanilla-query-order-key-case` of AWS's test
    /// suite.
    #[test]
    fn signatures_are_those_of_the_published_test_suite() {
        let signer = Signer {
            access_key_id: "AKIDEXAMPLE",
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
            region: "us-east-1",
            service: "service",
        };
        assert_eq!(amz_date(1_440_938_160), "20150830T123600Z");
        for (method, url, expected) in [
            ("GET", "/", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
            ("POST", "/", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
            (
                "GET",
                "/?Param2=value2&Param1=value1",
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
        ] {
            let url = Url::parse(&format!("https://example.amazonaws.com{url}")).unwrap();
            let host = host(&url);
            let headers = [("host", host.as_str()), ("x-amz-date", "20150830T123600Z")];
            let signed = Signed { method, url: &url, headers: &headers, body: b"" };
            let value = signer.authorization(&signed, "20150830T123600Z");
            assert!(value.ends_with(expected), "{method} {url}: {value}");
        }
    }
}

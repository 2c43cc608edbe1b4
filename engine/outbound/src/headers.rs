//! Checks the headers that a plugin sets on a request, and converts those of a response.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::limits::{HEADER_BYTES, HEADERS};

/// Headers that a plugin may not set: those that the host sets, and those that control the
/// connection.
const RESERVED: [&str; 14] = [
    "authorization",
    "connection",
    "content-length",
    "cookie",
    "expect",
    "host",
    "idempotency-key",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Converts a plugin's headers. The error names the header that breaks a rule.
pub(super) fn read(headers: &[(String, String)]) -> Result<HeaderMap, String> {
    if headers.len() > HEADERS {
        return Err(format!("{} headers; a request has at most {HEADERS}", headers.len()));
    }
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let header =
            HeaderName::try_from(name.as_str()).map_err(|_| format!("{name:?} is not a header name"))?;
        if RESERVED.contains(&header.as_str()) {
            return Err(format!("the header {header} is reserved for the host"));
        }
        if name.len() + value.len() > HEADER_BYTES {
            return Err(format!("the header {header} is longer than {HEADER_BYTES} bytes"));
        }
        let value = HeaderValue::try_from(value.as_str())
            .map_err(|_| format!("the header {header} has an invalid value"))?;
        map.append(header, value);
    }
    Ok(map)
}

/// Converts a response's headers: names in lower case, at most [`HEADERS`].
pub(super) fn write(headers: &HeaderMap) -> Vec<(String, String)> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().take(HEADERS).map(|(name, value)| (name.as_str().to_owned(), text(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> Result<HeaderMap, String> {
        read(&[(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn a_plugin_can_neither_set_nor_inject_a_header_of_the_host() {
        for name in
            ["Host", "content-length", "Authorization", "IDEMPOTENCY-KEY", "transfer-encoding", "upgrade"]
        {
            assert!(one(name, "x").is_err(), "{name}");
        }
        for (name, value) in
            [("x y", "z"), ("", "z"), ("x\r\ny", "z"), ("x", "a\r\nhost: evil"), ("x", "a\nb")]
        {
            assert!(one(name, value).is_err(), "{name:?}: {value:?}");
        }
        assert!(one("x", &"y".repeat(9000)).is_err());
        assert!(one("X-Source", "shop").is_ok());
    }
}

//! Headers of a plugin's request: what it may set, and nothing else.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::limits::{HEADER_BYTES, HEADERS};

/// The host's own, and those that rule the connection.
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

/// Takes a plugin's headers over; the error says which one breaks a rule.
pub(super) fn read(headers: &[(String, String)]) -> Result<HeaderMap, String> {
    if headers.len() > HEADERS {
        return Err(format!("{} headers; a request has at most {HEADERS}", headers.len()));
    }
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let header =
            HeaderName::try_from(name.as_str()).map_err(|_| format!("{name:?} is no header name"))?;
        if RESERVED.contains(&header.as_str()) {
            return Err(format!("the header {header} is the host's to set"));
        }
        if name.len() + value.len() > HEADER_BYTES {
            return Err(format!("the header {header} is longer than {HEADER_BYTES} bytes"));
        }
        let value = HeaderValue::try_from(value.as_str())
            .map_err(|_| format!("the header {header} has a value that is none"))?;
        map.append(header, value);
    }
    Ok(map)
}

/// The headers of an answer: names in lower case, a bounded number of them.
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
    fn a_plugin_sets_no_header_of_the_host_and_smuggles_none_in() {
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

//! The allow-list of a channel: hosts, ports, and whether a name may resolve to a private address.
//! `Access::hosts` documents the notation.

use std::net::IpAddr;

use reqwest::Url;

/// The addresses that an allowed host may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Public addresses only.
    Public,
    /// Any address: the host is listed as `private:`, or by this address.
    Anywhere,
}

/// A parsed allow-list.
#[derive(Debug, Clone)]
pub(super) struct Hosts(Vec<Entry>);

#[derive(Debug, Clone)]
struct Entry {
    host: Host,
    /// None: the default port of the URL's scheme.
    port: Option<u16>,
    reach: Reach,
}

#[derive(Debug, Clone)]
enum Host {
    Name(String),
    /// A suffix that begins with a dot: every name below it, not the domain itself.
    Below(String),
    Address(IpAddr),
}

/// An entry that cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "hosts: {entry:?} is not a name, *.suffix, address, [address] or private:name, optionally with :port; write it without a scheme and a path, such as \"hooks.example.com\""
)]
pub(super) struct BadEntry {
    entry: String,
}

impl Hosts {
    pub(super) fn parse(entries: &[String]) -> Result<Hosts, BadEntry> {
        let read = |entry: &String| Entry::parse(entry).ok_or_else(|| BadEntry { entry: entry.clone() });
        entries.iter().map(read).collect::<Result<_, _>>().map(Hosts)
    }

    /// Returns the reach of the URL's host and port; none if they are not listed.
    pub(super) fn permit(&self, url: &Url) -> Option<Reach> {
        let host = url.host_str()?;
        let port = url.port_or_known_default()?;
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
        let name = host.strip_suffix('.').unwrap_or(host);
        let default_port = url.port().is_none();
        let fits = |entry: &&Entry| {
            let host_fits = match (&entry.host, address) {
                (Host::Address(listed), Some(address)) => *listed == address,
                (Host::Name(listed), None) => listed == name,
                (Host::Below(suffix), None) => name.len() > suffix.len() && name.ends_with(suffix.as_str()),
                _ => false,
            };
            host_fits && entry.port.map_or(default_port, |listed| listed == port)
        };
        self.0.iter().find(fits).map(|entry| entry.reach)
    }
}

impl Entry {
    fn parse(entry: &str) -> Option<Entry> {
        let (reach, rest) = match entry.strip_prefix("private:") {
            Some(rest) => (Reach::Anywhere, rest),
            None => (Reach::Public, entry),
        };
        // `[::1]:9000` and `name:9000` have a port; `[::1]` has none.
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !rest.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (rest, None),
        };
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let address = match bracketed {
            Some(inner) => Some(IpAddr::V6(inner.parse().ok()?)),
            None => host.parse().ok().map(IpAddr::V4),
        };
        if let Some(address) = address {
            return Some(Entry { host: Host::Address(address), port, reach: Reach::Anywhere });
        }
        let host = host.to_ascii_lowercase();
        let host = match host.strip_prefix('*') {
            Some(suffix) if suffix.starts_with('.') && is_name(&suffix[1..]) => Host::Below(suffix.into()),
            None if is_name(&host) => Host::Name(host),
            _ => return None,
        };
        Some(Entry { host, port, reach })
    }
}

fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    text.split('.').all(label)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn permit(entry: &str, url: &str) -> Option<Reach> {
        Hosts::parse(&[entry.to_owned()]).unwrap().permit(&Url::parse(url).unwrap())
    }

    #[test]
    fn only_listed_hosts_are_allowed() {
        let public = Some(Reach::Public);
        for (entry, url, expected) in [
            ("api.example.com", "https://api.example.com/x", public),
            ("api.example.com", "http://API.example.com./x", public),
            ("api.example.com", "https://api.example.com:8443/", None),
            ("api.example.com:8443", "https://api.example.com:8443/", public),
            ("api.example.com:8443", "https://api.example.com/", None),
            ("api.example.com", "https://evil-api.example.com/", None),
            ("api.example.com", "https://api.example.com.evil.test/", None),
            ("*.example.com", "https://a.b.example.com/", public),
            ("*.example.com", "https://example.com/", None),
            ("*.example.com", "https://evilexample.com/", None),
            ("127.0.0.1:8080", "http://127.0.0.1:8080/", Some(Reach::Anywhere)),
            ("127.0.0.1:8080", "http://2130706433:8080/", Some(Reach::Anywhere)),
            ("127.0.0.1:8080", "http://127.0.0.1:8081/", None),
            ("[::1]:9000", "http://[::1]:9000/", Some(Reach::Anywhere)),
            ("[::1]", "http://[::1]/", Some(Reach::Anywhere)),
            ("localhost:80", "http://localhost/", public),
            ("private:hooks.internal:9000", "http://hooks.internal:9000/", Some(Reach::Anywhere)),
            ("*.example.com", "http://127.0.0.1/", None),
        ] {
            assert_eq!(permit(entry, url), expected, "{entry} {url}");
        }
        assert!(Hosts::parse(&[]).unwrap().permit(&Url::parse("https://example.com").unwrap()).is_none());
    }

    #[test]
    fn an_invalid_entry_is_refused() {
        for entry in
            ["", "*", "*.", "*example.com", "https://example.com", "a b", "a:b", "a:70000", "::1", "a/b"]
        {
            assert!(Hosts::parse(&[entry.to_owned()]).is_err(), "{entry:?}");
        }
    }
}

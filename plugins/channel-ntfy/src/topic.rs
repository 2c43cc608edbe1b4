//! Addresses: a topic of the configured server, or the URL of a topic of another one.

use pricedrop_plugin_support::host_of;

/// The longest topic that ntfy takes.
const TOPIC_CHARS_MAX: usize = 64;

/// A topic and its server.
#[derive(Debug, PartialEq)]
pub struct Topic {
    /// Without a path. `None` means the configured server.
    pub server: Option<String>,
    /// The topic's name.
    pub name: String,
}

impl Topic {
    /// Reads an address.
    ///
    /// # Errors
    /// It is neither a topic nor the URL of one; the text says what would be right.
    pub fn parse(address: &str) -> Result<Self, &'static str> {
        let address = address.trim();
        let Some((server, name)) = address.rsplit_once('/') else {
            return match is_topic(address) {
                true => Ok(Self { server: None, name: address.to_owned() }),
                false => Err("a topic has 1 to 64 letters, digits, - and _"),
            };
        };
        match server_of(server).filter(|it| it.starts_with("https://")) {
            Some(root) if is_topic(name) && !server.ends_with('/') => {
                Ok(Self { server: Some(root), name: name.to_owned() })
            }
            _ => Err("a topic's URL has the form https://host/topic"),
        }
    }
}

/// The URL of a server in its canonical form, without a slash at its end.
pub fn server_of(url: &str) -> Option<String> {
    host_of(url)?;
    let (scheme, authority) = url.split_once("://")?;
    let authority = authority.strip_suffix('/').unwrap_or(authority);
    let is_bare = !authority.contains(['/', '?', '#']);
    is_bare.then(|| format!("{scheme}://{authority}").to_ascii_lowercase())
}

fn is_topic(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=TOPIC_CHARS_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_topic_or_its_url() {
        let topic =
            |server: Option<&str>, name: &str| Topic { server: server.map(str::to_owned), name: name.into() };
        assert_eq!(Topic::parse(" Drops_7-x "), Ok(topic(None, "Drops_7-x")));
        let url = "HTTPS://Push.Example:8443/Drops";
        assert_eq!(Topic::parse(url), Ok(topic(Some("https://push.example:8443"), "Drops")));
        for wrong in [
            "",
            "a b",
            "a.b",
            "https://push.example/",
            "https://push.example",
            "https://push.example/a/b",
            "https://push.example//a",
            "https://push.example/?x/a",
            "https://u@push.example/a",
            "http://push.example/a",
            "/a",
            &"a".repeat(65),
        ] {
            assert!(Topic::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_server_has_no_path() {
        assert_eq!(server_of("https://Ntfy.sh/"), Some("https://ntfy.sh".into()));
        assert_eq!(server_of("https://ntfy.sh/x"), None);
        assert_eq!(server_of("ntfy.sh"), None);
    }
}

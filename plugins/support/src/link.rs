//! Checks which links may appear in a message.

use crate::types::{Problem, SettingSpec, Value};
use crate::{Settings, problem, spec};

/// The setting that names the hosts.
const LINK_HOSTS: &str = "link-hosts";
/// Longer ones are refused; browsers and servers give up not far above.
const LENGTH_MAX: usize = 2048;

/// The host of an absolute http or https link, none for anything else. Links
/// with a user name are refused: they show one host and lead to another.
pub fn host_of(link: &str) -> Option<&str> {
    let clean = |c: char| !c.is_whitespace() && !c.is_control() && !"\"<>\\^`{|}".contains(c);
    if link.len() > LENGTH_MAX || !link.chars().all(clean) {
        return None;
    }
    let (scheme, rest) = link.split_once(':')?;
    let rest = rest.strip_prefix("//")?;
    if !scheme.eq_ignore_ascii_case("https") && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let bracket = authority.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match authority[bracket..].find(':') {
        Some(at) => (&authority[..bracket + at], &authority[bracket + at + 1..]),
        None => (authority, ""),
    };
    let sound = !host.is_empty() && !authority.contains('@') && port.bytes().all(|b| b.is_ascii_digit());
    sound.then_some(host)
}

/// The hosts that a product's link may lead to; none named: any.
#[derive(Debug, Default)]
pub struct LinkHosts(Vec<String>);

impl LinkHosts {
    /// The setting `link-hosts`, as `describe` declares it.
    pub fn spec() -> SettingSpec {
        spec(LINK_HOSTS, "The hosts a product's link may lead to; none named: any.", Value::Words(Vec::new()))
    }

    /// Reads the setting.
    ///
    /// # Errors
    /// It names something that is not the bare name of a host.
    pub fn new(settings: &Settings) -> Result<LinkHosts, Problem> {
        let hosts = settings.words(LINK_HOSTS)?;
        match hosts.iter().find(|host| host_of(&format!("https://{host}")) != Some(host)) {
            Some(wrong) => Err(problem(LINK_HOSTS, format!("not the bare name of a host: {wrong}"))),
            None => Ok(LinkHosts(hosts)),
        }
    }

    /// Whether a link may be shown: it is one that [`host_of`] accepts, to one of these hosts.
    pub fn may_lead(&self, link: &str) -> bool {
        host_of(link).is_some_and(|host| {
            self.0.is_empty() || self.0.iter().any(|known| known.eq_ignore_ascii_case(host))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Setting;

    #[test]
    fn the_host_is_what_a_browser_would_open() {
        assert_eq!(host_of("https://shop.example/p/7?x=1"), Some("shop.example"));
        assert_eq!(host_of("HTTP://shop.example:8080"), Some("shop.example"));
        assert_eq!(host_of("http://[::1]:80/"), Some("[::1]"));
    }

    #[test]
    fn anything_but_a_plain_web_link_is_refused() {
        for link in [
            "javascript:alert(1)",
            "data://x/y",
            "//shop.example/",
            "https://",
            "https://:80/",
            "https://shop.example@evil.example/",
            "https://shop.example\\@evil.example/",
            "https://shop.example/\r\nx",
            "https://shop.example/\"><script>",
            "https://shop.example:x/",
        ] {
            assert_eq!(host_of(link), None, "{link}");
        }
    }

    fn hosts(hosts: &[&str]) -> Result<LinkHosts, Problem> {
        let value = Value::Words(hosts.iter().map(|host| (*host).to_owned()).collect());
        LinkHosts::new(&Settings::new(vec![Setting { name: LINK_HOSTS.into(), value }]))
    }

    #[test]
    fn a_link_leads_to_a_named_host_only() {
        let link_hosts = hosts(&["Shop.Example"]).unwrap_or_default();
        assert!(link_hosts.may_lead("https://shop.example/p/7"));
        assert!(!link_hosts.may_lead("https://evil.example/p/7"));
        assert!(LinkHosts::default().may_lead("https://evil.example/p/7"));
        assert!(!LinkHosts::default().may_lead("javascript:alert(1)"));
    }

    #[test]
    fn a_host_is_named_without_scheme_port_or_path() {
        for wrong in ["", "https://shop.example", "shop.example:80", "shop.example/p"] {
            assert!(hosts(&[wrong]).is_err(), "{wrong}");
        }
    }
}

//! Which links may be followed.

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

#[cfg(test)]
mod tests {
    use super::*;

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
}

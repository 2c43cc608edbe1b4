//! Escapes text for mrkdwn, the markup of Slack. Mattermost also accepts it.

/// Keeps a host name and what follows it from becoming a link.
const ZERO_WIDTH_SPACE: char = '\u{200b}';

/// Untrusted text that both products show as text: it cannot make a link, a mention,
/// an emoji or formatting. At most `chars_max` characters; a cut is marked by an ellipsis.
///
/// mrkdwn has no escape character for its markup, so those characters are replaced
/// by others of the same look.
pub fn neutral(text: &str, chars_max: usize) -> String {
    let mut neutral = String::with_capacity(text.len());
    let mut length = 0;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let shown = shown(c, chars.peek().copied());
        length += shown.chars().count();
        if length >= chars_max && (length > chars_max || chars.peek().is_some()) {
            neutral.push('…');
            return neutral;
        }
        neutral.push_str(&shown);
    }
    neutral
}

fn shown(c: char, next: Option<char>) -> String {
    match c {
        '&' => "&amp;".into(),
        '<' => "&lt;".into(),
        '>' => "&gt;".into(),
        '*' => "∗".into(),
        '_' => "＿".into(),
        '~' => "∼".into(),
        '`' => "ˋ".into(),
        '@' => "＠".into(),
        '#' => "＃".into(),
        '|' => "｜".into(),
        '[' => "［".into(),
        ']' => "］".into(),
        '\\' => "＼".into(),
        ':' if next.is_some_and(|next| !next.is_whitespace()) => "∶".into(),
        '.' if next.is_some_and(char::is_alphabetic) => format!(".{ZERO_WIDTH_SPACE}"),
        c => c.into(),
    }
}

/// A link's URL between `<` and `|`, which Slack escapes as text.
pub fn link(url: &str) -> String {
    url.replace('&', "&amp;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_text_makes_no_link_mention_or_formatting() {
        for (hostile, expected) in [
            ("<!channel> & <@U1>", "&lt;!channel&gt; &amp; &lt;＠U1&gt;"),
            ("@here *b* _i_ ~s~ `c`", "＠here ∗b∗ ＿i＿ ∼s∼ ˋcˋ"),
            ("[x](https://evil.example)", "［x］(https∶//evil.\u{200b}example)"),
            (":tada: #general", "∶tada: ＃general"),
            ("Shoes: size 4.5", "Shoes: size 4.5"),
        ] {
            assert_eq!(neutral(hostile, 99), expected);
        }
    }

    #[test]
    fn a_cut_divides_no_entity() {
        assert_eq!(neutral("abc", 3), "abc");
        assert_eq!(neutral("abcd", 3), "ab…");
        assert_eq!(neutral("<<", 7), "&lt;…");
    }
}

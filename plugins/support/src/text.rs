//! Reduces untrusted text to one line of limited length.

/// Whether a character could break a line, start a header, drive a terminal
/// or reorder the text around it.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text on one line of at most `limit` characters: unsafe characters and
/// runs of blanks become one blank, a cut is marked by an ellipsis.
pub fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    for word in text.split(|c: char| c.is_whitespace() || is_unsafe(c)).filter(|word| !word.is_empty()) {
        let blank = if line.is_empty() { None } else { Some(' ') };
        for c in blank.into_iter().chain(word.chars()) {
            if length + 1 >= limit && limit > 0 {
                line.push('…');
                return line;
            }
            line.push(c);
            length += 1;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_break_escape_or_reordering_survives() {
        assert_eq!(one_line("a\r\nBcc: b@c", 99), "a Bcc: b@c");
        assert_eq!(one_line("\u{1b}[31mred\u{202e} x\u{2028}y  z ", 99), "[31mred x y z");
    }

    #[test]
    fn a_long_text_is_cut_visibly() {
        assert_eq!(one_line("abcdef", 4), "abc…");
        assert_eq!(one_line("ab", 4), "ab");
    }
}

//! Escapes text that others wrote before it is printed: a product may have a name with an escape
//! sequence, which a terminal would execute.

/// Replaces control characters, and those that change the direction of text, by escapes such as
/// `\u{1b}`.
pub fn printable(text: &str) -> String {
    text.chars().map(|character| escaped(character, "\\u{", "}")).collect()
}

/// As [`printable`], but keeps the lines of a text.
pub fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

/// Replaces the same characters within JSON text by escapes such as `\u001b`, so that it stays JSON.
pub fn printable_json(json: &str) -> String {
    let escape = |character: char| match character {
        '\n' => character.into(),
        other => escaped(other, "\\u", ""),
    };
    json.chars().map(escape).collect()
}

fn escaped(character: char, before: &str, after: &str) -> String {
    match (character.is_control() || changes_direction(character), after.is_empty()) {
        (false, _) => character.into(),
        (true, false) => format!("{before}{:x}{after}", u32::from(character)),
        (true, true) => format!("{before}{:04x}", u32::from(character)),
    }
}

/// Whether a character changes the direction in which text is shown, so that names look like others.
fn changes_direction(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_and_other_text_is_kept() {
        for (text, expected) in [
            ("P\u{1b}[2J\u{7}", "P\\u{1b}[2J\\u{7}"),
            ("a\tb\nc\r", "a\\u{9}b\\u{a}c\\u{d}"),
            ("\u{9b}2J \u{202e}x", "\\u{9b}2J \\u{202e}x"),
            ("Größe 5\" 日本", "Größe 5\" 日本"),
        ] {
            assert_eq!(printable(text), expected);
        }
        assert_eq!(printable_lines("a\u{1b}\nb"), "a\\u{1b}\nb");
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({"productId": "P\u{1b}\u{9b}\u{202e}\n"});
        let text = printable_json(&format!("{value:#}"));
        assert!(text.contains("P\\u001b\\u009b\\u202e\\n"), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}

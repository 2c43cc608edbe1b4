//! Computes how many segments a text message needs, 3GPP TS 23.038 and 23.040.

/// The default alphabet without the escape character, each one septet.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";

/// The extension table, each two septets.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// A segment of a longer message loses room to the header that joins the segments.
const SEPTETS: Room = Room { single: 160, joined: 153 };
const UNITS: Room = Room { single: 70, joined: 67 };

struct Room {
    single: usize,
    joined: usize,
}

/// The number of segments of a text. Characters that take two septets or two UTF-16
/// units are not divided between segments.
pub fn segments(text: &str) -> usize {
    match text.chars().map(septets).collect::<Option<Vec<_>>>() {
        Some(widths) => count(&widths, &SEPTETS),
        None => count(&text.chars().map(char::len_utf16).collect::<Vec<_>>(), &UNITS),
    }
}

/// Typographic characters replaced by their GSM-7 equivalents.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{2032}' => plain.push('\''),
            '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{ab}' | '\u{bb}' => plain.push('"'),
            '\u{2010}'..='\u{2015}' | '\u{2212}' => plain.push('-'),
            '\u{2026}' => plain.push_str("..."),
            '\u{a0}' | '\u{2009}' | '\u{202f}' => plain.push(' '),
            c => plain.push(c),
        }
    }
    plain
}

fn septets(c: char) -> Option<usize> {
    if BASIC.contains(c) {
        return Some(1);
    }
    EXTENSION.contains(c).then_some(2)
}

fn count(widths: &[usize], room: &Room) -> usize {
    if widths.iter().sum::<usize>() <= room.single {
        return 1;
    }
    let (mut segments, mut used) = (1, 0);
    for width in widths {
        if used + width > room.joined {
            segments += 1;
            used = 0;
        }
        used += width;
    }
    segments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_end_where_the_standard_ends_them() {
        for (text, expected) in [
            ("a".repeat(160), 1),
            ("a".repeat(161), 2),
            ("a".repeat(306), 2),
            ("a".repeat(307), 3),
            ("€".repeat(80), 1),
            ("€".repeat(152), 2),
            ("€".repeat(153), 3),
            ("ж".repeat(70), 1),
            ("ж".repeat(71), 2),
            ("😀".repeat(35), 1),
            ("😀".repeat(67), 3),
        ] {
            assert_eq!(segments(&text), expected, "{} characters", text.chars().count());
        }
    }

    #[test]
    fn typographic_characters_do_not_cost_the_short_alphabet() {
        assert_eq!(plain("\u{201e}a\u{201c} \u{2013} b\u{2026}\u{a0}c"), "\"a\" - b... c");
    }
}

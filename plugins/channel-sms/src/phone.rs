//! Phone numbers in E.164.

/// E.164 allows 15 digits; the shortest numbers in use have 7 with the country code.
const DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// The number as `+` and digits. Blanks, dashes, dots and parentheses are removed, and a
/// leading `00` becomes `+`.
///
/// # Errors
/// It is no phone number with a country code.
pub fn normalize(address: &str) -> Result<String, String> {
    let is_separator = |c: char| c.is_whitespace() || "-.()\u{2010}\u{2011}\u{2013}".contains(c);
    let compact: String = address.chars().filter(|c| !is_separator(*c)).collect();
    let digits = compact
        .strip_prefix('+')
        .or_else(|| compact.strip_prefix("00"))
        .ok_or("the number must begin with + and the country code")?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("the number may hold digits only".into());
    }
    if digits.starts_with('0') {
        return Err("a country code does not begin with 0".into());
    }
    if !DIGITS.contains(&digits.len()) {
        return Err(format!("the number has {} digits, not 7 to 15", digits.len()));
    }
    Ok(format!("+{digits}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_written_in_one_way_only() {
        for address in ["+49 (151) 234-5678", "0049.151.234.5678", "+491512345678"] {
            assert_eq!(normalize(address), Ok("+491512345678".into()), "{address}");
        }
    }

    #[test]
    fn what_is_no_international_number_is_refused() {
        for address in ["", "0151 2345678", "+0151234567", "+49151x34567", "+123456", "+1234567890123456"] {
            assert!(normalize(address).is_err(), "{address}");
        }
    }
}

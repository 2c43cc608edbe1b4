//! Splits one line of a table into its fields.

/// Splits a line at `separator`. A field in quotes may contain the separator, and `""` for a quote;
/// it ends on its line. Blanks around fields are removed.
///
/// # Errors
/// A quote is not closed, or text follows a closing quote.
pub(super) fn fields(line: &str, separator: char) -> Result<Vec<String>, String> {
    let mut fields = Vec::new();
    let mut rest = line;
    loop {
        let (field, after) = field(rest, separator)?;
        fields.push(field);
        match after {
            None => return Ok(fields),
            Some(after) => rest = after,
        }
    }
}

/// Returns the first field, and what follows its separator.
fn field(text: &str, separator: char) -> Result<(String, Option<&str>), String> {
    let blank = |character: char| character.is_whitespace() && character != separator;
    let start = text.trim_start_matches(blank);
    let Some(quoted) = start.strip_prefix('"') else {
        let (field, after) = match text.split_once(separator) {
            Some((field, after)) => (field, Some(after)),
            None => (text, None),
        };
        return Ok((field.trim().to_owned(), after));
    };
    let (field, after) = unquoted(quoted)?;
    let after = after.trim_start_matches(blank);
    match (after.strip_prefix(separator), after.is_empty()) {
        (Some(after), _) => Ok((field, Some(after))),
        (None, true) => Ok((field, None)),
        (None, false) => Err(format!("after a closing quote comes {after:?} in place of {separator:?}")),
    }
}

/// Returns the text up to the closing quote, and what follows the quote.
fn unquoted(quoted: &str) -> Result<(String, &str), String> {
    let (mut field, mut rest) = (String::new(), quoted);
    loop {
        let (text, after) =
            rest.split_once('"').ok_or("a quote that opens on this line is not closed on it")?;
        field.push_str(text);
        match after.strip_prefix('"') {
            Some(after) => {
                field.push('"');
                rest = after;
            }
            None => return Ok((field.trim().to_owned(), after)),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn blanks_around_fields_are_removed_and_quotes_protect_separators() {
        for (line, separator, expected) in [
            ("B6 ,80, u1", ',', &["B6", "80", "u1"][..]),
            ("\"a;b\" ; \"c \"\"d\"\"\";", ';', &["a;b", "c \"d\"", ""]),
            ("a\t\tb ", '\t', &["a", "", "b"]),
            ("5\" pipe,x", ',', &["5\" pipe", "x"]),
            ("", ',', &[""]),
        ] {
            assert_eq!(fields(line, separator).unwrap(), expected, "{line:?}");
        }
    }

    #[test]
    fn quotes_that_are_wrong_are_refused() {
        assert!(fields("\"B6,80,u1", ',').unwrap_err().contains("not closed"));
        assert!(fields("\"B6\"x,80", ',').unwrap_err().contains("after a closing quote comes \"x,80\""));
    }
}

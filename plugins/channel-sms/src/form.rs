//! Writes and reads `application/x-www-form-urlencoded`.

/// The fields as one body.
pub fn encode(fields: &[(&str, &str)]) -> String {
    let field = |(name, value): &(&str, &str)| format!("{}={}", escape(name), escape(value));
    fields.iter().map(field).collect::<Vec<_>>().join("&")
}

/// The fields of a body, in order; none if an escape is damaged or the text is not UTF-8.
pub fn decode(body: &[u8]) -> Option<Vec<(String, String)>> {
    let fields = body.split(|b| *b == b'&').filter(|field| !field.is_empty());
    fields
        .map(|field| {
            let end = field.iter().position(|b| *b == b'=').unwrap_or(field.len());
            let value = field.get(end + 1..).unwrap_or_default();
            Some((unescape(&field[..end])?, unescape(value)?))
        })
        .collect()
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => escaped.push('+'),
            b'-' | b'.' | b'_' => escaped.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => escaped.push(char::from(byte)),
            byte => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

fn unescape(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(*rest.next()?)? << 4 | hex(*rest.next()?)?,
            byte => *byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let body = encode(&[("To", "+49 151"), ("Body", "ä=1&b%")]);
        assert_eq!(body, "To=%2B49+151&Body=%C3%A4%3D1%26b%25");
        let fields = decode(body.as_bytes());
        let expected = [("To", "+49 151"), ("Body", "ä=1&b%")];
        assert_eq!(fields, Some(expected.map(|(a, b)| (a.to_owned(), b.to_owned())).to_vec()));
    }

    #[test]
    fn damaged_escapes_are_refused() {
        for body in ["a=%", "a=%4", "a=%zz", "a=%ff"] {
            assert_eq!(decode(body.as_bytes()), None, "{body}");
        }
    }
}

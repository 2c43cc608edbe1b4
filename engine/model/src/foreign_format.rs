//! Recognizes values that producers encoded in another format than JSON, to say in the dead letter
//! what has to be changed.

/// Returns what a value that does not start with `{` looks like, and the remedy.
pub fn looks_like(value: &[u8]) -> Option<String> {
    let (what, remedy) = match value {
        [0, a, b, c, d, rest @ ..] => {
            let id = u32::from_be_bytes([*a, *b, *c, *d]);
            let content = if rest.first() == Some(&b'{') { "JSON" } else { "Avro, Protobuf or JSON" };
            let what = format!("a value of a schema registry's serializer (schema id {id} before {content})");
            (what, "send plain JSON, for example with a serializer of strings")
        }
        [0x1f, 0x8b, ..] => ("gzip".into(), COMPRESSED),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => ("zstd".into(), COMPRESSED),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => ("UTF-16".into(), "send UTF-8"),
        [0xef, 0xbb, 0xbf, ..] => ("text with a byte order mark".into(), "send UTF-8 without the mark"),
        [b'"', ..] => {
            ("JSON inside a JSON string".into(), "serialize the object once: the producer encodes it twice")
        }
        _ => return None,
    };
    Some(format!("it looks like {what}; {remedy}"))
}

const COMPRESSED: &str = "send plain JSON and set compression.type of the producer instead";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_names_the_format_and_the_remedy() {
        let framed = b"\0\0\0\x01\x02{\"productId\":\"P\",\"newPrice\":1}";
        assert_eq!(
            looks_like(framed).as_deref(),
            Some(
                "it looks like a value of a schema registry's serializer (schema id 258 before JSON); send plain \
                 JSON, for example with a serializer of strings"
            )
        );
        for (value, part) in [
            (b"\0\0\0\0\x07\x04P7".as_slice(), "(schema id 7 before Avro, Protobuf or JSON)"),
            (b"\x1f\x8b\x08\0", "gzip; send plain JSON and set compression.type"),
            (b"\x28\xb5\x2f\xfd", "zstd"),
            (b"\xff\xfe{\0", "UTF-16"),
            (b"\xef\xbb\xbf{}", "byte order mark"),
            (b"\"{}\"", "JSON inside a JSON string"),
        ] {
            let reason = looks_like(value);
            assert!(reason.as_ref().is_some_and(|reason| reason.contains(part)), "{value:?}: {reason:?}");
        }
        for value in [b"".as_slice(), b"[1]", b"\0\0\0\0", b"x"] {
            assert_eq!(looks_like(value), None, "{value:?}");
        }
    }
}

//! Records of a topic as lines of JSON.
//!
//! A line is a record or a gap. A gap covers offsets that hold no record because of a transaction
//! marker, an aborted transaction, or compaction. The lines of an object cover its offsets without
//! a hole, so a missing line is detected.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use pricedrop_model::archive::{ArchivedRecord, Header};
use serde::{Deserialize, Serialize};

/// One line of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// A record. A tombstone has no value.
    Record(ArchivedRecord),
    /// Offsets without records, both ends included.
    Gap {
        /// The first offset without a record.
        first: i64,
        /// The last offset without a record.
        last: i64,
    },
}

/// A line as JSON. Bytes that are not UTF-8 are written in base64, in a field whose name ends in
/// `Base64`.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Json {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gap: Option<[i64; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    /// Epoch milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timestamp: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    headers: Vec<JsonHeader>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct JsonHeader {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

impl Line {
    /// The first and the last offset of the line.
    pub fn offsets(&self) -> (i64, i64) {
        match self {
            Line::Record(record) => (record.offset, record.offset),
            Line::Gap { first, last } => (*first, *last),
        }
    }

    /// Writes the line as JSON, without a line break.
    pub fn to_json(&self) -> Vec<u8> {
        let json = match self {
            Line::Gap { first, last } => Json { gap: Some([*first, *last]), ..Json::default() },
            Line::Record(record) => {
                let (key, key_base64) = text_or_base64(record.key.as_ref());
                let (value, value_base64) = text_or_base64(record.value.as_ref());
                Json {
                    gap: None,
                    offset: Some(record.offset),
                    timestamp: Some(record.timestamp_ms),
                    key,
                    key_base64,
                    value,
                    value_base64,
                    headers: record.headers.iter().map(JsonHeader::of).collect(),
                }
            }
        };
        serde_json::to_vec(&json).expect("texts and numbers can be written as JSON")
    }

    /// Parses a line.
    ///
    /// # Errors
    /// The line is neither a record nor a gap; the text says why.
    pub fn from_json(line: &[u8]) -> Result<Line, String> {
        let json: Json = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        match (json.gap, json.offset, json.timestamp) {
            (Some([first, last]), None, None) if first <= last => Ok(Line::Gap { first, last }),
            (None, Some(offset), Some(timestamp_ms)) => Ok(Line::Record(ArchivedRecord {
                offset,
                timestamp_ms,
                key: bytes_of("key", json.key, json.key_base64)?,
                value: bytes_of("value", json.value, json.value_base64)?,
                headers: json.headers.into_iter().map(JsonHeader::read).collect::<Result<_, _>>()?,
            })),
            _ => Err("neither a record nor a gap".into()),
        }
    }
}

impl JsonHeader {
    fn of(header: &Header) -> JsonHeader {
        let (name, name_base64) = text_or_base64(Some(&header.name));
        let (value, value_base64) = text_or_base64(header.value.as_ref());
        JsonHeader { name, name_base64, value, value_base64 }
    }

    fn read(self) -> Result<Header, String> {
        let name = bytes_of("the name of a header", self.name, self.name_base64)?;
        let value = bytes_of("the value of a header", self.value, self.value_base64)?;
        Ok(Header { name: name.ok_or("a header has no name")?, value })
    }
}

fn text_or_base64(bytes: Option<&Bytes>) -> (Option<String>, Option<String>) {
    match bytes.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
        None => (None, None),
        Some((Ok(text), _)) => (Some(text.to_owned()), None),
        Some((Err(_), bytes)) => (None, Some(STANDARD.encode(bytes))),
    }
}

fn bytes_of(what: &str, text: Option<String>, base64: Option<String>) -> Result<Option<Bytes>, String> {
    match (text, base64) {
        (None, None) => Ok(None),
        (Some(text), None) => Ok(Some(Bytes::from(text))),
        (None, Some(base64)) => match STANDARD.decode(base64) {
            Ok(bytes) => Ok(Some(Bytes::from(bytes))),
            Err(error) => Err(format!("{what} is not base64: {error}")),
        },
        (Some(_), Some(_)) => Err(format!("{what} is there as text and in base64")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn record(json: &str) -> Line {
        Line::from_json(json.as_bytes()).unwrap()
    }

    #[test]
    fn a_record_is_decoded_as_it_was_encoded() {
        let line = record(
            r#"{"offset":7,"timestamp":5,"key":"P7","value":"{\"newPrice\":79.9}","headers":[{"name":"a","value":"b"},{"name":"n"}]}"#,
        );
        let Line::Record(it) = &line else { panic!("{line:?}") };
        assert_eq!(it.value.as_deref(), Some(&br#"{"newPrice":79.9}"#[..]));
        assert_eq!(it.headers[1], Header { name: "n".into(), value: None });
        assert_eq!(record(std::str::from_utf8(&line.to_json()).unwrap()), line);
    }

    #[test]
    fn a_tombstone_is_not_an_empty_value() {
        assert_ne!(
            record(r#"{"offset":1,"timestamp":1,"key":"P"}"#),
            record(r#"{"offset":1,"timestamp":1,"key":"P","value":""}"#)
        );
    }

    #[test]
    fn a_line_that_is_not_a_record_is_refused() {
        for line in [
            "",
            "{}",
            "[]",
            r#"{"gap":[5,3]}"#,
            r#"{"gap":[3,5],"offset":3}"#,
            r#"{"offset":1}"#,
            r#"{"offset":1,"timestamp":1,"keyBase64":"*"}"#,
            r#"{"offset":1,"timestamp":1,"key":"a","keyBase64":"YQ=="}"#,
            r#"{"offset":1,"timestamp":1,"other":1}"#,
        ] {
            assert!(Line::from_json(line.as_bytes()).is_err(), "{line}");
        }
    }

    fn bytes() -> impl Strategy<Value = Option<Bytes>> {
        proptest::option::of(vec(any::<u8>(), 0..40).prop_map(Bytes::from))
    }

    fn header() -> impl Strategy<Value = Header> {
        (vec(any::<u8>(), 0..8), bytes()).prop_map(|(name, value)| Header { name: name.into(), value })
    }

    proptest! {
        #[test]
        fn any_record_survives_encoding_and_decoding(
            offset in 0..i64::MAX,
            timestamp_ms in any::<i64>(),
            key in bytes(),
            value in bytes(),
            headers in vec(header(), 0..4),
        ) {
            let line = Line::Record(ArchivedRecord { offset, timestamp_ms, key, value, headers });
            let json = line.to_json();
            prop_assert!(!json.contains(&b'\n'));
            prop_assert_eq!(Line::from_json(&json), Ok(line));
        }
    }
}

//! Parses request bodies: a sequence of JSON objects, or an array of them. The content type is
//! ignored.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use pricedrop_model::dispatch::Recipient;
use pricedrop_model::entries::{self, Splitter, Step, foreign_encoding};
use pricedrop_model::{Currency, Mode, Price, ProductId, UserId, WallTime, Watch};
use serde::Deserialize;

use crate::encoding::Encoding;
use crate::problem::{Problem, Result};
use crate::state::AppState;

/// A request body within `max_body` bytes, also decoded, that arrived within `body_timeout`.
pub(crate) struct Body(pub(crate) Bytes);

impl FromRequest<AppState> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Body, Problem> {
        let most = state.options.max_body;
        let wait = state.options.body_timeout;
        let encoding = Encoding::of(request.headers())?;
        let read = axum::body::to_bytes(request.into_body(), most);
        let Ok(read) = tokio::time::timeout(wait, read).await else {
            let error = format!("the body did not arrive within {wait:?}");
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, error)
                .remedy("no entry was accepted: send the body in parts, or raise http.body_timeout"));
        };
        let body = read.map_err(|error| match is_too_long(&error) {
            true => too_long(format!("the body is longer than {most} bytes")),
            false => Problem::bad(format!("the body could not be read: {error}")),
        })?;
        match encoding {
            None => Ok(Body(body)),
            Some(encoding) => decode(encoding, body, most).await.map(Body),
        }
    }
}

/// Decodes a body outside of the threads that serve requests.
async fn decode(encoding: Encoding, body: Bytes, most: usize) -> Result<Bytes> {
    let decoded = tokio::task::spawn_blocking(move || encoding.decode(&body, most)).await;
    match decoded.expect("decoding does not panic") {
        Ok(decoded) if decoded.len() > most => {
            Err(too_long(format!("the decoded body is longer than {most} bytes")))
        }
        Ok(decoded) => Ok(decoded),
        Err(error) => Err(Problem::bad(format!("the body could not be decoded: {error}"))
            .at("Content-Encoding")
            .remedy("no entry was accepted: encode the body as the header says")),
    }
}

fn too_long(error: String) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error)
        .remedy("send the body in parts, or raise http.max_body")
}

fn is_too_long(error: &axum::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.to_string().contains("length limit exceeded") {
            return true;
        }
        source = error.source();
    }
    false
}

/// One entry of a body with its line number, from 1; in an array, its index from 1.
pub(crate) struct Entry {
    pub(crate) line: usize,
    pub(crate) bytes: Bytes,
}

/// The entries of a body.
pub(crate) struct Entries {
    pub(crate) entries: Vec<Entry>,
    /// Whether there is exactly one entry.
    pub(crate) single: bool,
}

impl Entries {
    /// Splits a body into entries, without checking what they are.
    ///
    /// # Errors
    /// 400 for an empty body, or one that is not UTF-8; 413 for more than `most` entries, because a
    /// post is taken as a whole and later ones wait for it.
    pub(crate) fn of(body: &Bytes, most: usize) -> Result<Entries> {
        if let Some(encoding) = foreign_encoding(body) {
            return Err(not_utf8(encoding));
        }
        let entries = split(body, most.saturating_add(1));
        if entries.is_empty() {
            return Err(Problem::bad("the body is empty")
                .remedy("send JSON objects, one after the other or as an array"));
        }
        if entries.len() > most {
            let error = format!("the body has more than {most} entries");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error)
                .remedy("no entry was accepted: send the body in parts, or raise http.body_entries"));
        }
        let single = entries.len() == 1;
        Ok(Entries { entries, single })
    }

    /// Parses every entry. Returns the valid ones and the errors of the others.
    pub(crate) fn read<T>(self, read: impl Fn(&[u8]) -> Result<T, String>) -> (Vec<T>, Vec<LineError>) {
        let (good, bad) = self.read_lines(read);
        (good.into_iter().map(|(_, value)| value).collect(), bad)
    }

    /// As [`read`](Entries::read), but the valid entries come with their line numbers.
    pub(crate) fn read_lines<T>(
        self,
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> (Vec<(usize, T)>, Vec<LineError>) {
        let (mut good, mut bad) = (Vec::with_capacity(self.entries.len()), Vec::new());
        for entry in self.entries {
            match read(&entry.bytes) {
                Ok(value) => good.push((entry.line, value)),
                Err(reason) => bad.push(LineError { line: entry.line, reason }),
            }
        }
        (good, bad)
    }
}

/// The error of one line of a body.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct LineError {
    pub(crate) line: usize,
    pub(crate) reason: String,
}

/// The first `most` entries.
fn split(body: &Bytes, most: usize) -> Vec<Entry> {
    let (mut splitter, mut from, mut entries) = (Splitter::default(), 0, Vec::new());
    while let Step::Entry(entry) = splitter.next(&body[from..], true) {
        let text = entry.text(&body[from..]);
        let bytes = if entry.start == entry.end { UNCLOSED } else { body.slice_ref(text) };
        entries.push((entry, bytes));
        from += entry.end;
        if entries.len() == most {
            break;
        }
    }
    let one_array = splitter.one_array() && entries.iter().all(|(entry, _)| entry.index.is_some());
    let number = |entry: &entries::Entry| entry.index.filter(|_| one_array).unwrap_or(entry.line) as usize;
    entries.into_iter().map(|(entry, bytes)| Entry { line: number(&entry), bytes }).collect()
}

/// The entry that stands for an array that is not closed.
const UNCLOSED: Bytes = Bytes::from_static(b"[");

fn not_utf8(encoding: &str) -> Problem {
    let remedy = match encoding {
        "gzip" | "zstd" => format!("send the header `Content-Encoding: {encoding}`"),
        _ => "send the body in UTF-8".into(),
    };
    Problem::bad(format!("the body is encoded in {encoding}, not in UTF-8")).at("the body").remedy(remedy)
}

/// A watch as it is written. `updatedAt` is accepted, so that a listed watch can be written again,
/// but stores set it themselves.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WatchBody {
    product_id: ProductId,
    price_watch_value: Price,
    user_id: UserId,
    #[serde(default)]
    mode: Option<String>,
    #[serde(default)]
    currency: Option<Currency>,
    #[serde(default)]
    updated_at: Option<WallTime>,
}

/// Parses a watch from JSON.
///
/// # Errors
/// Says which field is wrong, and why.
pub fn read_watch(json: &[u8]) -> Result<Watch, String> {
    let body: WatchBody = serde_json::from_slice(json).map_err(|error| without_position(&error))?;
    let mode = body.mode.map(|name| Mode::from_name(&name).ok_or_else(|| unknown_mode(&name))).transpose()?;
    Ok(Watch {
        product_id: body.product_id,
        price_watch_value: body.price_watch_value,
        user_id: body.user_id,
        mode,
        currency: body.currency,
        updated_at: body.updated_at,
    })
}

fn unknown_mode(name: &str) -> String {
    format!("mode must be every-drop, crossing or once, not {name:?}")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RecipientBody {
    user_id: UserId,
    channel: String,
    address: String,
    #[serde(default)]
    locale: Option<String>,
    #[serde(default)]
    attributes: Vec<(String, String)>,
}

/// Parses a recipient from JSON.
///
/// # Errors
/// Says which field is wrong, and why.
pub fn read_recipient(json: &[u8]) -> Result<Recipient, String> {
    let body: RecipientBody = serde_json::from_slice(json).map_err(|error| without_position(&error))?;
    let RecipientBody { user_id, channel, address, locale, attributes } = body;
    for (name, text) in [("channel", &channel), ("address", &address)] {
        if text.is_empty() || text.len() > RECIPIENT_BYTES {
            return Err(format!("{name} must have 1 to {RECIPIENT_BYTES} bytes, not {}", text.len()));
        }
    }
    Ok(Recipient { user_id, channel, address, locale, attributes })
}

/// Longest channel name or address, bytes.
const RECIPIENT_BYTES: usize = 2048;

/// The text of a serde error without its position, which is relative to the entry, not to the body.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(body: &'static str) -> (Vec<(usize, String)>, bool) {
        let entries = Entries::of(&Bytes::from_static(body.as_bytes()), 3).unwrap();
        let texts = entries.entries.iter();
        let texts = texts.map(|entry| (entry.line, String::from_utf8_lossy(&entry.bytes).into_owned()));
        (texts.collect(), entries.single)
    }

    #[test]
    fn a_body_is_an_object_an_array_or_lines() {
        assert_eq!(read("{\n \"a\": 1\n}\n"), (vec![(1, "{\n \"a\": 1\n}".into())], true));
        assert_eq!(read("[{}, 7]"), (vec![(1, "{}".into()), (2, "7".into())], false));
        let lines = vec![(1, "{}".into()), (3, "nonsense".into()), (4, "{}".into())];
        assert_eq!(read("{}\r\n\nnonsense\n{}"), (lines, false));
        assert_eq!(read("nonsense"), (vec![(1, "nonsense".into())], true));
        assert_eq!(read("{}{}"), (vec![(1, "{}".into()), (1, "{}".into())], false));
        assert_eq!(read("[{},\n{}]"), (vec![(1, "{}".into()), (2, "{}".into())], false));
        assert_eq!(read("[{}]\n\n[{}]"), (vec![(1, "{}".into()), (3, "{}".into())], false));
        assert!(Entries::of(&Bytes::from_static(b" \n "), 3).is_err());
    }

    #[test]
    fn a_body_that_is_not_utf_8_is_refused_with_the_name_of_its_encoding() {
        let utf16: Vec<u8> = "{\"a\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let problem = Entries::of(&Bytes::from(utf16), 3).err().unwrap();
        assert!(format!("{problem:?}").contains("the body is encoded in UTF-16"), "{problem:?}");
    }

    #[test]
    fn a_body_with_too_many_entries_is_refused_as_a_whole() {
        for body in ["{}\n{}\n{}\n{}", "[1,2,3,4]"] {
            assert!(Entries::of(&Bytes::from_static(body.as_bytes()), 3).is_err(), "{body}");
            assert!(Entries::of(&Bytes::from_static(body.as_bytes()), 4).is_ok(), "{body}");
        }
    }

    #[test]
    fn the_error_for_an_invalid_watch_says_what_is_wrong() {
        for (json, reason) in [
            (r#"{"productId":"P","userId":"u"}"#, "missing field `priceWatchValue`"),
            (
                r#"{"productId":"P","userId":"u","priceWatchValue":1,"moed":"once"}"#,
                "unknown field `moed`, expected one of `productId`, `priceWatchValue`, `userId`, `mode`, `currency`, `updatedAt`",
            ),
            (
                r#"{"productId":"P","userId":"u","priceWatchValue":1,"mode":"twice"}"#,
                "mode must be every-drop, crossing or once, not \"twice\"",
            ),
            (r#"{"productId":"P","userId":"u","priceWatchValue":-1}"#, "below zero"),
            (
                r#"{"productId":"","userId":"u","priceWatchValue":1}"#,
                "productId must have 1 to 256 bytes, not 0",
            ),
        ] {
            assert_eq!(read_watch(json.as_bytes()).unwrap_err(), reason, "{json}");
        }
    }
}

//! Parses request bodies: one JSON object, an array of objects, or JSON lines. The content type is
//! ignored.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use pricedrop_model::dispatch::Recipient;
use pricedrop_model::{Currency, Mode, Price, ProductId, UserId, WallTime, Watch};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::problem::{Problem, Result};
use crate::state::AppState;

/// A request body within `max_body` bytes that arrived within `body_timeout`.
pub(crate) struct Body(pub(crate) Bytes);

impl FromRequest<AppState> for Body {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &AppState) -> Result<Body, Problem> {
        let most = state.options.max_body;
        let wait = state.options.body_timeout;
        let read = axum::body::to_bytes(request.into_body(), most);
        let Ok(read) = tokio::time::timeout(wait, read).await else {
            let error = format!("the body did not arrive within {wait:?}");
            return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, error)
                .remedy("no entry was accepted: send the body in parts, or raise http.body_timeout"));
        };
        read.map(Body).map_err(|error| match is_too_long(&error) {
            true => {
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {most} bytes"))
                    .remedy("send the body in parts, or raise http.max_body")
            }
            false => Problem::bad(format!("the body could not be read: {error}")),
        })
    }
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
    /// Splits a body into entries without parsing them. A body that is not one JSON value is split
    /// into lines.
    ///
    /// # Errors
    /// 400 for an empty body; 413 for more than `most` entries, because a post is taken as a whole
    /// and later ones wait for it.
    pub(crate) fn of(body: &Bytes, most: usize) -> Result<Entries> {
        let entries = match whole_value(body) {
            Some(value) if value.starts_with('[') => array(body, value),
            Some(value) => vec![Entry { line: 1, bytes: body.slice_ref(value.as_bytes()) }],
            None => lines(body, most.saturating_add(1)),
        };
        if entries.is_empty() {
            return Err(Problem::bad("the body is empty")
                .remedy("send one JSON object, an array of objects, or one object per line"));
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

/// Returns the body's JSON value, if there is exactly one.
fn whole_value(body: &[u8]) -> Option<&str> {
    let mut values = serde_json::Deserializer::from_slice(body).into_iter::<&RawValue>();
    let first = values.next()?.ok()?;
    let rest = &body[values.byte_offset()..];
    rest.iter().all(u8::is_ascii_whitespace).then_some(first.get())
}

/// The entries of a JSON array, numbered from 1.
fn array(body: &Bytes, value: &str) -> Vec<Entry> {
    let items: Vec<&RawValue> = serde_json::from_str(value).unwrap_or_default();
    let numbered = (1..).zip(items);
    numbered.map(|(line, item)| Entry { line, bytes: body.slice_ref(item.get().as_bytes()) }).collect()
}

/// The first `most` lines that are not blank.
fn lines(body: &Bytes, most: usize) -> Vec<Entry> {
    let numbered = (1..).zip(body.split(|byte| *byte == b'\n'));
    let filled = numbered.filter(|(_, line)| !line.trim_ascii().is_empty());
    let filled = filled.take(most);
    filled.map(|(line, bytes)| Entry { line, bytes: body.slice_ref(bytes.trim_ascii()) }).collect()
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

    fn split(body: &'static str) -> (Vec<(usize, String)>, bool) {
        let entries = Entries::of(&Bytes::from_static(body.as_bytes()), 3).unwrap();
        let texts = entries.entries.iter();
        let texts = texts.map(|entry| (entry.line, String::from_utf8_lossy(&entry.bytes).into_owned()));
        (texts.collect(), entries.single)
    }

    #[test]
    fn a_body_is_an_object_an_array_or_lines() {
        assert_eq!(split("{\n \"a\": 1\n}\n"), (vec![(1, "{\n \"a\": 1\n}".into())], true));
        assert_eq!(split("[{}, 7]"), (vec![(1, "{}".into()), (2, "7".into())], false));
        let lines = vec![(1, "{}".into()), (3, "nonsense".into()), (4, "{}".into())];
        assert_eq!(split("{}\r\n\nnonsense\n{}"), (lines, false));
        assert_eq!(split("nonsense"), (vec![(1, "nonsense".into())], true));
        assert!(Entries::of(&Bytes::from_static(b" \n "), 3).is_err());
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

//! Why the archive cannot be written or read.

use object_store::path::Path;

use pricedrop_model::Cause;

use crate::name::{Range, Source};

/// Why the archive cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server is away, slow, or out of capacity: try again.
    #[error(transparent)]
    Unavailable(Cause),
    /// The server denies access.
    #[error("access to {path} is denied: {reason}")]
    Denied {
        /// The object.
        path: String,
        /// What the server answered.
        #[source]
        reason: Cause,
    },
    /// The bucket does not exist.
    #[error("the bucket that archive.url names does not exist: {0}")]
    NoBucket(#[source] Cause),
    /// The bucket is in another region.
    #[error("the bucket that archive.url names is in another region than archive.region says: {0}")]
    OtherRegion(#[source] Cause),
    /// The configuration, or what the bucket holds, does not allow it.
    #[error(transparent)]
    Refused(Cause),
    /// An object is not as it was written.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The object.
        path: String,
        /// What is wrong with it.
        #[source]
        reason: Cause,
    },
    /// The topic no longer holds records that the archive does not have.
    #[error(
        "{source_}: the records {range} are lost: the topic deleted them before they were archived. \
         `pricedrop archive accept-loss {topic} {partition}` records the gap and lets the archive continue",
        topic = source_.topic,
        partition = source_.partition
    )]
    Lost {
        /// The partition.
        source_: Source,
        /// The lost offsets.
        range: Range,
    },
    /// The topic is another one than the one that was archived.
    #[error(
        "{source_}: {reason}. The topic was created anew; archive it under another URL, and rebuild it from \
         this one with `pricedrop replay`"
    )]
    OtherTopic {
        /// The partition.
        source_: Source,
        /// How that shows.
        reason: String,
    },
    /// The topic cannot be read.
    #[error(transparent)]
    Topic(Cause),
}

impl Error {
    pub(crate) fn of(path: &Path, error: object_store::Error) -> Error {
        let path = path.to_string();
        let text = error.to_string();
        match s3_code(&text) {
            Some("NoSuchBucket") => return Error::NoBucket(Cause::quoting(s3_words(&text), error)),
            Some("AuthorizationHeaderMalformed" | "PermanentRedirect") => {
                return Error::OtherRegion(Cause::quoting(s3_words(&text), error));
            }
            _ => {}
        }
        match &error {
            object_store::Error::PermissionDenied { source, .. }
            | object_store::Error::Unauthenticated { source, .. } => {
                let text = one_line(&source.to_string());
                Error::Denied { path, reason: Cause::quoting(text, error) }
            }
            _ if text.contains(BARE_REDIRECT) => Error::OtherRegion(Cause::quoting(one_line(&text), error)),
            _ => {
                let text = format!("{path}: {}", one_line(&text));
                Error::Unavailable(Cause::quoting(text, error))
            }
        }
    }

    pub(crate) fn damaged(path: &Path, reason: impl Into<Cause>) -> Error {
        Error::Damaged { path: path.to_string(), reason: reason.into() }
    }

    /// Whether trying again later may help without anybody's doing.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::Denied { .. } | Error::Topic(_))
    }
}

/// What the library says of an answer that Amazon gives where a bucket is elsewhere.
const BARE_REDIRECT: &str = "redirect without LOCATION";

/// The code of an error of S3, by its XML.
pub(crate) fn s3_code(text: &str) -> Option<&str> {
    between(text, "<Code>", "</Code>")
}

/// Its code and message.
fn s3_words(text: &str) -> String {
    let message = between(text, "<Message>", "</Message>").unwrap_or_default();
    let message = message.replace("&#34;", "\"").replace("&quot;", "\"").replace("&#39;", "'");
    one_line(&format!("{}: {message}", s3_code(text).unwrap_or_default()))
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    Some(rest.split_once(end)?.0)
}

/// Servers answer with pages of XML.
fn one_line(text: &str) -> String {
    const MOST: usize = 400;
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(MOST).collect()
}

//! Errors of writing and reading an archive, and how S3's errors map to them.

use object_store::path::Path;

use pricedrop_model::Cause;

use crate::name::{Range, Source};

/// Why the archive cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server is unreachable, slow, or out of capacity: retry.
    #[error(transparent)]
    Unavailable(Cause),
    /// The server denies access: the operator corrects the credentials or the policy.
    #[error("access to {path} is denied: {reason}")]
    Denied {
        /// The name of the object.
        path: String,
        /// The server's response.
        #[source]
        reason: Cause,
    },
    /// The bucket does not exist.
    #[error("the bucket that archive.url names does not exist: {0}")]
    NoBucket(#[source] Cause),
    /// The bucket is in another region.
    #[error("the bucket that archive.url names is in another region than archive.region says: {0}")]
    OtherRegion(#[source] Cause),
    /// The archive cannot be used as it is configured: an operator must change the configuration or
    /// the content of the bucket.
    #[error(transparent)]
    Refused(Cause),
    /// An object or link does not have the content that was written.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// The name of the object.
        path: String,
        /// The problem.
        #[source]
        reason: Cause,
    },
    /// The topic deleted records before they were archived.
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
    /// The topic was deleted and created again: it is not the archived one.
    #[error(
        "{source_}: {reason}. The topic was created anew; archive it under another URL, and rebuild it from \
         this one with `pricedrop replay`"
    )]
    OtherTopic {
        /// The partition.
        source_: Source,
        /// The difference that shows it.
        reason: String,
    },
    /// The topic cannot be read: retry.
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

    /// Returns whether to retry soon, because the error may pass without a change to the archive or
    /// its configuration. All other errors are retried rarely.
    pub fn is_transient(&self) -> bool {
        matches!(self, Error::Unavailable(_) | Error::Denied { .. } | Error::Topic(_))
    }
}

/// Text of `object_store`'s error if the bucket is in another region and Amazon redirects.
const BARE_REDIRECT: &str = "redirect without LOCATION";

/// The error code in an XML response of S3.
pub(crate) fn s3_code(text: &str) -> Option<&str> {
    between(text, "<Code>", "</Code>")
}

/// The code and the message in an XML response of S3.
fn s3_words(text: &str) -> String {
    let message = between(text, "<Message>", "</Message>").unwrap_or_default();
    let message = message.replace("&#34;", "\"").replace("&quot;", "\"").replace("&#39;", "'");
    one_line(&format!("{}: {message}", s3_code(text).unwrap_or_default()))
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(start)?;
    Some(rest.split_once(end)?.0)
}

/// Joins a multi-line response, such as XML, into one line of at most 400 characters.
fn one_line(text: &str) -> String {
    const MOST: usize = 400;
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(MOST).collect()
}

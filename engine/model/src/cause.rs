//! The cause of an error: a complete sentence for people, and the source error for programs that
//! walk the chain of sources.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// The cause that an error of ours carries.
///
/// Invariant: its text already contains the text of its source. So code that prints a cause does
/// not print its sources.
#[derive(Clone)]
pub struct Cause {
    text: String,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Cause {
    /// Creates a cause with the text `what: source`.
    pub fn new(what: impl fmt::Display, source: impl Error + Send + Sync + 'static) -> Cause {
        Cause::quoting(format!("{what}: {source}"), source)
    }

    /// Creates a cause with the text of the source.
    pub fn of(source: impl Error + Send + Sync + 'static) -> Cause {
        Cause::quoting(source.to_string(), source)
    }

    /// Creates a cause whose `text` already contains all that a reader needs of the source.
    pub fn quoting(text: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Cause {
        Cause { text: text.into(), source: Some(Arc::new(source)) }
    }

    /// Replaces the text, and keeps the source.
    pub fn reworded(self, words: impl FnOnce(&str) -> String) -> Cause {
        Cause { text: words(&self.text), ..self }
    }

    /// Returns the complete text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the first error of this type in the chain of sources.
    pub fn find<E: Error + 'static>(&self) -> Option<&E> {
        let mut source = self.source();
        while let Some(error) = source {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            source = error.source();
        }
        None
    }
}

impl From<String> for Cause {
    fn from(text: String) -> Cause {
        Cause { text, source: None }
    }
}

impl From<&str> for Cause {
    fn from(text: &str) -> Cause {
        text.to_owned().into()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports;
    use std::io;

    fn full() -> io::Error {
        io::Error::new(io::ErrorKind::StorageFull, "no space left")
    }

    #[test]
    fn a_cause_keeps_the_complete_text_and_the_source() {
        assert_eq!(Cause::new("prices", full()).to_string(), "prices: no space left");
        assert_eq!(Cause::of(full()).to_string(), "no space left");
        assert_eq!(Cause::quoting("no space left for prices", full()).as_str(), "no space left for prices");
        let error = ports::Error::Unavailable(Cause::new("prices", full()));
        assert_eq!(error.to_string(), "prices: no space left");
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.map(io::Error::kind), Some(io::ErrorKind::StorageFull));
    }

    #[test]
    fn a_cause_of_text_alone_has_no_source() {
        let cause = Cause::from("partitions moved");
        assert!(cause.source().is_none() && cause.find::<io::Error>().is_none());
        assert_eq!(format!("{cause} {cause:?}"), "partitions moved \"partitions moved\"");
    }

    #[test]
    fn an_underlying_error_is_found_through_wrapping_causes() {
        let inner = Cause::new("prices", full());
        let cause = Cause::new("the store", inner).reworded(|text| format!("{text}; free the disk"));
        assert_eq!(cause.as_str(), "the store: prices: no space left; free the disk");
        assert!(cause.find::<io::Error>().is_some());
    }
}

//! Keys whose value is one of a few words: each is an enumeration whose variants have names in the file.

use std::ops::RangeInclusive;

use pricedrop_cassandra as cassandra;
use pricedrop_embedded::ArchivedTopic;
use pricedrop_kafka as kafka;
use pricedrop_model::notification::Format;
use pricedrop_model::{FirstPrice, Mode};
use serde_json::{Value, json};

use super::field::Kind;
use super::raw::Raw;
use super::setting::Setting;

/// An enumeration whose variants are written as words.
pub trait Choice: Copy + 'static {
    /// Every variant.
    const ALL: &'static [Self];

    /// Returns the word of this variant.
    fn word(self) -> &'static str;

    /// Returns the variant with this word.
    fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|value| value.word() == word)
    }
}

fn words<T: Choice>() -> Vec<&'static str> {
    T::ALL.iter().map(|value| value.word()).collect()
}

fn in_quotes<T: Choice>() -> String {
    let quoted: Vec<String> = words::<T>().iter().map(|word| format!("\"{word}\"")).collect();
    quoted.join(", ")
}

impl<T: Choice> Setting for Vec<T> {
    type Bound = ();

    fn read(raw: &Raw, _: &RangeInclusive<()>) -> Option<Self> {
        raw.texts()?.into_iter().map(T::of).collect()
    }

    fn kind(_: &RangeInclusive<()>) -> Kind {
        Kind {
            label: "list of words",
            expected: format!("a list of any of {}", in_quotes::<T>()),
            schema: json!({"type": "array", "items": {"enum": words::<T>()}}),
        }
    }

    fn write(&self) -> Option<Value> {
        Some(self.iter().map(|value| value.word()).collect())
    }
}

/// Implements [`Choice`] and [`Setting`] for an existing enumeration.
macro_rules! choice {
    ($type:ty { $($word:literal: $value:ident),+ }) => {
        impl Choice for $type {
            const ALL: &'static [$type] = &[$(<$type>::$value),+];

            fn word(self) -> &'static str {
                match self {
                    $(<$type>::$value => $word),+
                }
            }
        }

        impl Setting for $type {
            type Bound = ();

            fn read(raw: &Raw, _: &RangeInclusive<()>) -> Option<Self> {
                Choice::of(raw.text()?)
            }

            fn kind(_: &RangeInclusive<()>) -> Kind {
                Kind {
                    label: "word",
                    expected: format!("one of {}", in_quotes::<$type>()),
                    schema: json!({"enum": words::<$type>()}),
                }
            }

            fn write(&self) -> Option<Value> {
                Some(self.word().into())
            }
        }
    };
}

/// Defines an enumeration in this module, and its words.
macro_rules! choices {
    ($($(#[doc = $doc:literal])+ $type:ident { $($word:literal: $value:ident),+ })+) => {$(
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[allow(missing_docs, reason = "the words of the file, which the key explains")]
        pub enum $type { $($value),+ }

        choice!($type { $($word: $value),+ });
    )+};
}

choice!(Mode { "every-drop": EveryDrop, "crossing": Crossing, "once": Once });
choice!(FirstPrice { "notify": Notify, "baseline": Baseline });
choice!(kafka::Start { "latest": Latest, "earliest": Earliest });
choice!(kafka::Delivery { "exactly-once": ExactlyOnce, "at-least-once": AtLeastOnce });
choice!(ArchivedTopic { "updates": Updates, "notifications": Notifications, "dlq": DeadLetters });
choice!(Format { "full": Full, "lean": Lean });
choice!(cassandra::Consistency { "local-quorum": LocalQuorum, "quorum": Quorum, "all": All });

choices! {
    /// `log.format`.
    LogFormat { "text": Text, "json": Json }
    /// `stores.log`.
    LogStore { "embedded": Embedded, "kafka": Kafka }
    /// `stores.watches`.
    WatchStore { "embedded": Embedded, "cassandra": Cassandra }
    /// `stores.leases`.
    LeaseStore { "embedded": Embedded, "redis": Redis }
    /// `stores.cache`.
    WatchCache { "none": None, "redis": Redis }
}

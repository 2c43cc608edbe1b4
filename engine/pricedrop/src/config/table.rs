//! The macro that defines a table of the configuration.

/// Defines a table: a struct with one typed field per key, its defaults, and
/// `description()`, from which the reader, the example, the reference and the JSON
/// Schema are made.
///
/// ```text
/// table! {
///     /// What the table is about.
///     dispatch: Dispatch {
///         /// What the key does, in full sentences.
///         max_attempts: u32 = 15, in 1..=1_000, was "attempts";
///         //            type  default  range      former name
///     }
/// }
/// ```
///
/// Without a default a key has the default of its type: an `Option` is not set, a list is
/// empty. Numbers, durations and sizes need a range.
macro_rules! table {
    (
        $(#[doc = $about:literal])+
        $table:ident: $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $key:ident: $type:ty $(= $default:expr)? $(, in $range:expr)? $(, was $was:literal)?;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $key: $type,)+
        }

        impl Default for $name {
            fn default() -> $name {
                $name { $($key: table!(@or Default::default(); $($default)?),)+ }
            }
        }

        impl $name {
            /// The table and its keys as data.
            pub(in $crate::config) fn description() -> $crate::config::field::Table<$name> {
                use $crate::config::{field, setting::Setting, table};
                let default = $name::default();
                field::Table {
                    name: stringify!($table),
                    doc: table::paragraph(&[$($about),+]),
                    fields: vec![$(field::Field {
                        table: stringify!($table),
                        key: stringify!($key),
                        name: concat!(stringify!($table), ".", stringify!($key)),
                        was: table!(@or None; $(Some($was))?),
                        doc: table::paragraph(&[$($doc),+]),
                        kind: <$type as Setting>::kind(&table!(@or ()..=(); $($range)?)),
                        default: default.$key.write(),
                        set: Box::new(|table: &mut $name, raw| {
                            let value = Setting::read(raw, &table!(@or ()..=(); $($range)?));
                            value.map(|value| table.$key = value).is_some()
                        }),
                    }),+],
                }
            }
        }
    };
    (@or $absent:expr;) => { $absent };
    (@or $absent:expr; $present:expr) => { $present };
}

pub(super) use table;

/// Joins the lines of a doc comment into one paragraph.
pub(super) fn paragraph(lines: &[&str]) -> String {
    let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    lines.join(" ")
}

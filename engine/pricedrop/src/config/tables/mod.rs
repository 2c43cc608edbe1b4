//! The tables of the configuration: every key, its type and range, its default, what it
//! does. The one place where configurable limits get their defaults; a test holds them
//! equal to those of the crates that use them.

mod delivery;
mod engine;
mod servers;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::LazyLock;

use super::{field, kafka};

pub use delivery::{Archive, Dispatch, Limits, Log};
pub use engine::{Bucketing, Data, Http, Plugins, Rules};
pub use servers::{Cassandra, Redis, Stores, Stream, Topics};

/// Defines [`Config`] and the list of its tables, in the order of the reference.
macro_rules! config {
    ($($table:ident: $name:ident),+) => {
        /// The configuration: every key with its value from the environment, else from
        /// the file, else its default.
        #[derive(Debug, Clone, Default, PartialEq)]
        pub struct Config {
            $(#[doc = concat!("`[", stringify!($table), "]`.")] pub $table: $name,)+
            /// `[kafka]`, as it was written.
            pub(super) kafka: kafka::Properties,
            /// The keys that were written, at whatever value.
            pub(super) written: BTreeSet<&'static str>,
            /// Where it was read from.
            pub(super) file: Option<PathBuf>,
        }

        static TABLES: LazyLock<Vec<Table>> =
            LazyLock::new(|| {
                vec![
                    $($name::description().within(|config: &mut Config| &mut config.$table),)+
                    kafka::description(),
                ]
            });
    };
}

config! {
    rules: Rules,
    plugins: Plugins,
    bucketing: Bucketing,
    http: Http,
    data: Data,
    dispatch: Dispatch,
    archive: Archive,
    log: Log,
    limits: Limits,
    stores: Stores,
    stream: Stream,
    topics: Topics,
    cassandra: Cassandra,
    redis: Redis
}

/// A table of the configuration.
pub type Table = field::Table<Config>;
/// A key of the configuration.
pub type Field = field::Field<Config>;

/// Every table, in the order of the reference.
pub fn tables() -> &'static [Table] {
    &TABLES
}

/// Every key of every table.
pub fn fields() -> impl Iterator<Item = &'static Field> + Clone {
    TABLES.iter().flat_map(|table| &table.fields)
}

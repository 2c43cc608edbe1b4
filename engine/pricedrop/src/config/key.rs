//! The macro that names a key of the configuration.

/// Returns the name of a key, `table.key`. A key that does not exist does not compile.
macro_rules! key {
    ($table:ident.$key:ident) => {{
        const _: fn(&$crate::config::Config) = |config| {
            let _ = &config.$table.$key;
        };
        concat!(stringify!($table), ".", stringify!($key))
    }};
}

pub(crate) use key;

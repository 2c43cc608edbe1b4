//! Names with their values, lent to the wire.

/// In order; a name may stand there twice.
pub(super) type Pairs<'a> = Vec<(&'a str, &'a str)>;

/// Lends a list.
pub(super) fn pairs(list: &[(String, String)]) -> Pairs<'_> {
    list.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

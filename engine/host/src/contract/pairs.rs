//! Lists of names and values, borrowed for a call.

/// Names and values in order. A name may occur more than once.
pub(super) type Pairs<'a> = Vec<(&'a str, &'a str)>;

/// Borrows a list.
pub(super) fn pairs(list: &[(String, String)]) -> Pairs<'_> {
    list.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

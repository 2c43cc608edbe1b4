//! Lists of names and values, borrowed for a call.

/// Names and values in order. A name may occur more than once.
pub(super) type NameValues<'a> = Vec<(&'a str, &'a str)>;

/// Borrows a list.
pub(super) fn borrow(list: &[(String, String)]) -> NameValues<'_> {
    list.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

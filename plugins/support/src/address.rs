//! Checks addresses of any kind: not empty, no control characters.

/// The address without blanks around it.
///
/// # Errors
/// It is empty, or holds control characters.
pub fn plain_address(address: &str) -> Result<String, String> {
    let address = address.trim();
    if address.is_empty() {
        return Err("the address is empty".into());
    }
    match address.chars().any(char::is_control) {
        true => Err("the address holds control characters".into()),
        false => Ok(address.to_owned()),
    }
}

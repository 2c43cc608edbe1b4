//! Chooses the sender by the country code of the recipient's number.

use pricedrop_plugin_support::problem;
use pricedrop_plugin_support::types::Problem;

/// The configured senders.
pub struct Senders(Vec<(String, String)>);

impl Senders {
    /// Reads entries such as `+49=Shop` and `*=MG0123`.
    ///
    /// # Errors
    /// An entry that is not of this form.
    pub fn new(entries: &[String]) -> Result<Senders, Problem> {
        entries.iter().map(|entry| parse(entry)).collect::<Result<Vec<_>, _>>().map(Senders)
    }

    /// The sender with the longest prefix of this number.
    pub fn choose(&self, number: &str) -> Option<&str> {
        let matching = self.0.iter().filter(|(prefix, _)| number.starts_with(prefix.as_str()));
        matching.max_by_key(|(prefix, _)| prefix.len()).map(|(_, sender)| sender.as_str())
    }
}

/// The prefix, empty for any number, and the sender.
fn parse(entry: &str) -> Result<(String, String), Problem> {
    let wrong = || problem("senders", format!("must be like +49=Shop or *=MG0123: {entry}"));
    let (prefix, sender) = entry.split_once('=').ok_or_else(wrong)?;
    let (prefix, sender) = (prefix.trim(), sender.trim());
    let digits = prefix.strip_prefix('+').unwrap_or_default();
    let is_code = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if sender.is_empty() || sender.chars().any(char::is_control) || !(is_code || prefix == "*") {
        return Err(wrong());
    }
    Ok((prefix.trim_matches('*').to_owned(), sender.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn senders(entries: &[&str]) -> Result<Senders, Problem> {
        Senders::new(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_longest_prefix_wins() {
        let senders = senders(&["*=MG1", "+4=A", "+49=B"]).ok().unwrap();
        for (number, sender) in [("+49151", "B"), ("+43151", "A"), ("+1555", "MG1")] {
            assert_eq!(senders.choose(number), Some(sender), "{number}");
        }
    }

    #[test]
    fn a_sender_needs_a_prefix() {
        for wrong in [&["Shop"][..], &["49=Shop"], &["+=Shop"], &["+49="]] {
            assert!(senders(wrong).is_err(), "{wrong:?}");
        }
    }
}

//! `[kafka]`: properties that are passed to librdkafka unchanged. Properties that the commit
//! depends on are refused. Secrets are read from a file or an environment variable.

use std::collections::BTreeMap;

use pricedrop_kafka::RESERVED;
use pricedrop_model::dispatch::Secret;
use toml::de::DeValue;

use super::field::Table;
use super::raw::Raw;

/// The table whose keys are properties of librdkafka.
pub const PASSED_THROUGH: &str = "kafka";

/// Returns the description of the table for the reference.
pub fn description<S>() -> Table<S> {
    let doc = "How the engine connects to Kafka: any property of librdkafka, quoted or dotted. Properties that the \
        commit depends on are refused, each with the reason. A secret is never written here: \
        \"sasl.password_file\" or \"sasl.password_env\" names the file or variable that holds it, and so for every \
        property that is a secret. An environment variable spells a property with underscores: \
        PRICEDROP_KAFKA__BOOTSTRAP_SERVERS.";
    Table { name: PASSED_THROUGH, doc: doc.into(), fields: Vec::new() }
}

/// The value of a property.
#[derive(Clone, PartialEq, Eq)]
pub enum Property {
    /// The value itself.
    Plain(String),
    /// A reference to the file or variable that holds the secret.
    Secret(Secret),
    /// The value of a secret, from an environment variable of this property.
    Told(String),
}

/// Shows where a secret is, not its value.
impl std::fmt::Debug for Property {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Property::Plain(text) => write!(f, "{text:?}"),
            Property::Secret(secret) => write!(f, "{secret:?}"),
            Property::Told(_) => f.write_str("(secret)"),
        }
    }
}

/// Properties by name.
pub type Properties = BTreeMap<String, Property>;

/// Properties that are secrets.
const SECRETS: [&str; 10] = [
    "sasl.password",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "ssl_key",
];

/// Collects every property of the table with the location of its value. Nested
/// properties get dotted names.
pub fn flattened<'a>(
    prefix: &str,
    table: &'a toml::de::DeTable<'_>,
    found: &mut Vec<(String, &'a toml::Spanned<DeValue<'a>>)>,
) {
    for (key, value) in table {
        let name =
            if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
        match value.get_ref() {
            DeValue::Table(inner) => flattened(&name, inner, found),
            _ => found.push((name, value)),
        }
    }
}

/// Returns the text of the file with the values of secrets replaced by stars.
pub fn redacted(text: &str, root: Option<&toml::de::DeTable<'_>>) -> String {
    let mut shown = text.as_bytes().to_vec();
    let mut star = |range: std::ops::Range<usize>| {
        shown[range].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b'*')
    };
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if let Some(equals) = line.find('=').filter(|equals| is_secret_key(&line[..*equals])) {
            let end = line.trim_end().len().max(equals + 1);
            let blank = line[equals + 1..end].len() - line[equals + 1..end].trim_start().len();
            star(start + equals + 1 + blank..start + end);
        }
        start += line.len();
    }
    let mut found = Vec::new();
    let table = root.and_then(|root| root.get(PASSED_THROUGH));
    if let Some(DeValue::Table(table)) = table.map(|table| table.get_ref()) {
        flattened("", table, &mut found);
    }
    let secrets = found.into_iter().filter(|(name, _)| SECRETS.contains(&name.as_str()));
    secrets.for_each(|(_, value)| star(value.span()));
    String::from_utf8_lossy(&shown).into_owned()
}

/// Decides by the name alone, so that it also works for a file that is not valid TOML.
fn is_secret_key(key: &str) -> bool {
    let key = key.trim().trim_matches(['"', '\'']);
    let words = ["password", "secret", "passphrase", "pem", "key"];
    words.iter().any(|word| key.rsplit(['.', '_']).next() == Some(word))
}

/// Reads one property from the file.
///
/// # Errors
/// The property is invalid: a message, and a remedy.
pub fn from_file(name: &str, raw: &Raw) -> Result<(String, Property), (String, String)> {
    if SECRETS.contains(&name) {
        let message = format!("[kafka] \"{name}\" is a secret, and secrets are not allowed in this file");
        let remedy =
            format!("write \"{name}_file\" = \"/run/secrets/...\" or \"{name}_env\" = \"VARIABLE\" instead");
        return Err((message, remedy));
    }
    check_reserved(name)?;
    let text = match raw {
        Raw::Text(text) | Raw::Number(text) | Raw::Variable(text) => text.clone(),
        Raw::Flag(flag) => flag.to_string(),
        Raw::List(_) | Raw::Other(_) => {
            let message =
                format!("[kafka] \"{name}\" must be a text, a number, true or false, not {}", raw.describe());
            return Err((message, "librdkafka takes lists as one text with commas".into()));
        }
    };
    Ok(match secret(name, &text) {
        Some((property, secret)) => (property, Property::Secret(secret)),
        None => (name.to_owned(), Property::Plain(text)),
    })
}

/// Reads one property from a variable; `key` is the part after `PRICEDROP_KAFKA__`.
///
/// # Errors
/// The property is invalid: a message, and a remedy.
pub fn from_variable(key: &str, value: String) -> Result<(String, Property), (String, String)> {
    let named = |property: &str| property.replace('.', "_") == key;
    if let Some(property) = SECRETS.iter().find(|property| named(property)) {
        return Ok(((*property).to_owned(), Property::Told(value)));
    }
    for property in SECRETS {
        for suffix in ["_file", "_env"] {
            let spelled = format!("{property}{suffix}");
            if named(&spelled) {
                return from_file(&spelled, &Raw::Variable(value));
            }
        }
    }
    from_file(&key.replace('_', "."), &Raw::Variable(value))
}

fn secret(name: &str, text: &str) -> Option<(String, Secret)> {
    let (property, secret) = match (name.strip_suffix("_file"), name.strip_suffix("_env")) {
        (Some(property), _) => (property, Secret::File(text.into())),
        (None, Some(property)) => (property, Secret::Env(text.to_owned())),
        (None, None) => return None,
    };
    SECRETS.contains(&property).then(|| (property.to_owned(), secret))
}

fn check_reserved(name: &str) -> Result<(), (String, String)> {
    let owned = RESERVED.iter().find(|(owned, _)| *owned == name).map(|(_, reason)| *reason);
    let callback = name.ends_with("_cb").then_some("its value is a function, which a file cannot contain");
    match owned.or(callback) {
        Some(reason) => {
            let message = format!("[kafka] \"{name}\" cannot be set");
            Err((message, format!("{reason}; remove it")))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_redacted_wherever_it_is_written() {
        let text = "[kafka]\n\"sasl.password\" = \"hunter2\"\nssl.key.pem = \"\"\"\npike\nperch\"\"\"\nsasl.username = \"u\"\n";
        let root = toml::de::DeTable::parse(text).unwrap();
        let shown = redacted(text, Some(root.get_ref()));
        assert_eq!(shown.len(), text.len());
        assert!(!shown.contains("hunter2") && !shown.contains("pike") && !shown.contains("perch"), "{shown}");
        assert!(shown.contains("sasl.username = \"u\""), "{shown}");
        assert!(!redacted("[kafka]\nsasl.password = hunter2\n", None).contains("hunter2"));
    }

    #[test]
    fn a_variable_spells_a_property_with_underscores() {
        let told = |key: &str| from_variable(key, "x".into()).unwrap();
        assert_eq!(told("bootstrap_servers"), ("bootstrap.servers".into(), Property::Plain("x".into())));
        let file = Property::Secret(Secret::File("x".into()));
        assert_eq!(told("sasl_password_file"), ("sasl.password".into(), file));
        let (name, secret) = told("sasl_password");
        assert_eq!((name.as_str(), format!("{secret:?}").as_str()), ("sasl.password", "(secret)"));
        assert!(from_variable("transactional_id", "x".into()).is_err());
    }
}

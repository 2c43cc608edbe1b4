//! The settings of a plugin: checks the values in the sidecar against what `describe` declares. The
//! type of a setting's default is the type of the setting; values are not converted.

use std::collections::BTreeSet;

use pricedrop_model::Price;
use toml::Value as Toml;

use crate::contract::bindings::types::{
    About, Price as WirePrice, Setting, SettingSpec, ValueParam, ValueResult as Value,
};
use crate::digest::Digest;
use crate::error::nearest;
use crate::limits::{SETTINGS, STATEMENT_BYTES};

/// Every declared setting with its value, in the order of the declaration.
#[derive(Debug, Clone)]
pub(crate) struct Settings(Vec<(String, Value)>);

impl Settings {
    /// Returns the sidecar's values, and the defaults of the others.
    ///
    /// # Errors
    /// All problems, as text.
    pub(crate) fn read(
        about: &About,
        table: &toml::Table,
        is_credential: impl Fn(&str) -> bool,
    ) -> Result<Settings, Vec<String>> {
        let mut problems: Vec<String> = unknown_names(about, table).collect();
        let mut values = Vec::with_capacity(about.settings.len());
        for spec in &about.settings {
            match read_one(spec, table.get(&spec.name), &is_credential) {
                Ok(value) => values.push((spec.name.clone(), value)),
                Err(problem) => problems.push(format!("setting {}: {problem}", spec.name)),
            }
        }
        if problems.is_empty() { Ok(Settings(values)) } else { Err(problems) }
    }

    /// Calls a function with the settings in the form that `configure` takes.
    pub(crate) fn lend<R>(&self, call: impl FnOnce(&[Setting<'_>]) -> R) -> R {
        let words: Vec<Vec<&str>> = self.0.iter().map(|(_, value)| words_of(value)).collect();
        let borrowed: Vec<Setting<'_>> = self
            .0
            .iter()
            .zip(&words)
            .map(|((name, value), words)| Setting { name, value: lend_value(value, words) })
            .collect();
        call(&borrowed)
    }

    /// Returns the first ten hexadecimal characters of the settings' hash.
    pub(crate) fn digest(&self) -> String {
        let text: Vec<String> =
            self.0.iter().map(|(name, value)| format!("{name}={}", show(value))).collect();
        let parts: Vec<&[u8]> = text.iter().map(String::as_bytes).collect();
        Digest::of(&parts).short()[..10].to_owned()
    }

    /// Returns the decimal settings. A policy is likely to cut at their multiples, so the load
    /// check asks about those.
    pub(crate) fn decimals(&self) -> impl Iterator<Item = Price> {
        self.0.iter().filter_map(|(_, value)| match value {
            Value::Decimal(price) => Price::new(price.units, price.scale.into()).ok(),
            _ => None,
        })
    }
}

fn unknown_names(about: &About, table: &toml::Table) -> impl Iterator<Item = String> {
    let known: Vec<&str> = about.settings.iter().map(|spec| spec.name.as_str()).collect();
    table.keys().filter(move |name| !known.contains(&name.as_str())).map(move |name| {
        let known: Vec<&str> = about.settings.iter().map(|spec| spec.name.as_str()).collect();
        match nearest(name, known.iter().copied()) {
            Some(near) => format!("setting {name} is unknown; did you mean {near}?"),
            None if known.is_empty() => format!("setting {name} is unknown: this plugin has no settings"),
            None => format!("setting {name} is unknown; this plugin has {}", known.join(", ")),
        }
    })
}

fn read_one(
    spec: &SettingSpec,
    given: Option<&Toml>,
    is_credential: impl Fn(&str) -> bool,
) -> Result<Value, String> {
    let Some(given) = given else {
        return match spec.required {
            true => Err(format!("is required; {}", spec.summary)),
            false => Ok(spec.default.clone()),
        };
    };
    let wrong = |kind: &str| format!("must be {kind}, not {}", given.type_str());
    Ok(match (&spec.default, given) {
        (Value::Text(_), Toml::String(text)) => Value::Text(text.clone()),
        (Value::Text(_), _) => return Err(wrong("a text")),
        (Value::Number(_), Toml::Integer(number)) => Value::Number(*number),
        (Value::Number(_), _) => return Err(wrong("a whole number")),
        (Value::Decimal(_), given) => Value::Decimal(read_decimal(given)?),
        (Value::Flag(_), Toml::Boolean(flag)) => Value::Flag(*flag),
        (Value::Flag(_), _) => return Err(wrong("true or false")),
        (Value::Millis(_), given) => Value::Millis(read_millis(given)?),
        (Value::Words(_), Toml::Array(words)) => Value::Words(read_words(words)?),
        (Value::Words(_), _) => return Err(wrong("a list of texts")),
        (Value::Credential(_), Toml::String(name)) if name.is_empty() || is_credential(name) => {
            Value::Credential(name.clone())
        }
        (Value::Credential(_), Toml::String(name)) => {
            return Err(format!("names the credential \"{name}\", which is not in [credentials]"));
        }
        (Value::Credential(_), _) => return Err(wrong("the name of a credential")),
    })
}

/// Reads an exact decimal. A float, such as `0.1` without quotes, is refused.
fn read_decimal(given: &Toml) -> Result<WirePrice, String> {
    let price = match given {
        Toml::String(text) => {
            Price::parse(text).map_err(|error| format!("\"{text}\" is no decimal: {error}"))?
        }
        Toml::Integer(number) => {
            Price::new(*number, 0).map_err(|error| format!("{number} is no decimal: {error}"))?
        }
        Toml::Float(float) => return Err(format!("write exact decimals in quotes: \"{float}\"")),
        other => return Err(format!("must be a decimal in quotes, not {}", other.type_str())),
    };
    Ok(WirePrice { units: price.units(), scale: price.scale() })
}

fn read_millis(given: &Toml) -> Result<u64, String> {
    const SHAPE: &str = "must be a duration such as \"500ms\", \"5s\" or \"24h\"";
    match given {
        Toml::String(text) => humantime::parse_duration(text)
            .ok()
            .and_then(|duration| u64::try_from(duration.as_millis()).ok())
            .ok_or_else(|| format!("{SHAPE}, not \"{text}\"")),
        other => Err(format!("{SHAPE}, in quotes, not {}", other.type_str())),
    }
}

fn read_words(words: &[Toml]) -> Result<Vec<String>, String> {
    let text = |word: &Toml| word.as_str().map(str::to_owned).ok_or("must be a list of texts only");
    words.iter().map(|word| text(word).map_err(Into::into)).collect()
}

fn words_of(value: &Value) -> Vec<&str> {
    match value {
        Value::Words(words) => words.iter().map(String::as_str).collect(),
        _ => Vec::new(),
    }
}

fn lend_value<'a>(value: &'a Value, words: &'a [&'a str]) -> ValueParam<'a> {
    match value {
        Value::Text(text) => ValueParam::Text(text),
        Value::Number(number) => ValueParam::Number(*number),
        Value::Decimal(price) => ValueParam::Decimal(*price),
        Value::Flag(flag) => ValueParam::Flag(*flag),
        Value::Millis(millis) => ValueParam::Millis(*millis),
        Value::Words(_) => ValueParam::Words(words),
        Value::Credential(name) => ValueParam::Credential(name),
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("text {text}"),
        Value::Number(number) => format!("number {number}"),
        Value::Decimal(price) => format!("decimal {}e-{}", price.units, price.scale),
        Value::Flag(flag) => format!("flag {flag}"),
        Value::Millis(millis) => format!("millis {millis}"),
        Value::Words(words) => format!("words {words:?}"),
        Value::Credential(name) => format!("credential {name}"),
    }
}

/// Checks the id, the version and the settings that `describe` returned.
///
/// # Errors
/// The text says which value is invalid, and what is valid.
pub(crate) fn check_about(about: &About) -> Result<(), String> {
    if !is_name(&about.id) {
        return Err(format!("id \"{}\" must be 1 to 64 of a-z, 0-9 and -", truncate(&about.id)));
    }
    if !is_version(&about.version) {
        return Err(format!(
            "version \"{}\" must be a semantic version such as 0.1.0",
            truncate(&about.version)
        ));
    }
    if about.settings.len() > SETTINGS {
        return Err(format!("{} settings; at most {SETTINGS}", about.settings.len()));
    }
    let mut names = BTreeSet::new();
    for spec in &about.settings {
        if !is_name(&spec.name) || !names.insert(&spec.name) {
            return Err(format!(
                "setting name \"{}\" must be unique, 1 to 64 of a-z, 0-9 and -",
                truncate(&spec.name)
            ));
        }
        if spec.summary.len() > STATEMENT_BYTES {
            return Err(format!("setting {}: summary longer than {STATEMENT_BYTES} bytes", spec.name));
        }
    }
    Ok(())
}

/// Checks the kind of address that a channel's `describe` returned.
///
/// # Errors
/// The text says which value is invalid, and what is valid.
pub(crate) fn check_address_kind(kind: Option<&str>) -> Result<(), String> {
    match kind.filter(|kind| !is_name(kind)) {
        Some(kind) => Err(format!("address-kind \"{}\" must be 1 to 64 of a-z, 0-9 and -", truncate(kind))),
        None => Ok(()),
    }
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_version(version: &str) -> bool {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<&str> = core.split('.').collect();
    version.len() <= 64
        && version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-+".contains(&byte))
        && numbers.len() == 3
        && numbers.iter().all(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Makes a plugin's text safe to log: replaces control characters by spaces, and truncates to a
/// quarter of [`STATEMENT_BYTES`] characters, which is at most that many bytes, and "…".
pub(crate) fn truncate(text: &str) -> String {
    let clean = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    let short: String = clean.take(STATEMENT_BYTES / 4).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}

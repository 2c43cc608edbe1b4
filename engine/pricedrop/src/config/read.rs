//! Reads the file and the environment over the defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pricedrop_model::{Currency, Hysteresis};
use toml::de::DeValue;

use super::field::{Field, Value};
use super::fields::fields;
use super::kafka::Properties;
use super::problem::{Problem, Refused};
use super::reader::{Reader, raw};

/// Names the file where `--config` does not.
pub const CONFIG_VARIABLE: &str = "PRICEDROP_CONFIG";

/// Every field with its value: from the environment, else the file, else the
/// default.
#[derive(Debug, Clone)]
pub struct Config {
    values: BTreeMap<&'static str, Value>,
    /// Those that were written, at whatever value.
    written: BTreeSet<&'static str>,
    kafka: Properties,
    file: Option<PathBuf>,
}

impl Config {
    /// Reads the file, if any, and this process's environment.
    ///
    /// # Errors
    /// Every problem found, with its place and remedy.
    pub fn load(file: Option<&Path>) -> Result<Config, Refused> {
        let variables = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        });
        let Some(path) = file else {
            return Config::read(None, variables);
        };
        match std::fs::read_to_string(path) {
            Ok(text) => Config::read(Some((path, &text)), variables),
            Err(error) => Err(Refused { problems: vec![unreadable(path, &error)] }),
        }
    }

    /// Reads these texts.
    ///
    /// # Errors
    /// Every problem found, with its place and remedy.
    pub fn read(
        file: Option<(&Path, &str)>,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Config, Refused> {
        let mut reader = Reader::over(defaults());
        if let Some((path, text)) = file {
            reader.file(path, text);
            reader.problems.sort_by_key(|problem| problem.span.map(|span| span.offset()));
        }
        for (name, value) in variables {
            reader.variable(&name, value);
        }
        let config = Config {
            values: reader.values,
            written: reader.written,
            kafka: reader.kafka,
            file: file.map(|(path, _)| path.to_owned()),
        };
        reader.problems.extend(config.contradictions());
        match reader.problems.is_empty() {
            true => Ok(config),
            false => Err(Refused { problems: reader.problems }),
        }
    }

    /// The file it came from.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What a field of the table of fields holds; none where it is not set.
    pub fn get(&self, name: &str) -> Option<&Value> {
        debug_assert!(fields().any(|field| field.name == name), "{name} is no field");
        self.values.get(name)
    }

    /// Whether somebody wrote this field, be it at its default.
    pub fn is_written(&self, name: &str) -> bool {
        self.written.contains(name)
    }

    /// Whether a field of this table is other than it is by default.
    pub(super) fn changes(&self, table: &str) -> bool {
        let defaults = defaults();
        let mut fields = fields().filter(|field| field.table() == table);
        fields.any(|field| self.values.get(field.name) != defaults.get(field.name))
    }

    /// `[kafka]`, as it was written.
    pub(super) fn properties(&self) -> &Properties {
        &self.kafka
    }

    /// A text, a path, a word, an address.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A number, a span in milliseconds, a size in bytes. The field has a
    /// default.
    pub fn number(&self, name: &str) -> u64 {
        match self.get(name) {
            Some(Value::Number(number)) => *number,
            _ => unreachable!("{name} is a number with a default; a test reads every field"),
        }
    }

    /// True or false. The field has a default.
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.get(name), Some(Value::Flag(true)))
    }

    /// A list of texts.
    pub fn texts(&self, name: &str) -> &[String] {
        match self.get(name) {
            Some(Value::Texts(texts)) => texts,
            _ => &[],
        }
    }

    /// A hysteresis.
    pub fn share(&self, name: &str) -> Hysteresis {
        match self.get(name) {
            Some(Value::Share(share)) => *share,
            _ => Hysteresis::NONE,
        }
    }

    /// A currency.
    pub fn currency(&self, name: &str) -> Currency {
        match self.get(name) {
            Some(Value::Currency(currency)) => *currency,
            _ => Currency::USD,
        }
    }
}

fn defaults() -> BTreeMap<&'static str, Value> {
    let set = fields().filter_map(|field| Some((field, field.default?)));
    set.map(|(field, text)| (field.name, default_value(field, text))).collect()
}

/// Defaults are written as in a file and read the same way.
fn default_value(field: &Field, text: &str) -> Value {
    let raw = DeValue::parse(text).map(|value| raw(value.get_ref()));
    let raw = raw.expect("a test reads the default of every field");
    field.read(&raw).expect("a test reads the default of every field")
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::anywhere(
        format!("{} cannot be read: {error}", path.display()),
        Some("name an existing file with --config; `pricedrop config example` prints one".into()),
    )
}

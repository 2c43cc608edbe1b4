//! Reads the file and the environment over the defaults.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use miette::NamedSource;
use pricedrop_model::{Currency, Hysteresis};
use toml::de::{DeTable, DeValue};

use super::field::{Field, Raw, Value};
use super::fields::{FIELDS, TABLES};
use super::problem::{Problem, Refused, nearest};

/// Names the file where `--config` does not.
pub const CONFIG_VARIABLE: &str = "PRICEDROP_CONFIG";

/// Every field with its value: from the environment, else the file, else the
/// default.
#[derive(Debug, Clone)]
pub struct Config {
    values: BTreeMap<&'static str, Value>,
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
        let mut reader = Reader { values: defaults(), problems: Vec::new() };
        if let Some((path, text)) = file {
            reader.file(path, text);
            reader.problems.sort_by_key(|problem| problem.span.map(|span| span.offset()));
        }
        for (name, value) in variables {
            reader.variable(&name, value);
        }
        let config = Config { values: reader.values, file: file.map(|(path, _)| path.to_owned()) };
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
        debug_assert!(FIELDS.iter().any(|field| field.name == name), "{name} is no field");
        self.values.get(name)
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

    /// Fields that are right one by one and wrong together.
    fn contradictions(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let (base, max) = ("dispatch.backoff_first", "dispatch.backoff_longest");
        if self.number(base) > self.number(max) {
            problems.push(Problem::anywhere(
                format!("{base} is longer than {max}"),
                Some(format!("make {max} at least as long as {base}")),
            ));
        }
        if self.get("http.token_file").is_some() && self.get("http.token_env").is_some() {
            problems.push(Problem::anywhere(
                "http.token_file and http.token_env are both set".into(),
                Some("name one of them".into()),
            ));
        }
        problems
    }
}

fn defaults() -> BTreeMap<&'static str, Value> {
    let set = FIELDS.iter().filter_map(|field| Some((field, field.default?)));
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

/// A value with its type and without its place.
fn raw(value: &DeValue<'_>) -> Raw {
    match value {
        DeValue::String(text) => Raw::Text(text.to_string()),
        DeValue::Integer(number) => Raw::Number(number.to_string()),
        DeValue::Float(number) => Raw::Number(number.to_string()),
        DeValue::Boolean(flag) => Raw::Flag(*flag),
        DeValue::Array(items) => Raw::List(items.iter().map(|item| raw(item.get_ref())).collect()),
        DeValue::Datetime(_) => Raw::Other("a date"),
        DeValue::Table(_) => Raw::Other("a table"),
    }
}

struct Reader {
    values: BTreeMap<&'static str, Value>,
    problems: Vec<Problem>,
}

impl Reader {
    fn file(&mut self, path: &Path, text: &str) {
        let name = path.display().to_string();
        let at = |message: String, span: Range<usize>, label, help| Problem {
            message,
            text: Some(NamedSource::new(&name, text.to_owned()).with_language("TOML")),
            span: Some(span.into()),
            label,
            help,
        };
        let root = match DeTable::parse(text) {
            Ok(root) => root,
            Err(error) => {
                let message = format!("not TOML: {}", error.message().trim_end());
                let help = Some("`pricedrop config example` prints a complete file".into());
                return self.problems.push(at(message, error.span().unwrap_or(0..0), "here", help));
            }
        };
        for (table, value) in root.get_ref() {
            let DeValue::Table(entries) = value.get_ref() else {
                let (message, help) = not_a_table(table.get_ref());
                self.problems.push(at(message, table.span(), "not a table", help));
                continue;
            };
            if !TABLES.iter().any(|(known, _)| known == table.get_ref()) {
                let (message, help) = unknown_table(table.get_ref());
                self.problems.push(at(message, table.span(), "unknown", help));
                continue;
            }
            for (key, value) in entries {
                let Some(field) = find(table.get_ref(), key.get_ref()) else {
                    let (message, help) = unknown_key(table.get_ref(), key.get_ref());
                    self.problems.push(at(message, key.span(), "unknown", help));
                    continue;
                };
                match field.read(&raw(value.get_ref())) {
                    Ok(value) => drop(self.values.insert(field.name, value)),
                    Err(what) => {
                        let help = Some(first_sentence(field.doc));
                        self.problems.push(at(format!("{} {what}", field.name), value.span(), "here", help));
                    }
                }
            }
        }
    }

    /// Variables of other spellings (`PRICEDROP_URL`) are not the file's.
    fn variable(&mut self, name: &str, value: String) {
        let Some((table, key)) = name.strip_prefix("PRICEDROP_").and_then(|rest| rest.split_once("__"))
        else {
            return;
        };
        let (table, key) = (table.to_lowercase(), key.to_lowercase());
        let Some(field) = find(&table, &key) else {
            let all: Vec<String> = FIELDS.iter().map(Field::variable).collect();
            let help = nearest(name, all.iter().map(String::as_str))
                .map(|near| format!("did you mean {near}? Unset it otherwise"));
            let message = format!("the environment variable {name} names no field");
            return self.problems.push(Problem::anywhere(message, help));
        };
        match field.read(&Raw::Variable(value)) {
            Ok(value) => drop(self.values.insert(field.name, value)),
            Err(what) => self.problems.push(Problem::anywhere(
                format!("the environment variable {name} {what}"),
                Some(first_sentence(field.doc)),
            )),
        }
    }
}

fn find(table: &str, key: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.table() == table && field.key() == key)
}

fn not_a_table(name: &str) -> (String, Option<String>) {
    let home = FIELDS.iter().find(|field| field.key() == name);
    let help = home.map(|field| format!("it belongs under [{}]", field.table()));
    (format!("\"{name}\" stands outside every table"), help)
}

fn unknown_table(name: &str) -> (String, Option<String>) {
    let near = nearest(name, TABLES.iter().map(|(known, _)| *known));
    let known: Vec<String> = TABLES.iter().map(|(known, _)| format!("[{known}]")).collect();
    let help = near.map_or_else(
        || format!("the tables are {}", known.join(", ")),
        |near| format!("did you mean [{near}]?"),
    );
    (format!("there is no table [{name}]"), Some(help))
}

/// The nearest key of the same table, or the table where this key lives.
fn unknown_key(table: &str, key: &str) -> (String, Option<String>) {
    let elsewhere = FIELDS.iter().find(|field| field.key() == key);
    let here = FIELDS.iter().filter(|field| field.table() == table).map(Field::key);
    let help = match (elsewhere, nearest(key, here.clone())) {
        (Some(field), _) => format!("it belongs under [{}]", field.table()),
        (None, Some(near)) => format!("did you mean \"{near}\"?"),
        (None, None) => format!("[{table}] has {}", here.collect::<Vec<_>>().join(", ")),
    };
    (format!("[{table}] has no key \"{key}\""), Some(help))
}

fn first_sentence(doc: &str) -> String {
    doc.split_inclusive(". ").next().unwrap_or(doc).trim().to_owned()
}

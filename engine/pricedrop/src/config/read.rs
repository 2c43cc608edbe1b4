//! Reads the file and the environment over the defaults, and reports every problem with
//! its location and remedy.

use std::ops::Range;
use std::path::Path;

use miette::NamedSource;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::kafka::{self, PASSED_THROUGH};
use super::problem::{Problem, Refused, nearest};
use super::raw::Raw;
use super::tables::{Config, Field, Table, fields, tables};

/// The variable that names the file if `--config` does not.
pub const CONFIG_VARIABLE: &str = "PRICEDROP_CONFIG";

impl Config {
    /// Reads the file, if any, and the environment of this process.
    ///
    /// # Errors
    /// Every problem found, with its location and remedy.
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

    /// Reads the text of a file, if any, and the given variables.
    ///
    /// # Errors
    /// Every problem found, with its location and remedy.
    pub fn read(
        file: Option<(&Path, &str)>,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Config, Refused> {
        let mut reader = Reader { config: Config::default(), problems: Vec::new() };
        if let Some((path, text)) = file {
            reader.config.file = Some(path.to_owned());
            reader.file(path, text);
            reader.problems.sort_by_key(|problem| problem.span.map(|span| span.offset()));
        }
        for (name, value) in variables {
            reader.variable(&name, value);
        }
        reader.problems.extend(reader.config.contradictions());
        match reader.problems.is_empty() {
            true => Ok(reader.config),
            false => Err(Refused { problems: reader.problems }),
        }
    }

    /// Returns the path of the file that was read.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Returns whether this key was set, even if to its default.
    pub fn is_written(&self, key: &str) -> bool {
        self.written.contains(key)
    }
}

/// The configuration read so far, and the problems found.
struct Reader {
    config: Config,
    problems: Vec<Problem>,
}

/// The file as problems show it.
struct Source {
    name: String,
    /// The text, with secrets replaced by stars.
    shown: String,
}

impl Source {
    fn at(&self, span: Range<usize>, label: &'static str, message: String, help: Option<String>) -> Problem {
        let text = NamedSource::new(&self.name, self.shown.clone()).with_language("TOML");
        Problem { message, text: Some(text), span: Some(span.into()), label, help }
    }
}

impl Reader {
    fn file(&mut self, path: &Path, text: &str) {
        let parsed = DeTable::parse(text);
        let shown = kafka::redacted(text, parsed.as_ref().ok().map(|root| root.get_ref()));
        let source = Source { name: path.display().to_string(), shown };
        match parsed {
            Ok(root) => root.get_ref().iter().for_each(|(name, value)| self.entry(&source, name, value)),
            Err(error) => {
                let message = format!("not TOML: {}", error.message().trim_end());
                let help = "`pricedrop config example` prints a complete file".into();
                self.problems.push(source.at(error.span().unwrap_or(0..0), "here", message, Some(help)));
            }
        }
    }

    /// Reads one entry of the root: a table, or a mistake.
    fn entry(&mut self, source: &Source, name: &Spanned<DeString<'_>>, value: &Spanned<DeValue<'_>>) {
        let DeValue::Table(entries) = value.get_ref() else {
            let (message, help) = not_a_table(name.get_ref());
            return self.problems.push(source.at(name.span(), "not a table", message, help));
        };
        match tables().iter().find(|table| table.name == name.get_ref()) {
            Some(table) if table.name == PASSED_THROUGH => self.passed_through(source, entries),
            Some(table) => self.table(source, table, entries),
            None => {
                let (message, help) = unknown_table(name.get_ref());
                self.problems.push(source.at(name.span(), "unknown", message, help));
            }
        }
    }

    fn table(&mut self, source: &Source, table: &'static Table, entries: &DeTable<'_>) {
        for (key, value) in entries {
            let Some(field) = table.fields.iter().find(|field| field.key == key.get_ref()) else {
                let (message, help) = unknown_key(table, key.get_ref());
                self.problems.push(source.at(key.span(), "unknown", message, help));
                continue;
            };
            if let Err(what) = self.set(field, &value.get_ref().into()) {
                let (message, help) = (format!("{} {what}", field.name), field.summary().to_owned());
                self.problems.push(source.at(value.span(), "here", message, Some(help)));
            }
        }
    }

    /// Stores a value. If the value is invalid, returns the end of an error sentence that
    /// begins with the name of the key or variable.
    fn set(&mut self, field: &'static Field, raw: &Raw) -> Result<(), String> {
        if !(field.set)(&mut self.config, raw) {
            return Err(format!("must be {}, not {}", field.kind.expected, raw.describe()));
        }
        self.config.written.insert(field.name);
        Ok(())
    }

    /// Reads `[kafka]`.
    fn passed_through(&mut self, source: &Source, entries: &DeTable<'_>) {
        let mut found = Vec::new();
        kafka::flattened("", entries, &mut found);
        for (name, value) in found {
            match kafka::from_file(&name, &value.get_ref().into()) {
                Ok((name, property)) => drop(self.config.kafka.insert(name, property)),
                Err((message, remedy)) => {
                    self.problems.push(source.at(value.span(), "here", message, Some(remedy)));
                }
            }
        }
    }

    /// Reads one variable. Variables without a double underscore (`PRICEDROP_URL`) set no key.
    fn variable(&mut self, name: &str, value: String) {
        let Some((table, key)) = name.strip_prefix("PRICEDROP_").and_then(|rest| rest.split_once("__"))
        else {
            return;
        };
        let (table, key) = (table.to_lowercase(), key.to_lowercase());
        let problem = if table == PASSED_THROUGH {
            match kafka::from_variable(&key, value) {
                Ok((name, property)) => return drop(self.config.kafka.insert(name, property)),
                Err((message, remedy)) => (format!(": {message}"), Some(remedy)),
            }
        } else if let Some(field) = fields().find(|field| field.table == table && field.key == key) {
            match self.set(field, &Raw::Variable(value)) {
                Ok(()) => return,
                Err(what) => (format!(" {what}"), Some(field.summary().to_owned())),
            }
        } else {
            (" matches no key".into(), nearest_variable(name, &table, &key))
        };
        let message = format!("the environment variable {name}{}", problem.0);
        self.problems.push(Problem::anywhere(message, problem.1));
    }
}

fn not_a_table(name: &str) -> (String, Option<String>) {
    let home = fields().find(|field| field.key == name);
    let help = home.map(|field| format!("it belongs under [{}]", field.table));
    (format!("\"{name}\" is outside of every table"), help)
}

fn unknown_table(name: &str) -> (String, Option<String>) {
    let near = nearest(name, tables().iter().map(|table| table.name));
    let known: Vec<String> = tables().iter().map(|table| format!("[{}]", table.name)).collect();
    let help = near.map_or_else(
        || format!("the tables are {}", known.join(", ")),
        |near| format!("did you mean [{near}]?"),
    );
    (format!("there is no table [{name}]"), Some(help))
}

/// Suggests the new name of the key, the table it belongs to, or the nearest key of this table.
fn unknown_key(table: &Table, key: &str) -> (String, Option<String>) {
    let renamed = table.fields.iter().find(|field| field.was == Some(key));
    let elsewhere = fields().find(|field| field.key == key);
    let here = table.fields.iter().map(|field| field.key);
    let help = match (renamed, elsewhere, nearest(key, here.clone())) {
        (Some(field), ..) => format!("it is now called \"{}\"", field.key),
        (_, Some(field), _) => format!("it belongs under [{}]", field.table),
        (_, _, Some(near)) => format!("did you mean \"{near}\"?"),
        (None, None, None) => format!("[{}] has {}", table.name, here.collect::<Vec<_>>().join(", ")),
    };
    (format!("[{}] has no key \"{key}\"", table.name), Some(help))
}

fn nearest_variable(name: &str, table: &str, key: &str) -> Option<String> {
    if let Some(field) = fields().find(|field| field.table == table && field.was == Some(key)) {
        return Some(format!("it is now called {}", field.variable()));
    }
    let all: Vec<String> = fields().map(Field::variable).collect();
    let near = nearest(name, all.iter().map(String::as_str))?;
    Some(format!("did you mean {near}? Otherwise unset it"))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Problem {
    Problem::anywhere(
        format!("{} cannot be read: {error}", path.display()),
        Some("name an existing file with --config; `pricedrop config example` prints one".into()),
    )
}

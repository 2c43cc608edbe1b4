//! Takes the file and the environment apart, and lists everything wrong with
//! them, with its place and remedy.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use miette::NamedSource;
use toml::de::{DeTable, DeValue};

use super::field::{Field, Raw, Value};
use super::fields::{PASSED_THROUGH, TABLES, fields};
use super::kafka::{self, Properties};
use super::problem::{Problem, nearest};

/// A problem at a place of the file.
type At<'a> = dyn Fn(String, Range<usize>, &'static str, Option<String>) -> Problem + 'a;

/// A value with its type and without its place.
pub(super) fn raw(value: &DeValue<'_>) -> Raw {
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

/// What was read so far, and what was wrong with it.
pub(super) struct Reader {
    pub(super) values: BTreeMap<&'static str, Value>,
    pub(super) written: BTreeSet<&'static str>,
    pub(super) kafka: Properties,
    pub(super) problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn over(defaults: BTreeMap<&'static str, Value>) -> Reader {
        Reader { values: defaults, written: BTreeSet::new(), kafka: Properties::new(), problems: Vec::new() }
    }

    fn set(&mut self, field: &'static Field, value: Value) {
        self.written.insert(field.name);
        self.values.insert(field.name, value);
    }

    pub(super) fn file(&mut self, path: &Path, text: &str) {
        let parsed = DeTable::parse(text);
        let shown = kafka::starred(text, parsed.as_ref().ok().map(|root| root.get_ref()));
        let name = path.display().to_string();
        let at = |message: String, span: Range<usize>, label: &'static str, help| Problem {
            message,
            text: Some(NamedSource::new(&name, shown.clone()).with_language("TOML")),
            span: Some(span.into()),
            label,
            help,
        };
        let root = match parsed {
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
            if table.get_ref() == PASSED_THROUGH {
                self.passed_through(entries, &at);
                continue;
            }
            for (key, value) in entries {
                let Some(field) = find(table.get_ref(), key.get_ref()) else {
                    let (message, help) = unknown_key(table.get_ref(), key.get_ref());
                    self.problems.push(at(message, key.span(), "unknown", help));
                    continue;
                };
                match field.read(&raw(value.get_ref())) {
                    Ok(value) => self.set(field, value),
                    Err(what) => {
                        let help = Some(first_sentence(field.doc));
                        self.problems.push(at(format!("{} {what}", field.name), value.span(), "here", help));
                    }
                }
            }
        }
    }

    /// `[kafka]`.
    fn passed_through(&mut self, entries: &DeTable<'_>, at: &At<'_>) {
        let mut found = Vec::new();
        kafka::flattened("", entries, &mut found);
        for (name, value) in found {
            match kafka::from_file(&name, &raw(value.get_ref())) {
                Ok((name, property)) => drop(self.kafka.insert(name, property)),
                Err((message, remedy)) => self.problems.push(at(message, value.span(), "here", Some(remedy))),
            }
        }
    }

    /// Variables of other spellings (`PRICEDROP_URL`) are not the file's.
    pub(super) fn variable(&mut self, name: &str, value: String) {
        let Some((table, key)) = name.strip_prefix("PRICEDROP_").and_then(|rest| rest.split_once("__"))
        else {
            return;
        };
        let (table, key) = (table.to_lowercase(), key.to_lowercase());
        if table == PASSED_THROUGH {
            match kafka::from_variable(&key, value) {
                Ok((name, property)) => drop(self.kafka.insert(name, property)),
                Err((message, remedy)) => {
                    let message = format!("the environment variable {name}: {message}");
                    self.problems.push(Problem::anywhere(message, Some(remedy)));
                }
            }
            return;
        }
        let Some(field) = find(&table, &key) else {
            let all: Vec<String> = fields().map(Field::variable).collect();
            let help = nearest(name, all.iter().map(String::as_str))
                .map(|near| format!("did you mean {near}? Unset it otherwise"));
            let message = format!("the environment variable {name} names no field");
            return self.problems.push(Problem::anywhere(message, help));
        };
        match field.read(&Raw::Variable(value)) {
            Ok(value) => self.set(field, value),
            Err(what) => self.problems.push(Problem::anywhere(
                format!("the environment variable {name} {what}"),
                Some(first_sentence(field.doc)),
            )),
        }
    }
}

fn find(table: &str, key: &str) -> Option<&'static Field> {
    fields().find(|field| field.table() == table && field.key() == key)
}

fn not_a_table(name: &str) -> (String, Option<String>) {
    let home = fields().find(|field| field.key() == name);
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
    let elsewhere = fields().find(|field| field.key() == key);
    let here = fields().filter(|field| field.table() == table).map(Field::key);
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

//! The description of one key: what the reader, the example, the reference and the
//! JSON Schema know about it. The tables in [`super::tables`] produce these.

use serde_json::Value;

use super::Config;
use super::raw::Raw;

/// One table of the file.
pub struct Table {
    /// Its name, without brackets.
    pub name: &'static str,
    /// What it is about, in full sentences.
    pub doc: String,
    /// Its keys, in the order of the reference.
    pub fields: Vec<Field>,
}

/// One key of one table.
pub struct Field {
    /// The table it belongs to.
    pub table: &'static str,
    /// Its name within the table.
    pub key: &'static str,
    /// `table.key`.
    pub name: &'static str,
    /// The name it had before it was renamed. It is not accepted, only explained.
    pub was: Option<&'static str>,
    /// What it does, in full sentences.
    pub doc: String,
    /// What a value must be.
    pub kind: Kind,
    /// Its default; none: not set.
    pub default: Option<Value>,
    /// Stores a value in the configuration; false: it has the wrong type or is out of range.
    pub(super) set: fn(&mut Config, &Raw) -> bool,
}

/// What a value must be, in three languages.
pub struct Kind {
    /// Its type in one or two words, for the reference.
    pub label: &'static str,
    /// The end of the sentence "it must be …", with the range.
    pub expected: String,
    /// The same as a JSON Schema.
    pub schema: Value,
}

impl Field {
    /// The environment variable that overrides it.
    pub fn variable(&self) -> String {
        format!("PRICEDROP_{}__{}", self.table.to_uppercase(), self.key.to_uppercase())
    }

    /// The first sentence of its documentation, as the remedy of a wrong value.
    pub fn summary(&self) -> &str {
        self.doc.split_inclusive(". ").next().unwrap_or(&self.doc).trim()
    }

    /// Its default as a TOML value.
    pub fn default_as_toml(&self) -> Option<String> {
        self.default.as_ref().map(as_toml)
    }
}

/// JSON scalars are TOML already; lists are written on one line.
fn as_toml(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(as_toml).collect();
            format!("[{}]", items.join(", "))
        }
        scalar => scalar.to_string(),
    }
}

//! The description of one configuration key, from which the reader, the example, the
//! reference and the JSON Schema are derived. The tables in [`super::tables`] produce it.

use serde_json::Value;

use super::raw::Raw;

/// One table of the file, whose values are stored in an `S`.
pub struct Table<S> {
    /// Its name, without brackets.
    pub name: &'static str,
    /// What it is about, in full sentences.
    pub doc: String,
    /// Its keys, in the order of the reference.
    pub fields: Vec<Field<S>>,
}

/// One key of one table.
pub struct Field<S> {
    /// The table it belongs to.
    pub table: &'static str,
    /// Its name within the table.
    pub key: &'static str,
    /// `table.key`.
    pub name: &'static str,
    /// Its former name, if it was renamed. The former name is refused, and the error names the new one.
    pub was: Option<&'static str>,
    /// What it does, in full sentences.
    pub doc: String,
    /// Which values are valid.
    pub kind: Kind,
    /// Its default; `None`: not set.
    pub default: Option<Value>,
    /// Stores a value.
    pub(super) set: Set<S>,
}

/// Stores a value in an `S`. Returns false if the value has the wrong type or is out of range.
pub(super) type Set<S> = Box<dyn Fn(&mut S, &Raw) -> bool + Send + Sync>;

/// Which values are valid: for the reference, for errors and for the JSON Schema.
pub struct Kind {
    /// Its type in one or two words, for the reference.
    pub label: &'static str,
    /// The end of the sentence "it must be …", with the range.
    pub expected: String,
    /// The same as a JSON Schema.
    pub schema: Value,
}

impl<S: 'static> Table<S> {
    /// Returns this table as a part of a larger struct, which stores its values.
    pub(super) fn within<Whole: 'static>(self, part: fn(&mut Whole) -> &mut S) -> Table<Whole> {
        let fields = self.fields.into_iter().map(|field| field.within(part)).collect();
        Table { name: self.name, doc: self.doc, fields }
    }
}

impl<S: 'static> Field<S> {
    fn within<Whole: 'static>(self, part: fn(&mut Whole) -> &mut S) -> Field<Whole> {
        let Field { table, key, name, was, doc, kind, default, set } = self;
        let set: Set<Whole> = Box::new(move |whole, raw| set(part(whole), raw));
        Field { table, key, name, was, doc, kind, default, set }
    }

    /// Returns the name of the environment variable that overrides it.
    pub fn variable(&self) -> String {
        format!("PRICEDROP_{}__{}", self.table.to_uppercase(), self.key.to_uppercase())
    }

    /// Returns the first sentence of its documentation, which is the remedy for a wrong value.
    pub fn summary(&self) -> &str {
        self.doc.split_inclusive(". ").next().unwrap_or(&self.doc).trim()
    }

    /// Returns its default as a TOML value.
    pub fn default_as_toml(&self) -> Option<String> {
        self.default.as_ref().map(as_toml)
    }
}

/// Converts to TOML. JSON scalars are valid TOML; lists are written on one line.
fn as_toml(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(as_toml).collect();
            format!("[{}]", items.join(", "))
        }
        scalar => scalar.to_string(),
    }
}

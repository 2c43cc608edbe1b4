//! An untyped value: from the file with the type that TOML gave it, from the environment as text.

use toml::de::DeValue;

/// A value as the operator wrote it.
#[derive(Debug, Clone)]
pub enum Raw {
    /// A quoted text.
    Text(String),
    /// A number, as written.
    Number(String),
    /// True or false.
    Flag(bool),
    /// A list.
    List(Vec<Raw>),
    /// A value that is valid for no key; holds the name of its TOML type.
    Other(&'static str),
    /// The text of an environment variable.
    Variable(String),
}

impl From<&DeValue<'_>> for Raw {
    fn from(value: &DeValue<'_>) -> Raw {
        match value {
            DeValue::String(text) => Raw::Text(text.to_string()),
            DeValue::Integer(number) => Raw::Number(number.to_string()),
            DeValue::Float(number) => Raw::Number(number.to_string()),
            DeValue::Boolean(flag) => Raw::Flag(*flag),
            DeValue::Array(items) => Raw::List(items.iter().map(|item| item.get_ref().into()).collect()),
            DeValue::Datetime(_) => Raw::Other("a date"),
            DeValue::Table(_) => Raw::Other("a table"),
        }
    }
}

impl Raw {
    /// Describes the value for an error message.
    pub fn describe(&self) -> String {
        match self {
            Raw::Number(number) => format!("the number {number}"),
            Raw::List(_) => format!("the list {}", self.quoted()),
            _ => self.quoted(),
        }
    }

    fn quoted(&self) -> String {
        match self {
            Raw::Text(text) | Raw::Variable(text) => format!("\"{text}\""),
            Raw::Number(number) => number.clone(),
            Raw::Flag(flag) => flag.to_string(),
            Raw::List(items) => {
                let items: Vec<String> = items.iter().map(Raw::quoted).collect();
                format!("[{}]", items.join(", "))
            }
            Raw::Other(name) => (*name).into(),
        }
    }

    /// Returns a text that is not empty.
    pub fn text(&self) -> Option<&str> {
        match self {
            Raw::Text(text) | Raw::Variable(text) => Some(text.as_str()).filter(|text| !text.is_empty()),
            _ => None,
        }
    }

    /// Returns digits, quoted or not.
    pub fn digits(&self) -> Option<&str> {
        match self {
            Raw::Number(number) => Some(number),
            _ => self.text(),
        }
    }

    /// Returns a boolean.
    pub fn flag(&self) -> Option<bool> {
        match self {
            Raw::Flag(flag) => Some(*flag),
            Raw::Variable(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// Returns a whole number; the underscores that TOML allows are accepted.
    pub fn whole(&self) -> Option<u64> {
        match self {
            Raw::Number(digits) | Raw::Variable(digits) => digits.replace('_', "").parse().ok(),
            _ => None,
        }
    }

    /// Returns a list of texts; a variable holds them separated by commas.
    pub fn texts(&self) -> Option<Vec<&str>> {
        match self {
            Raw::List(items) => items.iter().map(Raw::text).collect(),
            Raw::Variable(text) => {
                Some(text.split(',').map(str::trim).filter(|word| !word.is_empty()).collect())
            }
            _ => None,
        }
    }
}

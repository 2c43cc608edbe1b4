//! Reads settings by name and type.

use crate::types::{Price, Problem, Setting, SettingSpec, Value};

/// A setting that the sidecar may leave out.
pub fn spec(name: &str, summary: &str, default: Value) -> SettingSpec {
    SettingSpec { name: name.into(), summary: summary.into(), default, required: false }
}

/// A problem with one setting.
pub fn problem(name: &str, message: impl Into<String>) -> Problem {
    Problem { name: name.into(), message: message.into() }
}

/// For a channel without templates.
///
/// # Errors
/// There are some, by their parts.
pub fn no_templates<'a>(parts: impl IntoIterator<Item = &'a str>) -> Result<(), Vec<Problem>> {
    let unused = |part| problem(&format!("template {part}"), "this channel has no templates; remove it");
    let problems: Vec<Problem> = parts.into_iter().map(unused).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

/// What `configure` receives. A setting that is missing or of another type is
/// a problem too: the host promises it cannot happen, a test harness may not.
pub struct Settings(Vec<Setting>);

impl Settings {
    /// Takes the settings as they came.
    pub fn new(settings: Vec<Setting>) -> Self {
        Self(settings)
    }

    fn get<T>(&self, name: &str, kind: &str, read: impl Fn(&Value) -> Option<T>) -> Result<T, Problem> {
        self.0
            .iter()
            .find(|setting| setting.name == name)
            .and_then(|setting| read(&setting.value))
            .ok_or_else(|| problem(name, format!("must be {kind}")))
    }

    /// A setting of type text.
    ///
    /// # Errors
    /// It is missing, or of another type.
    pub fn text(&self, name: &str) -> Result<String, Problem> {
        self.get(name, "a text", |value| match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        })
    }

    /// A setting of type number.
    ///
    /// # Errors
    /// It is missing, or of another type.
    pub fn number(&self, name: &str) -> Result<i64, Problem> {
        self.get(name, "a whole number", |value| match value {
            Value::Number(number) => Some(*number),
            _ => None,
        })
    }

    /// A setting of type decimal.
    ///
    /// # Errors
    /// It is missing, or of another type.
    pub fn decimal(&self, name: &str) -> Result<Price, Problem> {
        self.get(name, "a decimal", |value| match value {
            Value::Decimal(price) => Some(*price),
            _ => None,
        })
    }

    /// A setting of type millis.
    ///
    /// # Errors
    /// It is missing, or of another type.
    pub fn millis(&self, name: &str) -> Result<u64, Problem> {
        self.get(name, "a duration", |value| match value {
            Value::Millis(millis) => Some(*millis),
            _ => None,
        })
    }

    /// A setting of type words.
    ///
    /// # Errors
    /// It is missing, or of another type.
    pub fn words(&self, name: &str) -> Result<Vec<String>, Problem> {
        self.get(name, "a list of texts", |value| match value {
            Value::Words(words) => Some(words.clone()),
            _ => None,
        })
    }

    /// A setting of type credential; empty is none.
    ///
    /// # Errors
    /// It is missing, or of another type.
    pub fn credential(&self, name: &str) -> Result<Option<String>, Problem> {
        self.get(name, "the name of a credential", |value| match value {
            Value::Credential(name) => Some(Some(name.clone()).filter(|name| !name.is_empty())),
            _ => None,
        })
    }
}

//! Secrets: read from the file or the variable that the configuration names,
//! never shown.

use pricedrop_model::dispatch::Secret;
use pricedrop_pipeline::dispatcher::Keys;

use super::{Config, Problem, Refused};

/// Reads a secret that `field` names.
///
/// # Errors
/// It cannot be had, or is empty.
pub fn read(field: &str, secret: &Secret) -> Result<String, Refused> {
    let read = match secret {
        Secret::File(path) => std::fs::read_to_string(path).map_err(|error| {
            (format!("{field}: {} cannot be read: {error}", path.display()), "create the file")
        }),
        Secret::Env(name) => std::env::var(name).map_err(|_| {
            (format!("{field}: the environment has no {name}"), "set the variable to the secret")
        }),
    };
    match read.map(|text| text.trim_end_matches(['\r', '\n']).to_owned()) {
        Ok(text) if text.is_empty() => {
            Err(refused(format!("{field}: the secret is empty"), "put it into the file or variable named"))
        }
        Ok(text) => Ok(text),
        Err((message, remedy)) => Err(refused(message, remedy)),
    }
}

impl Config {
    /// Where `{table}.{what}` lies, and the field that says so.
    pub(super) fn named_secret(&self, table: &str, what: &str) -> Option<(String, Secret)> {
        let (file, variable) = (format!("{table}.{what}_file"), format!("{table}.{what}_env"));
        match (self.text(&file), self.text(&variable)) {
            (Some(path), _) => Some((file, Secret::File(path.into()))),
            (None, Some(name)) => Some((variable, Secret::Env(name.into()))),
            (None, None) => None,
        }
    }

    /// The secret `{table}.{what}_file` or `_env`; none where none is named.
    ///
    /// # Errors
    /// It is named and cannot be had.
    pub(super) fn secret(&self, table: &str, what: &str) -> Result<Option<String>, Refused> {
        let named = self.named_secret(table, what);
        named.map(|(field, secret)| read(&field, &secret)).transpose()
    }

    /// How deliveries are named.
    ///
    /// # Errors
    /// A secret is named and cannot be had.
    pub fn delivery_keys(&self) -> Result<Keys, Refused> {
        Ok(Keys::new(&self.secret("dispatch", "address_secret")?.unwrap_or_default()))
    }

    /// The token of the API, from the file or the variable that the
    /// configuration names.
    ///
    /// # Errors
    /// It is named and cannot be had.
    pub fn token(&self) -> Result<Option<String>, Refused> {
        let token = self.secret("http", "token")?.map(|token| token.trim().to_owned());
        match token {
            Some(token) if token.is_empty() => Err(refused(
                "the token of the API is empty".into(),
                "put one into the file or variable that [http] names",
            )),
            token => Ok(token),
        }
    }
}

/// Refuses with one problem that stands nowhere in a file.
pub(super) fn refused(message: String, remedy: &str) -> Refused {
    Refused { problems: vec![Problem::anywhere(message, Some(remedy.into()))] }
}

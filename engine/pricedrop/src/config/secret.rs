//! Secrets: read from the file or the environment variable that the configuration
//! names, and never printed.

use std::path::Path;

use pricedrop_model::dispatch::Secret;
use pricedrop_pipeline::dispatcher::Keys;

use super::key::key;
use super::{Config, Problem, Refused};

/// Reads the secret that `field` names.
///
/// # Errors
/// The file or variable cannot be read, or the secret is empty.
pub fn read(field: &str, secret: &Secret) -> Result<String, Refused> {
    let read = match secret {
        Secret::File(path) => std::fs::read_to_string(path).map_err(|error| {
            (format!("{field}: {} cannot be read: {error}", path.display()), "create the file")
        }),
        Secret::Env(name) => std::env::var(name).map_err(|_| {
            (format!("{field}: the environment variable {name} is not set"), "set the variable to the secret")
        }),
    };
    match read.map(|text| text.trim_end_matches(['\r', '\n']).to_owned()) {
        Ok(text) if text.is_empty() => Err(refused(
            format!("{field}: the secret is empty"),
            "write the secret into that file or variable",
        )),
        Ok(text) => Ok(text),
        Err((message, remedy)) => Err(refused(message, remedy)),
    }
}

/// The two keys that may name one secret, with their values.
pub(super) struct SecretKeys<'a> {
    file: (&'static str, Option<&'a Path>),
    env: (&'static str, Option<&'a str>),
}

impl SecretKeys<'_> {
    /// Returns the names of both keys, the file's first.
    pub(super) fn names(&self) -> (&'static str, &'static str) {
        (self.file.0, self.env.0)
    }

    /// Returns whether both keys are set, which is a mistake.
    pub(super) fn are_both_set(&self) -> bool {
        self.file.1.is_some() && self.env.1.is_some()
    }

    /// Returns whether a secret is named.
    pub(super) fn is_set(&self) -> bool {
        self.place().is_some()
    }

    /// Returns the key that names the secret, and where the secret is.
    fn place(&self) -> Option<(&'static str, Secret)> {
        let file = self.file.1.map(|path| (self.file.0, Secret::File(path.into())));
        file.or_else(|| self.env.1.map(|name| (self.env.0, Secret::Env(name.into()))))
    }

    /// Reads the secret; `None` if none is named.
    ///
    /// # Errors
    /// The named secret cannot be read.
    pub(super) fn read(&self) -> Result<Option<String>, Refused> {
        self.place().map(|(field, secret)| read(field, &secret)).transpose()
    }
}

macro_rules! secret_keys {
    ($config:ident.$table:ident, $file:ident, $env:ident) => {
        SecretKeys {
            file: (key!($table.$file), $config.$table.$file.as_deref()),
            env: (key!($table.$env), $config.$table.$env.as_deref()),
        }
    };
}

impl Config {
    pub(super) fn http_token(&self) -> SecretKeys<'_> {
        secret_keys!(self.http, token_file, token_env)
    }

    pub(super) fn address_secret(&self) -> SecretKeys<'_> {
        secret_keys!(self.dispatch, address_secret_file, address_secret_env)
    }

    pub(super) fn archive_secret(&self) -> SecretKeys<'_> {
        secret_keys!(self.archive, secret_access_key_file, secret_access_key_env)
    }

    pub(super) fn cassandra_password(&self) -> SecretKeys<'_> {
        secret_keys!(self.cassandra, password_file, password_env)
    }

    pub(super) fn redis_password(&self) -> SecretKeys<'_> {
        secret_keys!(self.redis, password_file, password_env)
    }

    /// Returns the keys from which the names of deliveries are derived.
    ///
    /// # Errors
    /// The named secret cannot be read.
    pub fn delivery_keys(&self) -> Result<Keys, Refused> {
        Ok(Keys::new(&self.address_secret().read()?.unwrap_or_default()))
    }

    /// Reads the token of the API from the file or the environment variable that the configuration names.
    ///
    /// # Errors
    /// The named token cannot be read, or it is empty.
    pub fn token(&self) -> Result<Option<String>, Refused> {
        let token = self.http_token().read()?.map(|token| token.trim().to_owned());
        match token {
            Some(token) if token.is_empty() => Err(refused(
                "the token of the API is empty".into(),
                "write the token into the file or variable that [http] names",
            )),
            token => Ok(token),
        }
    }
}

/// Returns a refusal with one problem that has no location in a file.
pub(super) fn refused(message: String, remedy: &str) -> Refused {
    Refused { problems: vec![Problem::anywhere(message, Some(remedy.into()))] }
}

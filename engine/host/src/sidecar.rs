//! Parses the sidecar, the optional `name.toml` beside `name.wasm`: settings, limits, self-test
//! cases, and for a channel its hosts, credentials and mail account.

use std::collections::BTreeMap;

use pricedrop_model::channel::{Access, Credential, MailAccount};
use serde::Deserialize;

use crate::cases::Case;
use crate::error::{LoadError, nearest};
use crate::limits::Limits;

/// A parsed sidecar.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sidecar {
    pub(crate) settings: toml::Table,
    pub(crate) limits: Limits,
    pub(crate) access: Access,
    pub(crate) cases: Vec<Case>,
}

/// The sidecar as TOML.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
#[derive(Default)]
struct File {
    settings: toml::Table,
    limits: toml::Table,
    hosts: Vec<String>,
    credentials: BTreeMap<String, Credential>,
    mail: Option<MailAccount>,
    rate_per_second: Option<u32>,
    concurrency: Option<u32>,
    timeout_ms: Option<u64>,
    cases: Vec<Case>,
}

const KEYS: [&str; 9] = [
    "settings",
    "limits",
    "hosts",
    "credentials",
    "mail",
    "rate_per_second",
    "concurrency",
    "timeout_ms",
    "cases",
];

impl Sidecar {
    /// Parses a sidecar. Limits that it does not set are those of `defaults`.
    ///
    /// # Errors
    /// A key or a value is invalid; the text names it, and the most similar key.
    pub(crate) fn parse(file: &str, text: &str, defaults: &Limits) -> Result<Sidecar, LoadError> {
        let refuse = |reason: String| LoadError::of_file(file, reason, "");
        let table: toml::Table = toml::from_str(text).map_err(|error| refuse(error.to_string()))?;
        check_keys(&table, &KEYS, "").map_err(refuse)?;
        let read: File = toml::from_str(text).map_err(|error| refuse(error.to_string()))?;
        check_keys(&read.limits, &Limits::KEYS, "limits.").map_err(refuse)?;
        let limits = read_limits(&read.limits, defaults).map_err(refuse)?;
        for (key, number) in [
            ("rate_per_second", read.rate_per_second.map(u64::from)),
            ("concurrency", read.concurrency.map(u64::from)),
            ("timeout_ms", read.timeout_ms),
        ] {
            if number == Some(0) {
                return Err(refuse(format!(
                    "{key} must be a whole number above 0, not 0: nothing could be sent"
                )));
            }
        }
        let access = Access {
            hosts: read.hosts,
            credentials: read.credentials,
            mail: read.mail,
            rate_per_second: read.rate_per_second,
            concurrency: read.concurrency,
            timeout_ms: read.timeout_ms,
        };
        Ok(Sidecar { settings: read.settings, limits, access, cases: read.cases })
    }
}

fn check_keys(table: &toml::Table, known: &[&str], prefix: &str) -> Result<(), String> {
    let Some(wrong) = table.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
    Err(match nearest(wrong, known.iter().copied()) {
        Some(near) => format!("unknown key {prefix}{wrong}; did you mean {prefix}{near}?"),
        None => format!("unknown key {prefix}{wrong}; known are {}", known.join(", ")),
    })
}

/// Returns the defaults, overridden by the table.
fn read_limits(table: &toml::Table, defaults: &Limits) -> Result<Limits, String> {
    let number = |key: &str, default: u64| match table.get(key) {
        None => Ok(default),
        Some(toml::Value::Integer(number)) if *number > 0 => Ok(number.unsigned_abs()),
        Some(other) => Err(format!("limits.{key} must be a whole number above 0, not {other}")),
    };
    let bytes = |key: &str, default: usize| {
        number(key, default as u64)
            .and_then(|value| usize::try_from(value).map_err(|_| format!("limits.{key} is too large")))
    };
    let lines = number("log_lines_per_second", defaults.log_lines_per_second.into())?;
    Ok(Limits {
        cpu_ms: number("cpu_ms", defaults.cpu_ms)?,
        start_cpu_ms: number("start_cpu_ms", defaults.start_cpu_ms)?,
        memory_bytes: bytes("memory_bytes", defaults.memory_bytes)?,
        output_bytes: bytes("output_bytes", defaults.output_bytes)?,
        state_bytes: bytes("state_bytes", defaults.state_bytes)?,
        log_lines_per_second: u32::try_from(lines).map_err(|_| "limits.log_lines_per_second is too large")?,
        calls_per_instance: number("calls_per_instance", defaults.calls_per_instance)?,
        wasm_bytes: number("wasm_bytes", defaults.wasm_bytes)?,
    })
}

//! Finds ACL permissions that the Redis user lacks, by trying every command on a key that nothing
//! else uses.

use std::time::Duration;

use pricedrop_model::ports::Error;
use redis::{ErrorKind, ServerErrorKind};

use super::connection::Connection;
use super::options::Options;

/// Every command that the scripts and this crate send. The arguments change no key but `{k}`, and
/// leave nothing in it.
const COMMANDS: [&str; 29] = [
    "TIME",
    "SET {k} 1 PX 1000",
    "GET {k}",
    "MGET {k} {k}",
    "STRLEN {k}",
    "EXISTS {k}",
    "PEXPIRE {k} 1000",
    "PTTL {k}",
    "DEL {k}",
    "ZADD {k} 1 m",
    "ZSCORE {k} m",
    "ZCOUNT {k} 0 2",
    "ZCARD {k}",
    "ZRANGEBYSCORE {k} 0 2",
    "ZREMRANGEBYSCORE {k} 5 6",
    "ZREM {k} m",
    "HSET {k} f v",
    "HGET {k} f",
    "HLEN {k}",
    "HDEL {k} f",
    "SADD {k} m",
    "SMEMBERS {k}",
    "UNLINK {k}",
    "SCRIPT LOAD {script}",
    "EVALSHA {sha} 0",
    "SELECT {database}",
    "INFO server",
    "PEXPIRE {k} 1",
    "UNLINK {k}",
];

/// A script that does nothing, and its SHA-1 hash.
const SCRIPT: (&str, &str) = ("return 1", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db");

/// Finds the missing rights, in the notation of `ACL SETUSER`: `+zadd`, `~prefix:*`.
///
/// # Errors
/// The server is down.
pub(super) async fn missing(connection: &Connection, options: &Options) -> Result<Vec<String>, Error> {
    let key = format!("{}:doctor", options.prefix);
    let (timeout, mut missing) = (Duration::from_millis(options.timeout_ms), Vec::new());
    for command in COMMANDS {
        let words: Vec<String> = command.split(' ').map(|word| fill(word, options, &key)).collect();
        let mut asked = redis::Cmd::new();
        // The script has a space, and is one argument.
        match command {
            "SCRIPT LOAD {script}" => asked.arg("SCRIPT").arg("LOAD").arg(SCRIPT.0),
            _ => asked.arg(&words),
        };
        let refused = connection
            .call(timeout, |mut session| async move {
                match asked.query_async::<redis::Value>(&mut session.link).await {
                    Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => {
                        Ok(Some(error.detail().unwrap_or_default().to_owned()))
                    }
                    // Any other error, such as a wrong type or an unknown script, says nothing
                    // about rights.
                    Err(error) if matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension) => {
                        Ok(None)
                    }
                    other => other.map(|_| None),
                }
            })
            .await?;
        if let Some(said) = refused {
            let verb = command.split(' ').next().unwrap_or_default().to_lowercase();
            missing.push(match (said.contains("key"), verb.as_str()) {
                (true, _) => format!("~{}:*", options.prefix),
                (false, "script") => "+script|load".into(),
                (false, verb) => format!("+{verb}"),
            });
        }
    }
    missing.sort();
    missing.dedup();
    Ok(missing)
}

fn fill(word: &str, options: &Options, key: &str) -> String {
    match word {
        "{k}" => key.to_owned(),
        "{sha}" => SCRIPT.1.to_owned(),
        "{database}" => options.database.to_string(),
        _ => word.to_owned(),
    }
}

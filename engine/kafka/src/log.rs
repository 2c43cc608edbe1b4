//! The client library's own lines go into our log.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pricedrop_model::seams::Error;
use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::limits::{CAUSE_MS, ROOM_POLL_MS};
use super::member::away;

/// Writes a line at its syslog level. The operator's properties go to clients of
/// every kind, so that one kind passes over what is another's is as it should be.
pub(super) fn write_line(level: i32, facility: &str, line: &str) {
    let is_of_another_kind = facility == "CONFWARN" && line.contains("property and will be ignored by this");
    match level {
        _ if is_of_another_kind => tracing::debug!(target: "librdkafka", "{facility}: {line}"),
        0..=3 => tracing::error!(target: "librdkafka", "{facility}: {line}"),
        4 => tracing::warn!(target: "librdkafka", "{facility}: {line}"),
        5 | 6 => tracing::info!(target: "librdkafka", "{facility}: {line}"),
        _ => tracing::debug!(target: "librdkafka", "{facility}: {line}"),
    }
}

/// A context that logs, and knows why a broker was not reached.
#[derive(Debug, Clone, Default)]
pub struct Logged {
    failed: Arc<Mutex<Option<String>>>,
}

impl Logged {
    fn failed(&self) -> MutexGuard<'_, Option<String>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An error of a client with its cause: the error alone says no more than that
/// nobody answers, also where a password or a certificate is wrong.
pub(super) fn away_because(client: &BaseConsumer<Logged>, error: KafkaError) -> Error {
    let until = Instant::now() + Duration::from_millis(CAUSE_MS);
    // What it logged is read where its events are.
    while client.context().failed().is_none() && Instant::now() < until {
        let _ = client.poll(Duration::from_millis(ROOM_POLL_MS));
    }
    match client.context().failed().as_ref() {
        Some(why) => Error::Unavailable(format!("Kafka: {error}: {why}")),
        None => away(error),
    }
}

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        if facility == "FAIL" {
            *self.failed() = Some(line.to_owned());
        }
        write_line(level as i32, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The end of a partition comes this way, too, and is what a reader waits for.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            tracing::debug!(target: "librdkafka", "{error}: {reason}");
        }
    }
}

impl rdkafka::consumer::ConsumerContext for Logged {}

//! Writes librdkafka's log lines into the log of the engine.

use pricedrop_model::sync::lock;
use std::sync::{Arc, Mutex, MutexGuard};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Writes a line at its syslog level. Clients of every kind get all properties of the operator, so
/// a warning that a property is for another kind of client is written at debug level.
pub(crate) fn write_line(level: i32, facility: &str, line: &str) {
    let is_of_another_kind = facility == "CONFWARN" && line.contains("property and will be ignored by this");
    match level {
        _ if is_of_another_kind => tracing::debug!(target: "librdkafka", "{facility}: {line}"),
        0..=3 => tracing::error!(target: "librdkafka", "{facility}: {line}"),
        4 => tracing::warn!(target: "librdkafka", "{facility}: {line}"),
        5 | 6 => tracing::info!(target: "librdkafka", "{facility}: {line}"),
        _ => tracing::debug!(target: "librdkafka", "{facility}: {line}"),
    }
}

/// A client context that writes log lines, and keeps the last reason why a broker was not reached.
#[derive(Debug, Clone, Default)]
pub struct Logged {
    failed: Arc<Mutex<Option<String>>>,
}

impl Logged {
    pub(crate) fn failed(&self) -> MutexGuard<'_, Option<String>> {
        lock(&self.failed)
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
        // The end of a partition is reported as an error too; readers wait for it.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            tracing::debug!(target: "librdkafka", "{error}: {reason}");
        }
    }
}

impl rdkafka::consumer::ConsumerContext for Logged {}

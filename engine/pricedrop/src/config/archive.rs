//! Converts the table `[archive]` into the options of the archive crate.

use pricedrop_archive::{AccessKey, Limits, Options};
use pricedrop_embedded::ArchivedTopic;
use pricedrop_kafka::Topics;
use pricedrop_outbound::trusting_client;

use super::secret::refused;
use super::units::to_millis;
use super::{Config, Refused};

/// How the archive is reached, and when its objects are closed.
pub struct Archive {
    /// The bucket, its endpoint and the credentials.
    pub options: Options,
    /// The HTTP client for all requests.
    pub client: reqwest::Client,
    /// The sizes and times at which objects are closed.
    pub limits: Limits,
}

impl Config {
    /// Returns whether anything is archived.
    pub fn archive_is_on(&self) -> bool {
        self.archive.url.is_some()
    }

    /// Returns the Kafka topics that are archived.
    pub fn archived_topics(&self, topics: &Topics) -> Vec<String> {
        let named = |topic| match topic {
            ArchivedTopic::Updates => vec![topics.prices.clone()],
            ArchivedTopic::Notifications => vec![topics.notifications.clone()],
            ArchivedTopic::DeadLetters => vec![topics.dead_updates.clone(), topics.dead_deliveries.clone()],
        };
        self.archived().into_iter().flat_map(named).collect()
    }

    /// Returns what is archived; empty without `archive.url`.
    pub fn archived(&self) -> Vec<ArchivedTopic> {
        if self.archive_is_on() { self.archive.topics.clone() } else { Vec::new() }
    }

    /// Returns the configured archive.
    ///
    /// # Errors
    /// The named secret cannot be read, or `archive.ca_file` cannot be read.
    pub fn archive_options(&self) -> Result<Archive, Refused> {
        self.archive_options_at(self.archive.url.as_deref().unwrap_or_default())
    }

    /// Returns an archive at another URL, reached with the same credentials.
    ///
    /// # Errors
    /// The named secret cannot be read, or `archive.ca_file` cannot be read.
    pub fn archive_options_at(&self, url: &str) -> Result<Archive, Refused> {
        let table = &self.archive;
        let secret = self.archive_secret().read()?;
        let key = table.access_key_id.clone().zip(secret);
        let client = trusting_client(table.ca_file.as_deref());
        Ok(Archive {
            options: Options {
                url: url.to_owned(),
                endpoint: table.endpoint.clone(),
                region: table.region.clone(),
                access_key: key.map(|(id, secret)| AccessKey { id, secret }),
            },
            client: client
                .map_err(|error| refused(format!("archive: {error}"), "correct archive.ca_file"))?,
            limits: Limits {
                object_bytes: table.max_object_size.in_memory(),
                object_age_ms: to_millis(table.max_object_age),
                memory_bytes: table.max_memory.in_memory(),
            },
        })
    }
}

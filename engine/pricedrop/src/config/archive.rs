//! The table `[archive]` as options of the archive.

use pricedrop_archive::{AccessKey, Limits, Options};
use pricedrop_embedded::ArchivedTopic;
use pricedrop_kafka::Topics;
use pricedrop_outbound::trusting_client;

use super::secret::refused;
use super::{Config, Refused};

/// What can be archived.
pub const ARCHIVED: [&str; 3] = ["updates", "notifications", "dead-letters"];

/// How the archive is reached, and when objects are closed.
pub struct Archive {
    /// Where it lies.
    pub options: Options,
    /// What requests are made with.
    pub client: reqwest::Client,
    /// When objects are closed.
    pub limits: Limits,
}

impl Config {
    /// Whether anything is archived.
    pub fn archive_is_on(&self) -> bool {
        self.get("archive.url").is_some()
    }

    /// The topics in Kafka that are archived.
    pub fn archived_topics(&self, topics: &Topics) -> Vec<String> {
        let named = |topic| match topic {
            ArchivedTopic::Updates => vec![topics.prices.clone()],
            ArchivedTopic::Notifications => vec![topics.notifications.clone()],
            ArchivedTopic::DeadLetters => vec![topics.dead_updates.clone(), topics.dead_deliveries.clone()],
        };
        self.archived().into_iter().flat_map(named).collect()
    }

    /// What is archived; nothing without `archive.url`.
    pub fn archived(&self) -> Vec<ArchivedTopic> {
        let named = |name: &String| match name.as_str() {
            "updates" => ArchivedTopic::Updates,
            "notifications" => ArchivedTopic::Notifications,
            _ => ArchivedTopic::DeadLetters,
        };
        let is_on = self.archive_is_on();
        self.texts("archive.topics").iter().filter(|_| is_on).map(named).collect()
    }

    /// The archive of this configuration.
    ///
    /// # Errors
    /// The secret is named and cannot be had, or `archive.ca_file` cannot be read.
    pub fn archive(&self) -> Result<Archive, Refused> {
        self.archive_at(self.text("archive.url").unwrap_or_default())
    }

    /// An archive at another URL, reached in the same way.
    ///
    /// # Errors
    /// The secret is named and cannot be had, or `archive.ca_file` cannot be read.
    pub fn archive_at(&self, url: &str) -> Result<Archive, Refused> {
        let text = |key: &str| self.text(key).map(str::to_owned);
        let secret = self.secret("archive", "secret_access_key")?;
        let key = text("archive.access_key_id").zip(secret);
        let client = trusting_client(self.text("archive.ca_file").map(std::path::Path::new));
        Ok(Archive {
            options: Options {
                url: url.to_owned(),
                endpoint: text("archive.endpoint"),
                region: text("archive.region"),
                access_key: key.map(|(id, secret)| AccessKey { id, secret }),
            },
            client: client.map_err(|error| refused(format!("archive: {error}"), "mend archive.ca_file"))?,
            limits: Limits {
                object_bytes: self.size("archive.max_object_size"),
                object_age_ms: self.number("archive.max_object_age"),
                memory_bytes: self.size("archive.max_memory"),
            },
        })
    }
}

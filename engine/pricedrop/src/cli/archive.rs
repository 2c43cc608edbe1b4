//! The arguments of `pricedrop replay` and `pricedrop archive`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `pricedrop replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// The URL of another archive than the configured one.
    pub url: Option<String>,
    /// The topic.
    #[arg(long, value_enum)]
    pub topic: ReplayTopic,
    /// Only records from this time on, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only records before this time, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Only records of this product.
    #[arg(long, value_name = "PRODUCT")]
    pub product: Option<String>,
    /// Only notifications of this user.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Publish the records. Without this option they are only counted.
    #[arg(long)]
    pub publish: bool,
    /// Repeat the deliveries of the notifications: NAME becomes part of their delivery keys, so that
    /// the same name delivers nothing twice.
    #[arg(long, value_name = "NAME", requires = "publish")]
    pub again: Option<String>,
    /// Print who would be notified of the archived updates, with the watches of this file, as
    /// `pricedrop simulate` does.
    #[arg(long, value_name = "W.csv", conflicts_with = "publish")]
    pub simulate: Option<PathBuf>,
    /// Publish at most this many records per second.
    #[arg(long, value_name = "RECORDS")]
    pub rate: Option<std::num::NonZeroU32>,
    /// Do not ask for confirmation on a terminal.
    #[arg(long)]
    pub yes: bool,
}

/// A topic that can be published again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReplayTopic {
    /// Price updates.
    Updates,
    /// Notifications.
    Notifications,
}

/// `pricedrop archive`.
#[derive(Debug, Subcommand)]
pub enum Archive {
    /// Show which offsets the archive contains, and which are missing. Reads names and links only.
    Status(ArchiveStatus),
    /// Read every object and compare it with its checksum.
    Verify(ArchiveVerify),
    /// Record that a topic deleted records before they were archived, and continue after them.
    AcceptLoss {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
}

/// `pricedrop archive status`.
#[derive(Debug, Args)]
pub struct ArchiveStatus {
    /// The URL of another archive than the configured one.
    pub url: Option<String>,
    /// Print one JSON object for each partition.
    #[arg(long)]
    pub json: bool,
}

/// `pricedrop archive verify`.
#[derive(Debug, Args)]
pub struct ArchiveVerify {
    /// The URL of another archive than the configured one.
    pub url: Option<String>,
    /// Only this topic.
    #[arg(long)]
    pub topic: Option<String>,
}

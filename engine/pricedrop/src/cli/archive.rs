//! The arguments of `pricedrop replay` and `pricedrop archive`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// `pricedrop replay`.
#[derive(Debug, Args)]
pub struct Replay {
    /// Another archive than the configured one.
    pub url: Option<String>,
    /// Which topic.
    #[arg(long, value_enum)]
    pub topic: ReplayTopic,
    /// Records from this time on, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Records before this time, RFC 3339.
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Records of this product.
    #[arg(long, value_name = "PRODUCT")]
    pub product: Option<String>,
    /// Notifications of this user.
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Publish them. Without it, they are only counted.
    #[arg(long)]
    pub publish: bool,
    /// Deliver the notifications once more: NAME becomes part of their delivery keys, so the same
    /// name delivers nothing twice.
    #[arg(long, value_name = "NAME", requires = "publish")]
    pub again: Option<String>,
    /// Print who would be told by the archived updates, with the watches of this file, as
    /// `pricedrop simulate` does.
    #[arg(long, value_name = "W.csv", conflicts_with = "publish")]
    pub simulate: Option<PathBuf>,
    /// At most so many records a second.
    #[arg(long, value_name = "RECORDS")]
    pub rate: Option<std::num::NonZeroU32>,
    /// Do not ask on a terminal.
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
    /// Show what the archive holds, and what is missing. Reads names and links only.
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
    /// Another archive than the configured one.
    pub url: Option<String>,
    /// One JSON object for each partition.
    #[arg(long)]
    pub json: bool,
}

/// `pricedrop archive verify`.
#[derive(Debug, Args)]
pub struct ArchiveVerify {
    /// Another archive than the configured one.
    pub url: Option<String>,
    /// Only this topic.
    #[arg(long)]
    pub topic: Option<String>,
}

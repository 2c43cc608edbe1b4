//! The arguments of the commands for topics, offsets and tables.

use clap::{Subcommand, ValueEnum};

/// `pricedrop topics`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Topics {
    /// Create the missing topics. Existing topics are not changed.
    Apply {
        /// The topics of the shadow.
        #[arg(long)]
        shadow: bool,
    },
    /// Check that the topics have the settings that the engine requires.
    Check {
        /// The topics of the shadow.
        #[arg(long)]
        shadow: bool,
    },
}

/// `pricedrop offsets`.
#[derive(Debug, Subcommand)]
pub enum Offsets {
    /// Set the offset of partitions whose committed offset and stored states disagree, and print
    /// which records that skips or repeats.
    Set {
        /// Only this partition; by default all that disagree.
        #[arg(long, value_name = "N")]
        partition: Option<i32>,
        /// The offset to set.
        #[arg(long, value_enum, default_value_t = OffsetTarget::Group)]
        at: OffsetTarget,
        /// Use the group and the states of the shadow.
        #[arg(long)]
        shadow: bool,
    },
}

/// Where a partition continues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OffsetTarget {
    /// The offset that the group committed, if the log still has it.
    Group,
    /// The offset that was stored with the states, if the log still has it.
    States,
    /// The first record of the log.
    Earliest,
    /// The end of the log.
    Latest,
}

/// `pricedrop schema`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Schema {
    /// Create the missing keyspace and tables. A table with other columns is refused.
    Apply,
    /// Check that the tables have the columns that the engine requires.
    Check,
}

//! The arguments of the commands that look after topics, offsets and tables.

use clap::{Subcommand, ValueEnum};

/// `pricedrop topics`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Topics {
    /// Make the topics that are missing; those that exist are left as they are.
    Apply {
        /// Those of a shadow.
        #[arg(long)]
        shadow: bool,
    },
    /// Compare the topics with what the engine needs.
    Check {
        /// Those of a shadow.
        #[arg(long)]
        shadow: bool,
    },
}

/// `pricedrop offsets`.
#[derive(Debug, Subcommand)]
pub enum Offsets {
    /// Say where partitions go on whose offset and states do not belong together, and what that
    /// skips or repeats.
    Accept {
        /// Of this partition; by default of all that differ.
        #[arg(long, value_name = "N")]
        partition: Option<i32>,
        /// Where it goes on.
        #[arg(long, value_enum, default_value_t = OffsetTarget::Group)]
        at: OffsetTarget,
        /// Of the shadow's group and states.
        #[arg(long)]
        shadow: bool,
    },
}

/// Where a partition goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OffsetTarget {
    /// At the group's offset, if the log has it.
    Group,
    /// Where its states were stored, if the log has it.
    States,
    /// At the log's first record.
    Earliest,
    /// Behind the log's last record.
    Latest,
}

/// `pricedrop schema`.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Schema {
    /// Make the keyspace and tables that are missing; one of another shape is refused.
    Apply,
    /// Compare the tables with what the engine needs.
    Check,
}

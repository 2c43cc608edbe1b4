//! The command line: what can be asked, in the order of the help.

mod archive;
mod servers;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pricedrop_model::dispatch::DeadLetterId;

pub use archive::{Archive, ArchiveStatus, ArchiveVerify, Replay, ReplayTopic};
pub use servers::{OffsetTarget, Offsets, Schema, Topics};

use crate::config::CONFIG_VARIABLE;

/// Tells people when a price falls to what they are waiting for.
#[derive(Debug, Parser)]
#[command(name = "pricedrop", version, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    /// The configuration, a TOML file; none is needed.
    #[arg(long, value_name = "FILE", global = true, env = CONFIG_VARIABLE)]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the engine: prices in, the right people told.
    Run(Run),
    /// Tell from files who would be told, without a server.
    Simulate(Simulate),
    /// Write, read and delete watches.
    #[command(subcommand)]
    Watch(Watch),
    /// Write, read and delete the addresses where users are reached.
    #[command(subcommand)]
    Recipient(Recipient),
    /// Look into what was told.
    #[command(subcommand)]
    Notifications(Notifications),
    /// Look into what died, and bring it back.
    #[command(subcommand)]
    Dlq(Dlq),
    /// Look after the buckets that find the watches of large products.
    #[command(subcommand)]
    Buckets(Buckets),
    /// Make and compare the topics in Kafka.
    #[command(subcommand)]
    Topics(Topics),
    /// Look after the offsets that the engine goes on from.
    #[command(subcommand)]
    Offsets(Offsets),
    /// Publish archived records again: rebuild a topic, or deliver once more what a provider lost.
    Replay(Replay),
    /// Look at the archive, check all of it, or accept that records were lost.
    #[command(subcommand)]
    Archive(Archive),
    /// Make and compare the tables in Cassandra.
    #[command(subcommand)]
    Schema(Schema),
    /// Look into plugins.
    #[command(subcommand)]
    Plugin(Plugin),
    /// Say what is wrong with servers, topics, tables, rights and clocks, each with its remedy.
    Doctor(Doctor),
    /// Check a configuration, or print a complete one.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// `pricedrop run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Run one role alone; needs stores that two processes can share.
    #[arg(long)]
    pub role: Option<Role>,
    /// Decide and count, but publish, send and delete nothing. Works in a group of its own beside
    /// the real one.
    #[arg(long)]
    pub shadow: bool,
}

/// A part of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// From updates to notifications.
    Notifier,
    /// From notifications to deliveries.
    Dispatcher,
    /// From topics to the archive.
    Archiver,
}

/// `pricedrop simulate`.
#[derive(Debug, Args)]
pub struct Simulate {
    /// CSV: product_id,price_watch_value,user_id[,mode][,currency][,updated_at].
    #[arg(long, value_name = "W.csv")]
    pub watches: PathBuf,
    /// JSON lines: one update a line, watch changes between them.
    #[arg(long, value_name = "U.jsonl")]
    pub updates: PathBuf,
    /// Use the plugins of this folder.
    #[arg(long, value_name = "DIR")]
    pub plugins: Option<PathBuf>,
    /// End with counts.
    #[arg(long)]
    pub stats: bool,
}

/// Which engine is asked.
#[derive(Debug, Args)]
pub struct Remote {
    /// The engine's address; by default the one its configuration names.
    #[arg(long, value_name = "URL", env = "PRICEDROP_URL")]
    pub url: Option<String>,
}

/// How a list is printed.
#[derive(Debug, Args)]
pub struct Listing {
    /// Most entries; 0 prints all.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
    /// Print JSON lines.
    #[arg(long)]
    pub json: bool,
}

/// `pricedrop watch`.
#[derive(Debug, Subcommand)]
pub enum Watch {
    /// Tell a user when a product's price is at or below a value.
    Add {
        /// The product.
        product: String,
        /// At or below this price.
        price: String,
        /// The user.
        user: String,
        /// When it fires: every-drop, crossing or once; by default as the rules say.
        #[arg(long)]
        mode: Option<String>,
        /// Three capital letters; by default as the rules say.
        #[arg(long)]
        currency: Option<String>,
        /// Which engine is asked.
        #[command(flatten)]
        remote: Remote,
    },
    /// List watches in order of product, price, user.
    List {
        /// Of this product; none: of all.
        product: Option<String>,
        /// How it is printed.
        #[command(flatten)]
        listing: Listing,
        /// Which engine is asked.
        #[command(flatten)]
        remote: Remote,
    },
    /// Delete a watch.
    Remove {
        /// The product.
        product: String,
        /// Its price, as it was added.
        price: String,
        /// The user.
        user: String,
        /// Which engine is asked.
        #[command(flatten)]
        remote: Remote,
    },
    /// Write the watches of a file; bad lines are listed, the good ones written.
    Import {
        /// CSV (product_id,price_watch_value,user_id[,mode][,currency]) or JSON lines; - reads
        /// standard input.
        file: PathBuf,
        /// Which engine is asked.
        #[command(flatten)]
        remote: Remote,
    },
}

/// `pricedrop recipient`.
#[derive(Debug, Subcommand)]
pub enum Recipient {
    /// Say where a user is reached on a channel.
    Add {
        /// The user.
        user: String,
        /// The channel: the stem of its plugin's file, such as channel-email.
        channel: String,
        /// What the channel needs: a mail address, a URL, ...
        address: String,
        /// The user's language, such as de-AT.
        #[arg(long)]
        locale: Option<String>,
        /// Whatever else the channel wants to know.
        #[arg(long = "attribute", value_name = "NAME=VALUE")]
        attributes: Vec<String>,
        /// Which engine is asked.
        #[command(flatten)]
        remote: Remote,
    },
    /// List addresses.
    List {
        /// Of this user; none: of all.
        user: Option<String>,
        /// How it is printed.
        #[command(flatten)]
        listing: Listing,
        /// Which engine is asked.
        #[command(flatten)]
        remote: Remote,
    },
    /// Delete an address.
    Remove {
        /// The user.
        user: String,
        /// The channel.
        channel: String,
        /// The address.
        address: String,
        /// Which engine is asked.
        #[command(flatten)]
        remote: Remote,
    },
    /// Write the addresses of a file; bad lines are listed, the good ones written.
    Import {
        /// CSV (user_id,channel,address[,locale]) or JSON lines; - reads standard input.
        file: PathBuf,
        /// Which engine is asked.
        #[command(flatten)]
        remote: Remote,
    },
}

/// `pricedrop notifications`.
#[derive(Debug, Subcommand)]
pub enum Notifications {
    /// List what was told, the oldest first.
    List {
        /// From this offset on.
        #[arg(long, value_name = "N", default_value_t = 0)]
        from: i64,
        /// Of this partition; by default of all, one after the other.
        #[arg(long, value_name = "N")]
        partition: Option<i32>,
        /// How it is printed.
        #[command(flatten)]
        listing: Listing,
        /// Which engine is asked.
        #[command(flatten)]
        remote: Remote,
    },
}

/// `pricedrop dlq`.
#[derive(Debug, Subcommand)]
pub enum Dlq {
    /// List dead letters, in order of topic, partition and offset.
    List {
        /// Those that come after this id.
        #[arg(long, value_name = "ID")]
        after: Option<DeadLetterId>,
        /// How it is printed.
        #[command(flatten)]
        listing: Listing,
        /// Which engine is asked.
        #[command(flatten)]
        remote: Remote,
    },
    /// Print everything about one dead letter, as JSON.
    Show {
        /// Its id, topic/partition/offset, such as price_updates.dlq/3/1881.
        id: DeadLetterId,
        /// Which engine is asked.
        #[command(flatten)]
        remote: Remote,
    },
    /// Put dead letters back to where they came from.
    Replay {
        /// Their ids, each topic/partition/offset.
        #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<DeadLetterId>,
        /// Every dead letter there is now.
        #[arg(long)]
        all: bool,
        /// Which engine is asked.
        #[command(flatten)]
        remote: Remote,
    },
}

/// `pricedrop buckets`.
#[derive(Debug, Subcommand)]
pub enum Buckets {
    /// Print the active policy and the staged one, as JSON.
    Status {
        /// Which engine is asked.
        #[command(flatten)]
        remote: Remote,
    },
    /// Build and compare the buckets of a product, or of all, from its watches.
    Repair {
        /// The product.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        product: Option<String>,
        /// Every product that is large enough.
        #[arg(long)]
        all: bool,
        /// Which engine is asked.
        #[command(flatten)]
        remote: Remote,
    },
    /// Rebuild the buckets by the staged policy and make it active.
    Migrate {
        /// Which engine is asked.
        #[command(flatten)]
        remote: Remote,
    },
}

/// `pricedrop plugin`.
#[derive(Debug, Subcommand)]
pub enum Plugin {
    /// Load a plugin with its sidecar and cases, as the engine would.
    Check {
        /// The .wasm file.
        file: PathBuf,
    },
    /// Print a sample message as a channel of the plugin folder would send it.
    Preview {
        /// The channel: the stem of its file in the plugin folder.
        #[arg(long)]
        channel: String,
        /// The recipient's locale, such as de-CH; none: the channel's default.
        #[arg(long)]
        locale: Option<String>,
        /// The recipient's address; none: a sample of the channel's kind.
        #[arg(long)]
        address: Option<String>,
        /// How many products the message is about; more than one makes a digest.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=100))]
        items: u8,
    },
    /// Print what the running engine has loaded, staged and refused, as JSON.
    List {
        /// Which engine is asked.
        #[command(flatten)]
        remote: Remote,
    },
}

/// `pricedrop doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Ask about the topics, tables and rights of one role alone.
    #[arg(long)]
    pub role: Option<Role>,
}

/// `pricedrop config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Read the configuration and say what is wrong with it.
    Check,
    /// Print a complete configuration with every default.
    Example,
    /// Print the JSON Schema of the configuration, for editors.
    Schema,
}

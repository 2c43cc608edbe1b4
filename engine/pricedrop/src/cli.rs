//! The command line: commands and arguments, in the order of the help.

mod archive;
mod servers;
mod store;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use pricedrop_model::dispatch::DeadLetterId;

pub use archive::{Archive, ArchiveStatus, ArchiveVerify, Replay, ReplayTopic};
pub use servers::{OffsetTarget, Offsets, Schema, Topics};
pub use store::Store;

use crate::config::CONFIG_VARIABLE;
use crate::input::Separator;

/// Notifies users when the price of a product falls to the value they watch.
#[derive(Debug, Parser)]
#[command(name = "pricedrop", version, max_term_width = 100, propagate_version = true)]
pub struct Cli {
    /// The configuration file, in TOML; optional.
    #[arg(long, value_name = "FILE", global = true, env = CONFIG_VARIABLE)]
    pub config: Option<PathBuf>,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the engine: read prices, decide who is notified, deliver the notifications.
    Run(Run),
    /// Print who would be notified, from files and without a server.
    Simulate(Simulate),
    /// Add, list, import and remove watches.
    #[command(subcommand)]
    Watch(Watch),
    /// Add, list, import and remove the addresses of users.
    #[command(subcommand)]
    Recipient(Recipient),
    /// List notifications.
    #[command(subcommand)]
    Notifications(Notifications),
    /// List, show and replay dead letters.
    #[command(subcommand)]
    Dlq(Dlq),
    /// Show, repair and migrate the buckets, the index of the watches of large products.
    #[command(subcommand)]
    Buckets(Buckets),
    /// Create and check the topics in Kafka.
    #[command(subcommand)]
    Topics(Topics),
    /// Set the offsets at which the engine continues.
    #[command(subcommand)]
    Offsets(Offsets),
    /// Check the files of the embedded store, and save what can be read from a damaged one.
    #[command(subcommand)]
    Store(Store),
    /// Publish archived records again: rebuild a topic, or repeat deliveries that a provider lost.
    Replay(Replay),
    /// Show and verify the archive, or record that records were lost.
    #[command(subcommand)]
    Archive(Archive),
    /// Create and check the tables in Cassandra.
    #[command(subcommand)]
    Schema(Schema),
    /// Check, preview and list plugins.
    #[command(subcommand)]
    Plugin(Plugin),
    /// Check servers, topics, tables, rights and clocks, and print each problem with its remedy.
    Doctor(Doctor),
    /// Check the configuration, print an example, or print its JSON Schema.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// `pricedrop run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Run this role alone. Requires stores.log = "kafka".
    #[arg(long)]
    pub role: Option<Role>,
    /// Decide and count, but publish, send and delete nothing. Runs in a consumer group of its own,
    /// beside the real engine.
    #[arg(long)]
    pub shadow: bool,
}

/// A part of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Turns updates into notifications.
    Notifier,
    /// Delivers notifications.
    Dispatcher,
    /// Copies topics into the archive.
    Archiver,
}

/// `pricedrop simulate`.
#[derive(Debug, Args)]
pub struct Simulate {
    /// The watches, CSV: product_id,price_watch_value,user_id[,mode][,currency][,updated_at].
    #[arg(long, value_name = "W.csv")]
    pub watches: PathBuf,
    /// The updates: JSON objects, each an update or a change of a watch.
    #[arg(long, value_name = "U.jsonl")]
    pub updates: PathBuf,
    /// Use the plugins of this folder.
    #[arg(long, value_name = "DIR")]
    pub plugins: Option<PathBuf>,
    /// Print statistics at the end, on standard error.
    #[arg(long)]
    pub stats: bool,
}

/// The engine that the command sends requests to.
#[derive(Debug, Args)]
pub struct Remote {
    /// The URL of the engine; by default the address in the configuration.
    #[arg(long, value_name = "URL", env = "PRICEDROP_URL")]
    pub url: Option<String>,
}

/// How a list is printed.
#[derive(Debug, Args)]
pub struct Listing {
    /// The maximum number of entries; 0 prints all.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: usize,
    /// Print JSON lines.
    #[arg(long)]
    pub json: bool,
}

/// The file of an import.
#[derive(Debug, Args)]
pub struct ImportFile {
    /// CSV with a header line, or JSON objects; - reads standard input.
    pub file: PathBuf,
    /// What separates the fields of a CSV file; by default it is found in the header line.
    #[arg(long, value_name = "SEPARATOR", value_enum)]
    pub separator: Option<Separator>,
}

/// `pricedrop watch`.
#[derive(Debug, Subcommand)]
pub enum Watch {
    /// Notify a user when the price of a product is at or below a value.
    Add {
        /// The product.
        product: String,
        /// The threshold: the watch fires at or below this price.
        price: String,
        /// The user.
        user: String,
        /// When it fires: every-drop, crossing or once; by default rules.mode.
        #[arg(long)]
        mode: Option<String>,
        /// The currency, three capital letters; by default rules.currency.
        #[arg(long)]
        currency: Option<String>,
        /// The engine that the command sends requests to.
        #[command(flatten)]
        remote: Remote,
    },
    /// List watches, ordered by product, price and user.
    List {
        /// Only watches of this product.
        product: Option<String>,
        /// How the list is printed.
        #[command(flatten)]
        listing: Listing,
        /// The engine that the command sends requests to.
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
        /// The engine that the command sends requests to.
        #[command(flatten)]
        remote: Remote,
    },
    /// Import watches from a file: valid lines are written, invalid ones are listed. The columns of a
    /// CSV file are product_id,price_watch_value,user_id[,mode][,currency].
    Import {
        /// What is imported.
        #[command(flatten)]
        file: ImportFile,
        /// The engine that the command sends requests to.
        #[command(flatten)]
        remote: Remote,
    },
}

/// `pricedrop recipient`.
#[derive(Debug, Subcommand)]
pub enum Recipient {
    /// Add an address at which a channel reaches a user.
    Add {
        /// The user.
        user: String,
        /// The channel: the file name of its plugin without .wasm, such as channel-email.
        channel: String,
        /// The address in the form of the channel: a mail address, a URL, a token.
        address: String,
        /// The user's language, such as de-AT.
        #[arg(long)]
        locale: Option<String>,
        /// An attribute for the channel; may be repeated.
        #[arg(long = "attribute", value_name = "NAME=VALUE")]
        attributes: Vec<String>,
        /// The engine that the command sends requests to.
        #[command(flatten)]
        remote: Remote,
    },
    /// List addresses.
    List {
        /// Only addresses of this user.
        user: Option<String>,
        /// How the list is printed.
        #[command(flatten)]
        listing: Listing,
        /// The engine that the command sends requests to.
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
        /// The engine that the command sends requests to.
        #[command(flatten)]
        remote: Remote,
    },
    /// Import addresses from a file: valid lines are written, invalid ones are listed. The columns of a
    /// CSV file are user_id,channel,address[,locale].
    Import {
        /// What is imported.
        #[command(flatten)]
        file: ImportFile,
        /// The engine that the command sends requests to.
        #[command(flatten)]
        remote: Remote,
    },
}

/// `pricedrop notifications`.
#[derive(Debug, Subcommand)]
pub enum Notifications {
    /// List notifications, the oldest first.
    List {
        /// Start at this offset.
        #[arg(long, value_name = "N", default_value_t = 0)]
        from: i64,
        /// Only this partition; by default all, one after the other.
        #[arg(long, value_name = "N")]
        partition: Option<i32>,
        /// How the list is printed.
        #[command(flatten)]
        listing: Listing,
        /// The engine that the command sends requests to.
        #[command(flatten)]
        remote: Remote,
    },
}

/// `pricedrop dlq`.
#[derive(Debug, Subcommand)]
pub enum Dlq {
    /// List dead letters, in order of topic, partition and offset.
    List {
        /// Only those after this id.
        #[arg(long, value_name = "ID")]
        after: Option<DeadLetterId>,
        /// How the list is printed.
        #[command(flatten)]
        listing: Listing,
        /// The engine that the command sends requests to.
        #[command(flatten)]
        remote: Remote,
    },
    /// Print everything about one dead letter, as JSON.
    Show {
        /// Its id, topic/partition/offset, such as price_updates.dlq/3/1881.
        id: DeadLetterId,
        /// The engine that the command sends requests to.
        #[command(flatten)]
        remote: Remote,
    },
    /// Replay dead letters: decide the update or send the notification again.
    Replay {
        /// Their ids, each topic/partition/offset.
        #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
        ids: Vec<DeadLetterId>,
        /// All dead letters that exist now.
        #[arg(long)]
        all: bool,
        /// The engine that the command sends requests to.
        #[command(flatten)]
        remote: Remote,
    },
}

/// `pricedrop buckets`.
#[derive(Debug, Subcommand)]
pub enum Buckets {
    /// Print the active policy and the staged one, as JSON.
    Status {
        /// The engine that the command sends requests to.
        #[command(flatten)]
        remote: Remote,
    },
    /// Rebuild the buckets of a product, or of all, from its watches, and compare them.
    Repair {
        /// The product.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        product: Option<String>,
        /// Every product with more watches than bucketing.bucket_threshold.
        #[arg(long)]
        all: bool,
        /// The engine that the command sends requests to.
        #[command(flatten)]
        remote: Remote,
    },
    /// Rebuild the buckets by the staged policy and make it active.
    Migrate {
        /// The engine that the command sends requests to.
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
        /// The channel: its file in the plugin folder, without .wasm.
        #[arg(long)]
        channel: String,
        /// The recipient's locale, such as de-CH; by default that of the channel.
        #[arg(long)]
        locale: Option<String>,
        /// The recipient's address; by default a sample of the channel's kind.
        #[arg(long)]
        address: Option<String>,
        /// How many products the message is about; more than one makes a digest.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=100))]
        items: u8,
    },
    /// Print the plugins that the running engine has loaded, staged or refused, as JSON.
    List {
        /// The engine that the command sends requests to.
        #[command(flatten)]
        remote: Remote,
    },
}

/// `pricedrop doctor`.
#[derive(Debug, Args)]
pub struct Doctor {
    /// Check only the topics, tables and rights of this role.
    #[arg(long)]
    pub role: Option<Role>,
}

/// `pricedrop config`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Check the configuration and print every problem.
    Check,
    /// Print a complete configuration with every default.
    Example,
    /// Print the JSON Schema of the configuration, for editors.
    Schema,
}

//! The arguments of `pricedrop store`.

use clap::Subcommand;

/// `pricedrop store`.
#[derive(Debug, Subcommand)]
pub enum Store {
    /// Read all files of the store and list the damage, with file and position. Nothing is changed, and
    /// the engine may be running. Ends with exit code 1 if there is damage.
    Check,
    /// Save what can be read into a new store, and keep the damaged one beside it as `store.damaged`.
    /// The engine must be stopped. The disk needs room for two further copies of the store.
    Salvage,
}

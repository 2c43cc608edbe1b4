//! The kinds of rows, each a keyspace of the database.

/// A kind of rows. The names are on disk and must never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    /// Single values: offsets, cursors, times, counters.
    Meta,
    /// Watches by product, threshold, user: the source of truth.
    Watches,
    /// Counts and indexes of each product.
    Products,
    /// Watches by index, bucket, threshold, user.
    Index,
    /// Numbers of indexes that nothing names any more, whose rows are to be deleted.
    DeadIndexes,
    /// Mappings of policies by name and by fingerprint, and the active policy.
    Policies,
    /// Product states.
    States,
    /// Keys of the states that have something pending.
    Unfinished,
    /// `once` watches that were notified, to be deleted.
    Removals,
    /// Blocks of notifications, by the offset of their first notification.
    Outbox,
    /// Dead letters by offset.
    DeadLetters,
    /// Leases and confirmations.
    Leases,
    /// Leases and confirmations, by the time from which they may be deleted.
    Forgettable,
    /// Deliveries to be retried, by key.
    Retries,
    /// Keys of retries, by channel and due time.
    Due,
    /// Addresses of users.
    Recipients,
    /// Updates and dead letters that are not in the archive yet, by topic and offset.
    Unarchived,
}

pub(super) const TABLES: [(Table, &str); 17] = [
    (Table::Meta, "meta"),
    (Table::Watches, "watches"),
    (Table::Products, "products"),
    (Table::Index, "index"),
    (Table::DeadIndexes, "dead_indexes"),
    (Table::Policies, "policies"),
    (Table::States, "states"),
    (Table::Unfinished, "unfinished"),
    (Table::Removals, "removals"),
    (Table::Outbox, "outbox"),
    (Table::DeadLetters, "dead_letters"),
    (Table::Leases, "leases"),
    (Table::Forgettable, "forgettable"),
    (Table::Retries, "retries"),
    (Table::Due, "due"),
    (Table::Recipients, "recipients"),
    (Table::Unarchived, "unarchived"),
];

/// The key of the number of the last commit, in the table of single values.
pub(super) const COMMIT: &[u8] = b"commit";
/// The id of the keyspace of single values: keyspaces are created in the order of [`TABLES`].
pub(super) const META_KEYSPACE: u64 = Table::Meta as u64 + 1;
/// The keyspaces of a database: the tables, and one of the database itself.
pub(super) const KEYSPACES: u64 = TABLES.len() as u64 + 1;

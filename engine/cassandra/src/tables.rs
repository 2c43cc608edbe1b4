//! The tables that pricedrop uses, and their names.

/// A table, by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// The watches.
    Alerts,
    /// The same watches, grouped by bucket.
    Buckets,
    /// Which buckets exist for each product and index.
    Live,
    /// The active bucketing policy, and the one being moved to.
    Policies,
    /// The addresses of users.
    Channels,
    /// Current prices.
    Prices,
}

impl Table {
    /// All tables.
    pub const ALL: [Table; 6] =
        [Table::Alerts, Table::Buckets, Table::Live, Table::Policies, Table::Channels, Table::Prices];

    /// Returns the table's name if no other is configured.
    pub fn default_name(self) -> &'static str {
        match self {
            Table::Alerts => "price_watch_alerts",
            Table::Buckets => "price_watch_buckets",
            Table::Live => "price_watch_live",
            Table::Policies => "bucketing_policies",
            Table::Channels => "user_channels",
            Table::Prices => "product_prices",
        }
    }

    /// Returns the statement that creates it.
    pub(super) fn cql(self) -> &'static str {
        match self {
            Table::Alerts => include_str!("../../../schema/price_watch_alerts.cql"),
            Table::Buckets => include_str!("../../../schema/price_watch_buckets.cql"),
            Table::Live => include_str!("../../../schema/price_watch_live.cql"),
            Table::Policies => include_str!("../../../schema/bucketing_policies.cql"),
            Table::Channels => include_str!("../../../schema/user_channels.cql"),
            Table::Prices => include_str!("../../../schema/product_prices.cql"),
        }
    }

    /// Returns whether an engine that may not read the table refuses to start. `dispatches` says
    /// whether the engine runs the dispatcher.
    pub fn is_read_from_the_start(self, dispatches: bool) -> bool {
        match self {
            Table::Channels => dispatches,
            Table::Prices => false,
            Table::Alerts | Table::Buckets | Table::Live | Table::Policies => true,
        }
    }
}

/// The tables' configured names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tables([String; Table::ALL.len()]);

impl Default for Tables {
    fn default() -> Tables {
        Tables(Table::ALL.map(|table| table.default_name().to_owned()))
    }
}

impl Tables {
    /// Returns the name of a table.
    pub fn name(&self, table: Table) -> &str {
        &self.0[table as usize]
    }

    /// Sets the name of a table.
    pub fn set(&mut self, table: Table, name: impl Into<String>) {
        self.0[table as usize] = name.into();
    }

    /// Returns the default names with this prefix.
    pub fn prefixed(prefix: &str) -> Tables {
        Tables(Table::ALL.map(|table| format!("{prefix}{}", table.default_name())))
    }
}

//! Which tables there are, and what they are called.

/// A table, by what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// The watches.
    Alerts,
    /// Their index by bucket.
    Buckets,
    /// Which buckets exist.
    Live,
    /// Which policy is served.
    Policies,
    /// Where to reach users.
    Channels,
    /// Current prices.
    Prices,
}

impl Table {
    /// Every table.
    pub const ALL: [Table; 6] =
        [Table::Alerts, Table::Buckets, Table::Live, Table::Policies, Table::Channels, Table::Prices];

    /// Its name where no other is configured.
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

    /// The statement that makes it.
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

    /// Whether an engine that may not read it does not start; by what it does.
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
    /// The name of a table.
    pub fn name(&self, table: Table) -> &str {
        &self.0[table as usize]
    }

    /// Gives a table another name.
    pub fn set(&mut self, table: Table, name: impl Into<String>) {
        self.0[table as usize] = name.into();
    }

    /// The same with this before every name.
    pub fn prefixed(prefix: &str) -> Tables {
        Tables(Table::ALL.map(|table| format!("{prefix}{}", table.default_name())))
    }
}

//! All CQL statements, prepared once. Those on the table of watches depend on which columns it
//! has.

use scylla::client::session::Session;
use scylla::errors::{ExecutionError, PrepareError};
use scylla::statement::prepared::PreparedStatement;

use pricedrop_model::ports;

use super::error::{Error, explain};
use super::options::Options;
use super::schema::Existing;
use super::tables::Table;

/// A statement, and the table that it reads or writes.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    pub(super) table: Table,
    pub(super) statement: PreparedStatement,
}

/// Reads of a range of rows of one partition, in order.
pub(super) struct Ranges {
    /// From a threshold on: `[0]` without an upper bound, `[1]` below another threshold.
    pub(super) from: [Prepared; 2],
    /// After a threshold and user: `[0]` without an upper bound, `[1]` below another threshold.
    pub(super) after: [Prepared; 2],
}

/// Statements on the table of watches.
pub(super) struct Alerts {
    pub(super) ranges: Ranges,
    pub(super) insert: Prepared,
    pub(super) delete: Prepared,
    /// The write times of one row.
    pub(super) version: Prepared,
    /// Every product, in no order.
    pub(super) products: Prepared,
    pub(super) columns: AlertColumns,
}

/// Which regular columns the table of watches has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AlertColumns {
    pub(super) mode: bool,
    pub(super) currency: bool,
    pub(super) updated_at: bool,
}

/// Statements on the index by bucket and the policy row.
pub(super) struct Index {
    pub(super) ranges: Ranges,
    pub(super) insert: Prepared,
    pub(super) delete: Prepared,
    pub(super) drop_bucket: Prepared,
    pub(super) live: Prepared,
    pub(super) insert_live: Prepared,
    pub(super) touch: Prepared,
    pub(super) flag_every_drop: Prepared,
    pub(super) flag_crossing: Prepared,
    pub(super) flag_modeless: Prepared,
    pub(super) verify: Prepared,
    pub(super) unverify: Prepared,
    pub(super) drop_live: Prepared,
    /// Every product and index, in no order.
    pub(super) indexed: Prepared,
    pub(super) policies: Prepared,
    pub(super) change_policies: Prepared,
}

/// Statements on the addresses of users.
pub(super) struct Channels {
    pub(super) of_user: Prepared,
    pub(super) one: Prepared,
    pub(super) insert: Prepared,
    pub(super) delete: Prepared,
    /// Every user, in no order.
    pub(super) users: Prepared,
}

/// Statements on current prices.
pub(super) struct Prices {
    pub(super) of: Prepared,
    pub(super) insert: Prepared,
    pub(super) delete: Prepared,
}

/// All statements, as far as their tables exist.
pub(super) struct Statements {
    pub(super) alerts: Alerts,
    pub(super) index: Option<Index>,
    pub(super) channels: Option<Channels>,
    pub(super) prices: Option<Prices>,
}

/// Prepares statements on the tables of one keyspace.
struct Preparing<'a> {
    session: &'a Session,
    options: &'a Options,
}

impl Preparing<'_> {
    async fn prepare(&self, table: Table, cql: impl Into<String>) -> Result<Prepared, Error> {
        let name = self.options.tables.name(table);
        let cql = cql.into().replace("{t}", &format!("\"{}\".\"{name}\"", self.options.keyspace));
        let prepared = self.session.prepare(cql).await;
        let mut statement = prepared.map_err(|error: PrepareError| explain_prepare(name, error))?;
        statement.set_page_size(self.options.page_rows);
        statement.set_is_idempotent(true);
        statement.set_use_cached_result_metadata(true);
        Ok(Prepared { table, statement })
    }

    /// Prepares reads of one partition by range, selecting `columns`.
    async fn ranges(&self, table: Table, columns: &str, partition: &str) -> Result<Ranges, Error> {
        let select = |from: &str, below: &str| {
            format!("SELECT {columns} FROM {{t}} WHERE {partition} AND {from}{below}")
        };
        const FROM: &str = "(price_watch_value) >= (?)";
        const AFTER: &str = "(price_watch_value, user_id) > (?, ?)";
        const BELOW: &str = " AND (price_watch_value) < (?)";
        Ok(Ranges {
            from: [
                self.prepare(table, select(FROM, "")).await?,
                self.prepare(table, select(FROM, BELOW)).await?,
            ],
            after: [
                self.prepare(table, select(AFTER, "")).await?,
                self.prepare(table, select(AFTER, BELOW)).await?,
            ],
        })
    }

    async fn alerts(&self, columns: AlertColumns) -> Result<Alerts, Error> {
        const ROW: &str = "product_id = ? AND price_watch_value = ? AND user_id = ?";
        let table = Table::Alerts;
        let own = columns.names();
        let inserted: String = own.iter().map(|name| format!(", {name}")).collect();
        let marks = ", ?".repeat(own.len());
        let times: String = own.iter().map(|name| format!(", WRITETIME({name}) AS w_{name}")).collect();
        Ok(Alerts {
            ranges: self.ranges(table, &columns.selected(), "product_id = ?").await?,
            insert: self
                .prepare(
                    table,
                    format!(
                        "INSERT INTO {{t}} (product_id, price_watch_value, user_id{inserted}) \
                         VALUES (?, ?, ?{marks}) USING TIMESTAMP ?"
                    ),
                )
                .await?,
            delete: self.prepare(table, format!("DELETE FROM {{t}} USING TIMESTAMP ? WHERE {ROW}")).await?,
            version: self.prepare(table, format!("SELECT user_id{times} FROM {{t}} WHERE {ROW}")).await?,
            products: self.prepare(table, "SELECT DISTINCT product_id FROM {t}").await?,
            columns,
        })
    }

    async fn index(&self) -> Result<Index, Error> {
        const BUCKET: &str = "product_id = ? AND policy = ? AND price_bucket = ? AND shard = ?";
        const PRODUCT: &str = "product_id = ? AND policy = ?";
        let columns = AlertColumns { mode: true, currency: true, updated_at: true };
        let buckets = |cql: &str| self.prepare(Table::Buckets, cql.to_owned());
        let live = |cql: &str| self.prepare(Table::Live, cql.to_owned());
        let set = |what: &str| live(&format!("UPDATE {{t}} USING TIMESTAMP ? SET {what} WHERE {PRODUCT}"));
        Ok(Index {
            ranges: self.ranges(Table::Buckets, &columns.selected(), BUCKET).await?,
            insert: buckets(
                "INSERT INTO {t} (product_id, policy, price_bucket, shard, price_watch_value, user_id, mode, \
                 currency, updated_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
            )
            .await?,
            delete: buckets(&format!(
                "DELETE FROM {{t}} USING TIMESTAMP ? WHERE {BUCKET} AND price_watch_value = ? AND user_id = ?"
            ))
            .await?,
            drop_bucket: buckets(&format!("DELETE FROM {{t}} USING TIMESTAMP ? WHERE {BUCKET}")).await?,
            live: live(&format!(
                "SELECT price_bucket, verified_at, every_drop, crossing, modeless, last_changed FROM {{t}} \
                 WHERE {PRODUCT}"
            ))
            .await?,
            insert_live: live(
                "INSERT INTO {t} (product_id, policy, price_bucket) VALUES (?, ?, ?) USING TIMESTAMP ?",
            )
            .await?,
            touch: set("last_changed = ?").await?,
            flag_every_drop: set("every_drop = true").await?,
            flag_crossing: set("crossing = true").await?,
            flag_modeless: set("modeless = true").await?,
            verify: set("verified_at = ?").await?,
            unverify: set("verified_at = null").await?,
            drop_live: live(&format!("DELETE FROM {{t}} USING TIMESTAMP ? WHERE {PRODUCT}")).await?,
            indexed: live("SELECT DISTINCT product_id, policy, verified_at FROM {t}").await?,
            policies: self
                .prepare(
                    Table::Policies,
                    "SELECT revision, active_name, active_fingerprint, active_index, building_name, \
                     building_fingerprint, building_index FROM {t} WHERE scope = 'watches'",
                )
                .await?,
            change_policies: self
                .prepare(
                    Table::Policies,
                    "UPDATE {t} SET revision = ?, active_name = ?, active_fingerprint = ?, active_index = ?, \
                     building_name = ?, building_fingerprint = ?, building_index = ? \
                     WHERE scope = 'watches' IF revision = ?",
                )
                .await?,
        })
    }

    async fn channels(&self) -> Result<Channels, Error> {
        let prepare = |cql: &str| self.prepare(Table::Channels, cql.to_owned());
        const COLUMNS: &str = "channel, address, locale, attributes";
        const ONE: &str = "user_id = ? AND channel = ? AND address = ?";
        Ok(Channels {
            of_user: prepare(&format!("SELECT {COLUMNS} FROM {{t}} WHERE user_id = ?")).await?,
            one: prepare(&format!("SELECT {COLUMNS} FROM {{t}} WHERE {ONE}")).await?,
            insert: prepare(
                "INSERT INTO {t} (user_id, channel, address, locale, attributes) VALUES (?, ?, ?, ?, ?) \
                 USING TIMESTAMP ?",
            )
            .await?,
            delete: prepare(&format!("DELETE FROM {{t}} USING TIMESTAMP ? WHERE {ONE}")).await?,
            users: prepare("SELECT DISTINCT user_id FROM {t}").await?,
        })
    }

    async fn prices(&self) -> Result<Prices, Error> {
        let prepare = |cql: &str| self.prepare(Table::Prices, cql.to_owned());
        Ok(Prices {
            of: prepare(
                "SELECT price, evaluated_at, floor_kind, floor FROM {t} WHERE product_id = ? AND currency = ?",
            )
            .await?,
            insert: prepare(
                "INSERT INTO {t} (product_id, currency, price, evaluated_at, floor_kind, floor, \
                 source_partition, source_offset) VALUES (?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?",
            )
            .await?,
            delete: prepare("DELETE FROM {t} USING TIMESTAMP ? WHERE product_id = ? AND currency = ?").await?,
        })
    }
}

impl AlertColumns {
    pub(super) fn names(self) -> Vec<&'static str> {
        let all = [(self.mode, "mode"), (self.currency, "currency"), (self.updated_at, "updated_at")];
        all.into_iter().filter(|(there, _)| *there).map(|(_, name)| name).collect()
    }

    /// Returns the columns that a scan selects. A row's version is the write time of its mode:
    /// every row that pricedrop writes has one, and so has every row whose own mode is `once`.
    fn selected(self) -> String {
        let mut selected = "price_watch_value, user_id".to_owned();
        for name in self.names() {
            selected.push_str(", ");
            selected.push_str(name);
        }
        match self {
            AlertColumns { mode: true, .. } => selected.push_str(", WRITETIME(mode) AS write_time"),
            AlertColumns { updated_at: true, .. } => {
                selected.push_str(", WRITETIME(updated_at) AS write_time")
            }
            _ => {}
        }
        selected
    }
}

/// Prepares the statements on all tables that exist.
pub(super) async fn prepare(
    session: &Session,
    options: &Options,
    existing: &Existing,
) -> Result<Statements, Error> {
    let name = |table| options.tables.name(table);
    let has = |table: Table| existing.has(name(table));
    if !has(Table::Alerts) {
        return Err(Error::Schema(
            format!(
                "the keyspace {} has no table {}; run `pricedrop schema apply`",
                options.keyspace,
                name(Table::Alerts)
            )
            .into(),
        ));
    }
    let column = |column| existing.has_column(name(Table::Alerts), column);
    let columns =
        AlertColumns { mode: column("mode"), currency: column("currency"), updated_at: column("updated_at") };
    let preparing = Preparing { session, options };
    let indexed = [Table::Buckets, Table::Live, Table::Policies].into_iter().all(has);
    Ok(Statements {
        alerts: preparing.alerts(columns).await?,
        index: if indexed { Some(preparing.index().await?) } else { None },
        channels: if has(Table::Channels) { Some(preparing.channels().await?) } else { None },
        prices: if has(Table::Prices) { Some(preparing.prices().await?) } else { None },
    })
}

fn explain_prepare(table: &str, error: PrepareError) -> ports::Error {
    explain(table, ExecutionError::PrepareError(error))
}

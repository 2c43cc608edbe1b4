//! Checks for `pricedrop doctor`: may pricedrop's user read and write the tables, and are the
//! nodes' clocks right? Changes nothing.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use pricedrop_model::{Cause, Price, ports};
use scylla::client::session::Session;
use scylla::cluster::Node;
use scylla::errors::DbError;
use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::statement::unprepared::Statement;
use scylla::value::{CqlTimeuuid, CqlValue};

use super::Cassandra;
use super::decimal::to_cql;
use super::error::{Error, database_error};
use super::options::Options;
use super::part::text;
use super::requests::Values;
use super::schema::{Finding, FindingKind};
use super::tables::Table;

/// A node and the difference of its clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeClock {
    /// The address it listens on.
    pub address: String,
    /// How far its clock is ahead of this machine's, in milliseconds, or why that is unknown.
    pub ahead_ms: Result<i64, String>,
}

/// Returns which rights are missing: to read each table, and to modify it. Missing rights to
/// modify are advice, because a notifier works without them.
///
/// # Errors
/// Cassandra is unreachable.
pub async fn rights(options: &Options) -> Result<Vec<Finding>, Error> {
    let session = options.session().await?;
    let mut findings = Vec::new();
    for table in Table::ALL {
        let name = options.tables.name(table);
        let full = format!("\"{}\".\"{name}\"", options.keyspace);
        let read = format!("SELECT * FROM {full} LIMIT 1");
        if refused(&session, read).await? {
            findings.push(missing(table, name, "SELECT", &full));
        }
        // This key is never used, so nothing is deleted.
        if refused(&session, format!("DELETE FROM {full} WHERE {} IF EXISTS", key(table))).await? {
            findings.push(missing(table, name, "MODIFY", &full));
        }
    }
    Ok(findings)
}

impl Cassandra {
    /// Returns the tables that pricedrop's user may not read, each with the reason.
    ///
    /// # Errors
    /// Cassandra is unreachable.
    pub async fn unreadable(&self) -> Result<Vec<(Table, String)>, ports::Error> {
        let statements = &self.0.statements;
        let zero = || Some(CqlValue::Decimal(to_cql(Price::ZERO)));
        let mut samples = vec![(&statements.alerts.version, vec![text(NOBODY), zero(), text(NOBODY)])];
        if let Some(index) = &statements.index {
            let bucket = vec![Some(CqlValue::BigInt(0)), Some(CqlValue::Int(0)), zero()];
            let key = vec![text(NOBODY), text(NOBODY)];
            samples.push((&index.ranges.from[0], [key.clone(), bucket].concat()));
            samples.push((&index.live, key));
            samples.push((&index.policies, Values::new()));
        }
        samples.extend(statements.channels.iter().map(|own| (&own.of_user, vec![text(NOBODY)])));
        samples.extend(statements.prices.iter().map(|own| (&own.of, vec![text(NOBODY), text(NOBODY)])));
        let mut hidden = Vec::new();
        for (statement, key) in samples {
            match self.0.requests.read(statement, &key).await {
                Ok(_) => {}
                Err(ports::Error::Fatal(why)) => hidden.push((statement.table, why.to_string())),
                Err(error) => return Err(error),
            }
        }
        Ok(hidden)
    }
}

/// A name that no product or user has.
const NOBODY: &str = " doctor";

fn missing(of: Table, name: &str, right: &str, full: &str) -> Finding {
    let (what, weight) = match right {
        "MODIFY" => (
            "our role may not change it: fine for a notifier alone, if watches are written elsewhere",
            FindingKind::Advice,
        ),
        _ => ("our role may not read it", FindingKind::Unreadable),
    };
    Finding {
        table: name.to_owned(),
        of: Some(of),
        what: what.to_owned(),
        remedy: format!("GRANT {right} ON TABLE {full} TO our role, where that is meant"),
        weight,
    }
}

/// Returns a condition for a key of this table that is never used.
fn key(table: Table) -> &'static str {
    match table {
        Table::Alerts => "product_id = ' doctor' AND price_watch_value = 0 AND user_id = ' '",
        Table::Buckets => {
            "product_id = ' doctor' AND policy = ' ' AND price_bucket = 0 AND shard = 0 AND price_watch_value = 0 \
             AND user_id = ' '"
        }
        Table::Live => "product_id = ' doctor' AND policy = ' ' AND price_bucket = 0",
        Table::Policies => "scope = ' doctor'",
        Table::Channels => "user_id = ' doctor' AND channel = ' ' AND address = ' '",
        Table::Prices => "product_id = ' doctor' AND currency = ' '",
    }
}

/// Returns whether the user may not run this statement. Other errors of the database are ignored.
async fn refused(session: &Session, cql: String) -> Result<bool, Error> {
    match session.query_unpaged(cql, ()).await {
        Ok(_) => Ok(false),
        Err(error) => match database_error(&error) {
            Some((DbError::Unauthorized, _)) => Ok(true),
            Some(_) => Ok(false),
            None => Err(Error::Unavailable(Cause::new("Cassandra", error))),
        },
    }
}

/// Returns how far the clock of each node is ahead of this machine's. Each node is asked directly.
///
/// # Errors
/// Cassandra is unreachable.
pub async fn clocks(options: &Options) -> Result<Vec<NodeClock>, Error> {
    let session = options.session().await?;
    let mut clocks = Vec::new();
    for node in session.get_cluster_state().get_nodes_info() {
        let ahead_ms = ahead_of_us(&session, node).await;
        clocks.push(NodeClock { address: node.address.to_string(), ahead_ms });
    }
    Ok(clocks)
}

async fn ahead_of_us(session: &Session, node: &Arc<Node>) -> Result<i64, String> {
    let mut ask = Statement::new("SELECT now() FROM system.local");
    let only = SingleTargetLoadBalancingPolicy::new(NodeIdentifier::Node(node.clone()), None);
    ask.set_load_balancing_policy(Some(only));
    let before = now_ms();
    let answer = session.query_unpaged(ask, ()).await.map_err(|error| error.to_string())?;
    let after = now_ms();
    let rows = answer.into_rows_result().map_err(|error| error.to_string())?;
    let (id,) = rows.first_row::<(CqlTimeuuid,)>().map_err(|error| error.to_string())?;
    Ok(ahead(unix_ms(&id), before, after))
}

/// Returns how far `theirs`, which was read between `before` and `after`, is outside of these.
/// All are in milliseconds.
fn ahead(theirs: i64, before: i64, after: i64) -> i64 {
    if theirs > after { theirs - after } else { (theirs - before).min(0) }
}

/// Returns the time of a version 1 UUID, which counts 100 ns since 15 October 1582, in
/// milliseconds since the epoch.
fn unix_ms(id: &CqlTimeuuid) -> i64 {
    const GREGORIAN_TO_UNIX: i64 = 0x01b2_1dd2_1381_4000;
    let bytes = id.as_bytes();
    let part =
        |range: std::ops::Range<usize>| bytes[range].iter().fold(0, |sum, byte| sum << 8 | i64::from(*byte));
    let ticks = (part(6..8) & 0x0fff) << 48 | part(4..6) << 32 | part(0..4);
    (ticks - GREGORIAN_TO_UNIX) / 10_000
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_difference_excludes_the_round_trip() {
        assert_eq!(ahead(1_050, 1_000, 1_100), 0, "told on the way");
        assert_eq!(ahead(1_500, 1_000, 1_100), 400);
        assert_eq!(ahead(600, 1_000, 1_100), -400);
    }

    #[test]
    fn the_time_of_a_timeuuid_is_read() {
        let id: CqlTimeuuid = "c8e2b380-8d4b-11ef-8000-000000000000".parse().expect("it is one");
        assert_eq!(unix_ms(&id), 1_729_254_210_413);
    }
}

//! What doctors ask: may we read and write the tables, and do the nodes'
//! clocks go right? Nothing is changed by it.

use std::time::{SystemTime, UNIX_EPOCH};

use pricedrop_model::{Price, seams};
use scylla::client::session::Session;
use scylla::errors::DbError;
use scylla::value::{CqlTimeuuid, CqlValue};

use super::Cassandra;
use super::decimal::to_cql;
use super::error::{Error, database_error};
use super::options::Options;
use super::requests::Values;
use super::schema::{Finding, Table, Weight};
use super::source::text;

/// A node and its clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeClock {
    /// Where it listens.
    pub address: String,
    /// How far its clock is ahead of ours, milliseconds.
    pub ahead_ms: i64,
}

/// Which rights on the tables are missing: to read each of them, and to change
/// it. Those that the notifier can do without are advice.
///
/// # Errors
/// Cassandra is away.
pub async fn rights(options: &Options) -> Result<Vec<Finding>, Error> {
    let session = options.session().await?;
    let mut findings = Vec::new();
    for table in Table::ALL {
        let name = options.tables.name(table);
        let full = format!("\"{}\".\"{name}\"", options.keyspace);
        let read = format!("SELECT * FROM {full} LIMIT 1");
        if refused(&session, read).await? {
            findings.push(missing(name, "SELECT", &full, Weight::OtherShape));
        }
        // A key that is never used: nothing is there to delete.
        if refused(&session, format!("DELETE FROM {full} WHERE {} IF EXISTS", key(table))).await? {
            findings.push(missing(name, "MODIFY", &full, Weight::Advice));
        }
    }
    Ok(findings)
}

impl Cassandra {
    /// The tables that our role may not read, and why, in words.
    ///
    /// # Errors
    /// Cassandra is away.
    pub async fn unreadable(&self) -> Result<Vec<(Table, String)>, seams::Error> {
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
                Err(seams::Error::Broken(why)) => hidden.push((statement.table, why)),
                Err(error) => return Err(error),
            }
        }
        Ok(hidden)
    }
}

/// A name that nobody uses.
const NOBODY: &str = " doctor";

fn missing(table: &str, right: &str, full: &str, weight: Weight) -> Finding {
    let what = match right {
        "MODIFY" => "our role may not change it: fine for a notifier alone, if watches are written elsewhere",
        _ => "our role may not read it",
    };
    Finding {
        table: table.to_owned(),
        what: what.to_owned(),
        remedy: format!("GRANT {right} ON TABLE {full} TO our role, where that is meant"),
        weight,
    }
}

/// A key of this table that nobody uses.
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

/// Whether our role may not do this; what fails otherwise is not asked here.
async fn refused(session: &Session, cql: String) -> Result<bool, Error> {
    match session.query_unpaged(cql, ()).await {
        Ok(_) => Ok(false),
        Err(error) => match database_error(&error) {
            Some((DbError::Unauthorized, _)) => Ok(true),
            Some(_) => Ok(false),
            None => Err(Error::Unavailable(format!("Cassandra: {error}"))),
        },
    }
}

/// How far the clocks of the nodes that answer are ahead of ours.
///
/// # Errors
/// Cassandra is away.
pub async fn clocks(options: &Options) -> Result<Vec<NodeClock>, Error> {
    let session = options.session().await?;
    let away = |error: &dyn std::fmt::Display| Error::Unavailable(format!("Cassandra: {error}"));
    let before = now_ms();
    let answer =
        session.query_unpaged("SELECT now() FROM system.local", ()).await.map_err(|error| away(&error))?;
    let after = now_ms();
    let address = answer.request_coordinator().connection_address().to_string();
    let rows = answer.into_rows_result().map_err(|error| away(&error))?;
    let (id,) = rows.first_row::<(CqlTimeuuid,)>().map_err(|error| away(&error))?;
    Ok(vec![NodeClock { address, ahead_ms: ahead(unix_ms(&id), before, after) }])
}

/// How far `theirs`, told between `before` and `after`, lies outside of these.
fn ahead(theirs: i64, before: i64, after: i64) -> i64 {
    if theirs > after { theirs - after } else { (theirs - before).min(0) }
}

/// The time of a version 1 UUID: 100 ns since 15 October 1582.
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

//! Creates missing tables and compares existing ones with the expected shape.
//!
//! Invariant: nothing that exists is ever altered. The files in `schema/` are the only
//! description of the tables: they are run to create a table, and read to check one.

use std::collections::BTreeMap;

use pricedrop_model::Cause;
use scylla::client::session::Session;
use scylla::errors::{DbError, ExecutionError};
use scylla::statement::unprepared::Statement;

use super::error::{Error, database_error, may_pass};
use super::options::Options;
use super::tables::Table;

/// How severe a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FindingKind {
    /// It does not exist; `schema apply` creates it.
    Missing,
    /// It has another shape. It is refused and not altered.
    OtherShape,
    /// Pricedrop's user may not read it.
    Unreadable,
    /// It works, but something is not possible without it.
    Advice,
}

/// A difference between a table and what pricedrop expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The name of the table or keyspace.
    pub table: String,
    /// Which table it is. `None` means the keyspace.
    pub of: Option<Table>,
    /// What is wrong.
    pub what: String,
    /// How to correct it.
    pub remedy: String,
    /// How severe it is.
    pub weight: FindingKind,
}

/// A column, as the server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    name: String,
    kind: String,
    /// The position in the partition key or clustering key, from 0; -1 for other columns.
    position: i32,
    cql_type: String,
    descending: bool,
}

/// Returns whether pricedrop can work with a table that lacks this column.
fn is_optional(table: Table, column: &Column) -> bool {
    table == Table::Alerts && column.kind == "regular"
}

/// The columns of the tables that exist, by configured name.
#[derive(Debug, Default)]
pub(super) struct Existing(BTreeMap<String, Vec<Column>>);

impl Existing {
    pub(super) fn has(&self, table: &str) -> bool {
        self.0.contains_key(table)
    }

    pub(super) fn has_column(&self, table: &str, column: &str) -> bool {
        self.0.get(table).is_some_and(|columns| columns.iter().any(|it| it.name == column))
    }

    /// Reads the columns of all tables of a keyspace.
    pub(super) async fn read(session: &Session, keyspace: &str) -> Result<Existing, Error> {
        let statement = "SELECT table_name, column_name, kind, position, type, clustering_order \
                         FROM system_schema.columns WHERE keyspace_name = ?";
        let answer = session.query_unpaged(statement, (keyspace,)).await.map_err(cannot)?;
        let rows = answer.into_rows_result().map_err(misfit)?;
        let rows = rows.rows::<(String, String, String, i32, String, String)>().map_err(misfit)?;
        let mut existing = Existing::default();
        for row in rows {
            let (table, name, kind, position, cql_type, order) = row.map_err(misfit)?;
            let column = Column { name, kind, position, cql_type, descending: order == "desc" };
            existing.0.entry(table).or_default().push(column);
        }
        Ok(existing)
    }
}

/// Creates the keyspace and the tables that are missing. Returns the names of what was created.
///
/// # Errors
/// A table of the same name has another shape (if it existed before, nothing is created), or
/// Cassandra is unreachable or refuses a statement.
pub async fn apply(options: &Options) -> Result<Vec<String>, Error> {
    let session = options.session().await?;
    let before = Existing::read(&session, &options.keyspace).await?;
    refuse_other_shapes(&compare(options, &before))?;
    let mut made = Vec::new();
    if !keyspace_exists(&session, &options.keyspace).await? {
        run(&session, keyspace_cql(options, nodes(&session))).await?;
        made.push(format!("keyspace {}", options.keyspace));
    }
    for table in Table::ALL.into_iter().filter(|&table| !before.has(options.tables.name(table))) {
        run(&session, table_cql(options, table)).await?;
        made.push(format!("table {}.{}", options.keyspace, options.tables.name(table)));
    }
    // Another program may have created a table of the same name meanwhile.
    refuse_other_shapes(&compare(options, &Existing::read(&session, &options.keyspace).await?))?;
    Ok(made)
}

/// Compares the tables with the expected shape.
///
/// # Errors
/// Cassandra is unreachable or refuses the request.
pub async fn check(options: &Options) -> Result<Vec<Finding>, Error> {
    let session = options.session().await?;
    if !keyspace_exists(&session, &options.keyspace).await? {
        return Ok(vec![Finding {
            table: options.keyspace.clone(),
            of: None,
            what: "the keyspace does not exist".into(),
            remedy: "run `pricedrop schema apply`".into(),
            weight: FindingKind::Missing,
        }]);
    }
    Ok(compare(options, &Existing::read(&session, &options.keyspace).await?))
}

pub(super) fn refuse_other_shapes(findings: &[Finding]) -> Result<(), Error> {
    let wrong: Vec<String> = findings
        .iter()
        .filter(|finding| finding.weight == FindingKind::OtherShape)
        .map(|finding| format!("table {}: {}; {}", finding.table, finding.what, finding.remedy))
        .collect();
    if wrong.is_empty() { Ok(()) } else { Err(Error::Schema(wrong.join("\n").into())) }
}

/// Returns all differences, table by table.
pub(super) fn compare(options: &Options, existing: &Existing) -> Vec<Finding> {
    Table::ALL.iter().flat_map(|&table| compare_table(table, options.tables.name(table), existing)).collect()
}

fn compare_table(table: Table, name: &str, existing: &Existing) -> Vec<Finding> {
    let finding = |what: String, remedy: &str, weight| Finding {
        table: name.to_owned(),
        of: Some(table),
        what,
        remedy: remedy.to_owned(),
        weight,
    };
    let Some(columns) = existing.0.get(name) else {
        return vec![finding(
            "it does not exist".into(),
            "run `pricedrop schema apply`",
            FindingKind::Missing,
        )];
    };
    let expected = expected_columns(table);
    let other = "it is not touched: give ours another name in [cassandra], or move it away";
    let mut findings: Vec<Finding> = expected
        .iter()
        .filter_map(|column| match columns.iter().find(|it| it.name == column.name) {
            Some(found) => {
                difference(column, found).map(|what| finding(what, other, FindingKind::OtherShape))
            }
            None if is_optional(table, column) => Some(finding(
                format!("it has no column {}, so {}", column.name, without(&column.name)),
                &format!("ALTER TABLE {name} ADD {} {}", column.name, column.cql_type),
                FindingKind::Advice,
            )),
            None => {
                Some(finding(format!("it has no column {}", column.name), other, FindingKind::OtherShape))
            }
        })
        .collect();
    let strange =
        columns.iter().filter(|it| it.position >= 0 && !expected.iter().any(|own| own.name == it.name));
    findings.extend(
        strange
            .map(|it| finding(format!("its key has a column {}", it.name), other, FindingKind::OtherShape)),
    );
    findings
}

fn without(column: &str) -> &'static str {
    match column {
        "mode" => "every watch has the configured mode, and `once` watches cannot be removed",
        "currency" => "every watch is in the configured currency",
        _ => "a watch counts as written long ago",
    }
}

fn difference(expected: &Column, found: &Column) -> Option<String> {
    let name = &expected.name;
    if found.cql_type != expected.cql_type {
        return Some(format!("its column {name} is {}, not {}", found.cql_type, expected.cql_type));
    }
    if (&found.kind, found.position) != (&expected.kind, expected.position) {
        return Some(format!("its column {name} is {}, not {}", role(found), role(expected)));
    }
    found.descending.then(|| format!("it is sorted by descending {name}"))
}

fn role(column: &Column) -> String {
    match column.kind.as_str() {
        "partition_key" => format!("number {} of the partition key", column.position + 1),
        "clustering" => format!("number {} of the clustering key", column.position + 1),
        other => format!("a {other} column"),
    }
}

/// Returns the columns that a table's file describes.
fn expected_columns(table: Table) -> Vec<Column> {
    let text = table.cql();
    let body = text.split_once("(\n").map_or("", |(_, body)| body);
    let (lines, key) = body.split_once("PRIMARY KEY (").unwrap_or((body, ""));
    let (partition, clustering) = key.trim_start_matches('(').split_once(')').unwrap_or((key, ""));
    let names = |list: &str| -> Vec<String> {
        let list = list.split(')').next().unwrap_or_default();
        list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let (partition, clustering) = (names(partition), names(clustering));
    let place = |name: &str| {
        let at = |list: &[String]| list.iter().position(|it| it == name).map(|at| at as i32);
        match (at(&partition), at(&clustering)) {
            (Some(at), _) => ("partition_key", at),
            (_, Some(at)) => ("clustering", at),
            _ => ("regular", -1),
        }
    };
    let column = |line: &str| {
        let mut words = line.trim().trim_end_matches(',').split(' ');
        let (name, cql_type) = (words.next()?, words.next()?);
        let (kind, position) = place(name);
        let kind = if words.next() == Some("static") { "static" } else { kind };
        let (name, kind, cql_type) = (name.to_owned(), kind.to_owned(), cql_type.to_owned());
        Some(Column { name, kind, position, cql_type, descending: false })
    };
    lines.lines().filter_map(column).collect()
}

fn table_cql(options: &Options, table: Table) -> String {
    let full = format!("\"{}\".\"{}\"", options.keyspace, options.tables.name(table));
    table.cql().replacen(&format!("EXISTS {}", table.default_name()), &format!("EXISTS {full}"), 1)
}

fn keyspace_cql(options: &Options, nodes: usize) -> String {
    let copies = options.replication.unwrap_or_else(|| nodes.clamp(1, 3) as u32);
    let copies = match &options.local_dc {
        Some(dc) => format!("'{}': {copies}", dc.replace('\'', "''")),
        None => format!("'replication_factor': {copies}"),
    };
    format!(
        "CREATE KEYSPACE IF NOT EXISTS \"{}\" WITH replication = {{'class': 'NetworkTopologyStrategy', {copies}}}",
        options.keyspace
    )
}

fn nodes(session: &Session) -> usize {
    session.get_cluster_state().get_nodes_info().len()
}

async fn keyspace_exists(session: &Session, keyspace: &str) -> Result<bool, Error> {
    let statement = "SELECT keyspace_name FROM system_schema.keyspaces WHERE keyspace_name = ?";
    let answer = session.query_unpaged(statement, (keyspace,)).await.map_err(cannot)?;
    Ok(answer.into_rows_result().is_ok_and(|rows| rows.rows_num() > 0))
}

/// Runs a statement that changes the schema, with a longer timeout than requests have.
async fn run(session: &Session, cql: String) -> Result<(), Error> {
    let mut statement = Statement::new(cql);
    statement.set_request_timeout(Some(std::time::Duration::from_millis(super::limits::SCHEMA_MS)));
    session.query_unpaged(statement, ()).await.map(|_| ()).map_err(cannot)
}

fn misfit(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Schema(Cause::new("system_schema.columns", error))
}

fn cannot(error: ExecutionError) -> Error {
    match database_error(&error) {
        Some((DbError::Unauthorized, said)) => {
            let text = format!("Cassandra does not let this user do it: {said}");
            Error::Forbidden(Cause::quoting(text, error))
        }
        Some((_, said)) if !may_pass(&error) => {
            let text = format!("Cassandra refuses: {said}");
            Error::Schema(Cause::quoting(text, error))
        }
        _ => Error::Unavailable(Cause::new("Cassandra", error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_describe_the_keys_in_order() {
        let columns = expected_columns(Table::Buckets);
        let keyed = |kind: &str| -> Vec<&str> {
            columns.iter().filter(|it| it.kind == kind).map(|it| it.name.as_str()).collect()
        };
        assert_eq!(keyed("partition_key"), ["product_id", "policy", "price_bucket", "shard"]);
        assert_eq!(keyed("clustering"), ["price_watch_value", "user_id"]);
        assert_eq!(keyed("regular"), ["mode", "currency", "updated_at"]);
        let live = expected_columns(Table::Live);
        assert_eq!(live.iter().filter(|it| it.kind == "static").count(), 5);
        for table in Table::ALL {
            let columns = expected_columns(table);
            assert_eq!(columns.iter().filter(|it| it.kind == "partition_key" && it.position == 0).count(), 1);
        }
    }

    #[test]
    fn configured_names_are_put_into_the_files() {
        let mut options = Options::new(vec![], "shop");
        options.tables.set(Table::Live, "live2");
        for table in Table::ALL {
            let cql = table_cql(&options, table);
            assert!(cql.contains(&format!("EXISTS \"shop\".\"{}\" (", options.tables.name(table))), "{cql}");
        }
    }
}

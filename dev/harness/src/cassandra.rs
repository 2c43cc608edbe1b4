//! Cassandra as its administrator sees it: statements, one after the other.

use std::time::Duration;

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::unprepared::Statement;
use tokio::runtime::Runtime;

use crate::{Error, PATIENCE, wait_for};

/// A session.
pub struct Cassandra {
    session: Session,
    runtime: Runtime,
}

impl Cassandra {
    /// Connects as a user, in the clear. A server that has just started makes its
    /// first user a while later, so this waits.
    ///
    /// # Errors
    /// It does not let us in.
    pub fn connect(address: &str, user: &str, password: &str) -> Result<Cassandra, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let build = || {
            let builder = SessionBuilder::new().known_node(address).user(user, password);
            runtime.block_on(builder.connection_timeout(PATIENCE).build()).ok()
        };
        let session = wait_for("Cassandra to let us in", build)?;
        Ok(Cassandra { session, runtime })
    }

    /// Runs a statement; changes of the schema and of rights take their time.
    ///
    /// # Errors
    /// It was refused.
    pub fn run(&self, cql: &str) -> Result<(), Error> {
        let mut statement = Statement::new(cql);
        statement.set_request_timeout(Some(Duration::from_secs(120)));
        let ran = self.runtime.block_on(self.session.query_unpaged(statement, ()));
        ran.map(|_| ()).map_err(|error| format!("{cql}: {error}").into())
    }

    /// How many rows a table has, by reading them.
    ///
    /// # Errors
    /// It was refused.
    pub fn rows(&self, table: &str) -> Result<usize, Error> {
        let cql = format!("SELECT * FROM {table}");
        let answer = self.runtime.block_on(self.session.query_unpaged(cql, ()))?;
        Ok(answer.into_rows_result()?.rows_num())
    }
}

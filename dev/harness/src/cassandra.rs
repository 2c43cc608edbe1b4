//! An administrator's session with Cassandra, for single statements.

use std::time::Duration;

use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::unprepared::Statement;
use tokio::runtime::Runtime;

use crate::{Error, TIMEOUT, wait_for};

/// A session.
pub struct Cassandra {
    session: Session,
    runtime: Runtime,
}

impl Cassandra {
    /// Connects as a user, without TLS. A new server creates its first user some time after
    /// it starts to listen, so this retries.
    ///
    /// # Errors
    /// The server refuses the login.
    pub fn connect(address: &str, user: &str, password: &str) -> Result<Cassandra, Error> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let build = || {
            let builder = SessionBuilder::new().known_node(address).user(user, password);
            runtime.block_on(builder.connection_timeout(TIMEOUT).build()).ok()
        };
        let session = wait_for("Cassandra to let us in", build)?;
        Ok(Cassandra { session, runtime })
    }

    /// Runs a statement. Changes of the schema and of permissions may take up to two minutes.
    ///
    /// # Errors
    /// The statement was refused.
    pub fn run(&self, cql: &str) -> Result<(), Error> {
        let mut statement = Statement::new(cql);
        statement.set_request_timeout(Some(Duration::from_secs(120)));
        let ran = self.runtime.block_on(self.session.query_unpaged(statement, ()));
        ran.map(|_| ()).map_err(|error| format!("{cql}: {error}").into())
    }

    /// Counts the rows of a table by reading them.
    ///
    /// # Errors
    /// The statement was refused.
    pub fn rows(&self, table: &str) -> Result<usize, Error> {
        let cql = format!("SELECT * FROM {table}");
        let answer = self.runtime.block_on(self.session.query_unpaged(cql, ()))?;
        Ok(answer.into_rows_result()?.rows_num())
    }
}

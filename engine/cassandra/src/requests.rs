//! Sends requests to Cassandra: limits how many are in progress, measures them, retries them, and
//! translates errors.

use std::time::Instant;

use pricedrop_model::backoff::Backoff;
use pricedrop_model::ports::Error;
use scylla::client::session::Session;
use scylla::errors::ExecutionError;
use scylla::response::query_result::{QueryResult, QueryRowsResult};
use scylla::response::{PagingState, PagingStateResponse};
use scylla::statement::batch::{Batch, BatchType};
use scylla::value::CqlValue;
use tokio::sync::Semaphore;

use super::error::{explain, may_pass, misfit};
use super::limits::{BACKOFF_FIRST_MS, BACKOFF_LAST_MS};
use super::metrics::Metrics;
use super::options::Options;
use super::statements::Prepared;
use super::tables::Table;

/// Values bound to one statement.
pub(super) type Values = Vec<Option<CqlValue>>;

/// One write of a batch.
pub(super) type Write<'a> = (&'a Prepared, Values);

/// Sends all requests of a session.
pub(super) struct Requests {
    session: Session,
    permits: Semaphore,
    attempts: u32,
    tables: super::tables::Tables,
    pub(super) metrics: Metrics,
}

impl Requests {
    pub(super) fn new(session: Session, options: &Options) -> Requests {
        let names = Table::ALL.map(|table| options.tables.name(table).to_owned());
        Requests {
            session,
            permits: Semaphore::new(options.in_flight.max(1)),
            attempts: options.max_attempts.max(1),
            tables: options.tables.clone(),
            metrics: Metrics::new(names),
        }
    }

    pub(super) fn name(&self, table: Table) -> &str {
        self.tables.name(table)
    }

    /// Repeats a request until it succeeds, fails permanently, or has been tried `max_attempts`
    /// times.
    async fn attempt<T, F>(&self, table: Table, request: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, ExecutionError>>,
    {
        let mut backoff = Backoff::from_millis(BACKOFF_FIRST_MS, BACKOFF_LAST_MS);
        for attempt in 1.. {
            let permit = self.permits.acquire().await;
            let answer = request().await;
            drop(permit);
            match answer {
                Ok(answer) => return Ok(answer),
                Err(error) if attempt < self.attempts && may_pass(&error) => {
                    self.metrics.retries.inc();
                    tracing::debug!(table = self.name(table), %error, attempt, "trying a request again");
                }
                Err(error) => return Err(explain(self.name(table), error)),
            }
            tokio::time::sleep(backoff.next_pause()).await;
        }
        unreachable!("the last attempt returns")
    }

    /// Reads one page of a query.
    pub(super) async fn page(
        &self,
        prepared: &Prepared,
        values: &Values,
        state: PagingState,
    ) -> Result<(QueryRowsResult, PagingStateResponse), Error> {
        let request = || {
            let page = self.session.execute_single_page(&prepared.statement, values, state.clone());
            self.measured(prepared.table, page)
        };
        let (result, next) = self.attempt(prepared.table, request).await?;
        Ok((self.rows(prepared.table, result)?, next))
    }

    /// Reads all rows of a query that returns few, in one page.
    pub(super) async fn read(&self, prepared: &Prepared, values: &Values) -> Result<QueryRowsResult, Error> {
        let request =
            || self.measured(prepared.table, self.session.execute_unpaged(&prepared.statement, values));
        let result = self.attempt(prepared.table, request).await?;
        self.rows(prepared.table, result)
    }

    async fn measured<T>(&self, table: Table, request: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let answer = request.await;
        self.metrics.read(table as usize, began.elapsed());
        answer
    }

    fn rows(&self, table: Table, result: QueryResult) -> Result<QueryRowsResult, Error> {
        result.into_rows_result().map_err(misfit(self.name(table)))
    }

    /// Sends a compare-and-set. It is tried once only, because its outcome may be unknown.
    pub(super) async fn compare_and_set(
        &self,
        prepared: &Prepared,
        values: &Values,
    ) -> Result<QueryRowsResult, Error> {
        let answer = self.session.execute_unpaged(&prepared.statement, values).await;
        let result = answer.map_err(|error| explain(self.name(prepared.table), error))?;
        self.rows(prepared.table, result)
    }

    /// Writes all rows or none, as one logged batch.
    pub(super) async fn write(&self, writes: &[Write<'_>]) -> Result<(), Error> {
        self.batch(BatchType::Logged, writes).await
    }

    /// Writes all rows as one unlogged batch. A failure may leave some of them written.
    pub(super) async fn write_each(&self, writes: &[Write<'_>]) -> Result<(), Error> {
        self.batch(BatchType::Unlogged, writes).await
    }

    async fn batch(&self, kind: BatchType, writes: &[Write<'_>]) -> Result<(), Error> {
        let Some((first, values)) = writes.first() else { return Ok(()) };
        if writes.len() == 1 {
            let request = || self.session.execute_unpaged(&first.statement, values);
            return self.attempt(first.table, request).await.map(|_| ());
        }
        let mut batch = Batch::new(kind);
        batch.set_is_idempotent(true);
        for (prepared, _) in writes {
            batch.append_statement(prepared.statement.clone());
        }
        let values: Vec<&Values> = writes.iter().map(|(_, values)| values).collect();
        self.attempt(first.table, || self.session.batch(&batch, &values)).await.map(|_| ())
    }
}

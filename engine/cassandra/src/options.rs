//! Configures how the Cassandra adapters connect and run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use pricedrop_model::time::SystemClock;
use pricedrop_model::{Cause, Clock};
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, MetadataError, NewSessionError,
};
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::FallthroughRetryPolicy;

use super::error::Error;
use super::limits;
use super::tables::Tables;
use super::tls::Tls;

/// How many replicas must answer. Weaker levels would miss acknowledged watches, so they are not
/// offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// A majority of the local data centre.
    #[default]
    LocalQuorum,
    /// A majority of all data centres together.
    Quorum,
    /// Every replica.
    All,
}

impl Consistency {
    fn level(self) -> scylla::statement::Consistency {
        match self {
            Consistency::LocalQuorum => scylla::statement::Consistency::LocalQuorum,
            Consistency::Quorum => scylla::statement::Consistency::Quorum,
            Consistency::All => scylla::statement::Consistency::All,
        }
    }

    /// Returns the level at which compare-and-set is decided.
    fn serial(self) -> scylla::statement::SerialConsistency {
        match self {
            Consistency::LocalQuorum => scylla::statement::SerialConsistency::LocalSerial,
            Consistency::Quorum | Consistency::All => scylla::statement::SerialConsistency::Serial,
        }
    }
}

/// How the adapters connect and run.
#[derive(Clone)]
pub struct Options {
    /// Addresses of the first nodes, `host:port`.
    pub contact_points: Vec<String>,
    /// The data centre whose nodes are preferred. `None` means any.
    pub local_dc: Option<String>,
    /// The keyspace.
    pub keyspace: String,
    /// The names of the tables.
    pub tables: Tables,
    /// How many replicas must answer.
    pub consistency: Consistency,
    /// The user name to log in with. `None` means no authentication.
    pub user: Option<String>,
    /// The password of `user`.
    pub password: Option<String>,
    /// Encryption. `None` means plain text.
    pub tls: Option<Tls>,
    /// The replication factor of a keyspace that `schema apply` creates. `None` means three, or
    /// the number of nodes if that is smaller.
    pub replication: Option<u32>,
    /// Rows of one page of a query.
    pub page_rows: i32,
    /// Requests in progress at once.
    pub in_flight: usize,
    /// Timeout of one attempt of a request, in milliseconds.
    pub request_ms: u64,
    /// Timeout of opening a session, in milliseconds.
    pub connect_ms: u64,
    /// Attempts of one request.
    pub max_attempts: u32,
    /// A product with more watches than this is read by bucket.
    pub bucket_threshold: u64,
    /// Shards (partitions) of each bucket of a new index.
    pub shards: u32,
    /// Rows of the largest product or bucket that is cached as a whole.
    pub snapshot_rows: usize,
    /// Whether other programs write rows into the table of watches. Then every product is read by
    /// the plain range and nothing is cached.
    pub external_writers: bool,
    /// How long an index is kept after another one became active, in milliseconds.
    pub drop_after_ms: u64,
    /// The source of wall time.
    pub clock: Arc<dyn Clock>,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("contact_points", &self.contact_points)
            .field("keyspace", &self.keyspace)
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Returns the defaults, for this keyspace at these nodes.
    pub fn new(contact_points: Vec<String>, keyspace: impl Into<String>) -> Options {
        Options {
            contact_points,
            local_dc: None,
            keyspace: keyspace.into(),
            tables: Tables::default(),
            consistency: Consistency::default(),
            user: None,
            password: None,
            tls: None,
            replication: None,
            page_rows: limits::PAGE_ROWS,
            in_flight: limits::IN_FLIGHT,
            request_ms: limits::REQUEST_MS,
            connect_ms: limits::CONNECT_MS,
            max_attempts: limits::ATTEMPTS,
            bucket_threshold: limits::BUCKET_THRESHOLD,
            shards: 1,
            snapshot_rows: limits::SNAPSHOT_ROWS,
            external_writers: false,
            drop_after_ms: limits::DROP_AFTER_MS,
            clock: Arc::new(SystemClock),
        }
    }

    /// Opens a session. The driver makes one attempt, because this crate retries.
    pub(super) async fn session(&self) -> Result<Session, Error> {
        let request = Duration::from_millis(self.request_ms);
        let balancing = match &self.local_dc {
            Some(dc) => DefaultPolicy::builder().prefer_datacenter(dc.clone()),
            None => DefaultPolicy::builder(),
        };
        let profile = ExecutionProfile::builder()
            .consistency(self.consistency.level())
            .serial_consistency(Some(self.consistency.serial()))
            .request_timeout(Some(request))
            .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
            .load_balancing_policy(balancing.token_aware(true).build())
            .build();
        let mut builder = SessionBuilder::new()
            .known_nodes(&self.contact_points)
            .connection_timeout(request)
            .default_execution_profile_handle(profile.into_handle())
            .keyspaces_to_fetch([self.keyspace.clone()]);
        if let Some(user) = &self.user {
            builder = builder.user(user, self.password.as_deref().unwrap_or_default());
        }
        if let Some(tls) = &self.tls {
            builder = builder.tls_context(Some(tls.config()?));
        }
        let patience = Duration::from_millis(self.connect_ms);
        match tokio::time::timeout(patience, builder.build()).await {
            Ok(built) => built.map_err(|error| self.why_not(error)),
            Err(_) => Err(self.unreachable(format!("no answer within {} ms", self.connect_ms).into())),
        }
    }

    fn unreachable(&self, reason: Cause) -> Error {
        Error::Unreachable { contact_points: self.contact_points.join(", "), reason }
    }

    fn why_not(&self, error: NewSessionError) -> Error {
        if let NewSessionError::MetadataError(MetadataError::ConnectionPoolError(
            ConnectionPoolError::Broken {
                last_connection_error: ConnectionError::ConnectionSetupRequestError(refused),
            },
        )) = &error
            && let ConnectionSetupRequestErrorKind::DbError(_, said) = &refused.error
        {
            let text = format!("Cassandra refuses the connection: {said}; mend user, password or rights");
            return Error::Configuration(Cause::quoting(text, error));
        }
        match error {
            NewSessionError::EmptyKnownNodesList | NewSessionError::IllegalConfig(_) => {
                Error::Configuration(Cause::new("the Cassandra connection is not configured", error))
            }
            other => self.unreachable(Cause::of(other)),
        }
    }
}

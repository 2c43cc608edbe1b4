//! The state that all handlers share.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::api::Api;
use crate::options::Options;

/// Ports, options and limits; clones share them.
#[derive(Clone)]
pub(crate) struct AppState {
    pub(crate) api: Api,
    pub(crate) options: Arc<Options>,
    /// One permit for each request that may be served at a time.
    pub(crate) permits: Arc<Semaphore>,
    /// One permit for each request of health and metrics that may be served at a time.
    pub(crate) health_permits: Arc<Semaphore>,
    /// The host of `http.listen`, without the port.
    pub(crate) host: Arc<str>,
}

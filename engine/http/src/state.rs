//! What handlers share.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::api::Api;
use crate::options::Options;

/// One for all requests.
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) api: Api,
    pub(crate) options: Arc<Options>,
    pub(crate) turns: Arc<Semaphore>,
    /// The host it was told to listen on, without the port.
    pub(crate) host: Arc<str>,
}

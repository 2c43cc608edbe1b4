//! HTTP client of the running engine's API. Only the running engine may open the store,
//! so commands send requests to it.

use std::time::{Duration, Instant};

use pricedrop_http::ProblemBody;
use reqwest::redirect::Policy;
use reqwest::{Method, Response, StatusCode, Url, header};
use serde::de::DeserializeOwned;
use tokio::runtime::Runtime;

use crate::cli::Remote;
use crate::config::Config;
use crate::report::CliError;

/// Timeout for connecting to the engine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout for a response. A batch of writes may have to wait for an fsync.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(120);
/// How long a write is retried while the store is unavailable or busy.
const RETRY_WRITES_FOR: Duration = Duration::from_secs(60);
/// Longest pause before a write is tried again, whatever the response asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Largest body of a response. A page of a list is smaller.
const RESPONSE_BYTES: usize = 64 << 20;
/// Timeout for a migration of all buckets.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
const START_IT: &str = "start it with `pricedrop run`, or name another address with --url or PRICEDROP_URL; \
                        only a running engine may open the store, so this command needs one";
/// The file, in the store's folder, that holds the address of the engine that owns the store.
pub const ADDRESS_FILE: &str = "http.addr";

/// A client of one engine.
pub struct Client {
    runtime: Runtime,
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
    response_timeout: Duration,
}

/// A response: the body and the headers that commands use.
pub struct ApiResponse {
    /// The body.
    pub body: Vec<u8>,
    /// The header `pricedrop-next-offset`.
    pub next_offset: Option<i64>,
    /// The header `pricedrop-partitions`.
    pub partitions: Option<i64>,
}

impl Client {
    /// Returns a client for the engine named on the command line, else for the configured one.
    ///
    /// # Errors
    /// The address or the token is invalid.
    pub fn new(config: &Config, remote: &Remote) -> Result<Client, CliError> {
        let text = match &remote.url {
            Some(url) => url.clone(),
            None => configured_url(config)?,
        };
        let base = Url::parse(&text).ok().filter(|url| url.has_host()).ok_or_else(|| {
            CliError::usage(
                format!("{text:?} is not the URL of an engine"),
                "write it as http://127.0.0.1:8080",
            )
        })?;
        // Fails if the process has a crypto provider already; any provider will do.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let http = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT);
        // A proxy would get the token.
        let http = http.no_proxy().redirect(Policy::none()).build();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let http = http.map_err(|error| CliError::failed(error, ""))?;
        Ok(Client { runtime, http, base, token: config.token()?, response_timeout: RESPONSE_TIMEOUT })
    }

    /// Sets the response timeout to that of a migration of all buckets.
    pub fn with_migration_timeout(self) -> Client {
        Client { response_timeout: MIGRATION_TIMEOUT, ..self }
    }

    /// Sends a GET request and parses the JSON response.
    ///
    /// # Errors
    /// The engine does not respond, or it refuses the request.
    pub fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Result<T, CliError> {
        self.json(Method::GET, path, query, None)
    }

    /// Sends a request and parses the JSON response.
    ///
    /// # Errors
    /// The engine does not respond, or it refuses the request.
    pub fn json<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<Vec<u8>>,
    ) -> Result<T, CliError> {
        let response = self.send(method, path, query, body)?;
        serde_json::from_slice(&response.body).map_err(|error| {
            let remedy = "check that an engine of the same release listens at this address";
            CliError::failed(
                format!("{} sent a response that this command cannot read: {error}", self.base),
                remedy,
            )
        })
    }

    /// Sends a request. A write is retried while the store is unavailable or busy.
    ///
    /// # Errors
    /// The engine does not respond, or it refuses the request.
    pub fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, String)],
        body: Option<Vec<u8>>,
    ) -> Result<ApiResponse, CliError> {
        let mut url = self.base.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let again = method == Method::PUT;
        let mut request = self.http.request(method, url).timeout(self.response_timeout);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        self.runtime.block_on(async {
            let until = Instant::now() + RETRY_WRITES_FOR;
            loop {
                let one = request.try_clone().expect("the body is in memory");
                let response = one.send().await.map_err(|error| self.unreachable(&error))?;
                match retry_after(&response).filter(|_| again && Instant::now() < until) {
                    Some(retry_after) => tokio::time::sleep(retry_after).await,
                    None => return self.read(response).await,
                }
            }
        })
    }

    async fn read(&self, mut response: Response) -> Result<ApiResponse, CliError> {
        let status = response.status();
        let number = |name| response.headers().get(name)?.to_str().ok()?.parse().ok();
        let (next_offset, partitions) = (number("pricedrop-next-offset"), number("pricedrop-partitions"));
        let mut body = Vec::new();
        while let Some(part) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            body.extend_from_slice(&part);
            if body.len() > RESPONSE_BYTES {
                let what = format!("{} sent a response of more than {RESPONSE_BYTES} bytes", self.base);
                return Err(CliError::failed(what, "check that an engine listens at this address"));
            }
        }
        match status.is_success() {
            true => Ok(ApiResponse { body, next_offset, partitions }),
            false => Err(refused(status, &body)),
        }
    }

    fn unreachable(&self, error: &reqwest::Error) -> CliError {
        if error.is_timeout() && !error.is_connect() {
            let what = format!(
                "the engine at {} did not respond within {}",
                self.base,
                duration_text(self.response_timeout)
            );
            return CliError::failed(what, "try again; see the engine's log and /readyz");
        }
        CliError::failed(format!("no engine responds at {}", self.base), START_IT)
    }
}

/// Returns the `retry-after` of a response with status 503: the store is busy or unavailable.
fn retry_after(response: &Response) -> Option<Duration> {
    let busy = response.status() == StatusCode::SERVICE_UNAVAILABLE;
    let seconds =
        response.headers().get(header::RETRY_AFTER).filter(|_| busy)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_PAUSE))
}

fn duration_text(span: Duration) -> String {
    humantime::format_duration(span).to_string()
}

/// Returns the configured URL. With port 0 the engine wrote its address to a file in its folder.
fn configured_url(config: &Config) -> Result<String, CliError> {
    let listen = config.http.listen.as_str().to_owned();
    let address = match listen.ends_with(":0") {
        true => bound_address(config)?,
        false => listen,
    };
    let reachable = address.trim().replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
    Ok(format!("http://{reachable}"))
}

fn bound_address(config: &Config) -> Result<String, CliError> {
    let folder = &config.data.folder;
    std::fs::read_to_string(folder.join(ADDRESS_FILE)).map_err(|_| {
        CliError::failed(format!("no engine is running with the data folder {}", folder.display()), START_IT)
    })
}

fn refused(status: StatusCode, body: &[u8]) -> CliError {
    let Ok(problem) = serde_json::from_slice::<ProblemBody>(body) else {
        return CliError::failed(format!("the engine answered {status}"), "see its log");
    };
    let place = problem.place.map(|place| format!("{place}: ")).unwrap_or_default();
    CliError::failed(format!("{place}{}", problem.error), problem.remedy.unwrap_or_default())
}

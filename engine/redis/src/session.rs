//! A connection to one server: how it is opened, and what the server reports about itself.

use std::fs;
use std::path::Path;
use std::time::Duration;

use pricedrop_model::Cause;
use pricedrop_model::ports::Error;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, ErrorKind, IntoConnectionInfo as _,
    ProtocolVersion, RedisConnectionInfo, RedisError, ServerErrorKind, TlsCertificates,
};

use super::options::{Address, Options, Tls};

/// The oldest major version of Redis. Scripts with flags need it.
const OLDEST: u32 = 7;
/// How many characters of the run id are a part of keys.
const RUN_BYTES: usize = 16;

/// A connection, and the run of the server that it leads to.
#[derive(Clone)]
pub(super) struct Session {
    pub(super) link: MultiplexedConnection,
    /// The run id, which is random for each start of the server process. A restarted or promoted
    /// server may have older data than was answered.
    pub(super) run: String,
    /// The number of this connection within its connection.
    pub(super) number: u64,
}

/// What a server reports about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Its version.
    pub version: String,
    /// Whether it accepts writes.
    pub primary: bool,
    /// Its eviction policy when memory is full. Leases must not be evicted.
    pub eviction: String,
    /// Whether it is a node of a Redis Cluster. The scripts use keys of several slots, which a cluster
    /// refuses.
    pub cluster: bool,
    /// Its run id, random for each start of its process.
    pub run: String,
}

impl Facts {
    fn read(info: &str) -> Facts {
        let field = |name: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or_default().trim().to_owned()
        };
        let own = field("valkey_version");
        Facts {
            version: if own.is_empty() { field("redis_version") } else { own },
            primary: field("role") == "master",
            eviction: field("maxmemory_policy"),
            cluster: field("cluster_enabled") == "1",
            run: field("run_id").chars().take(RUN_BYTES).collect(),
        }
    }
}

impl Facts {
    /// Returns why the server at this address cannot be used. `None` means it can.
    fn unfit(&self, address: &Address) -> Option<Error> {
        let major = self.version.split('.').next()?.parse::<u32>().ok()?;
        if major < OLDEST {
            let text = format!(
                "Redis at {address} is version {}: Redis {OLDEST} or later is needed, or Valkey",
                self.version
            );
            return Some(Error::Fatal(text.into()));
        }
        if self.cluster {
            let text = format!(
                "Redis at {address} is in cluster mode, which is not supported: name a server with `cluster-enabled \
                 no` in redis.addresses"
            );
            return Some(Error::Fatal(text.into()));
        }
        if self.primary {
            return None;
        }
        let text = format!(
            "Redis at {address} is a replica: name its primary in redis.addresses, too, or promote it"
        );
        Some(Error::Unavailable(text.into()))
    }
}

/// The servers, in the order in which they are tried.
pub(super) struct Servers {
    clients: Vec<(Address, Client)>,
    timeout: Duration,
}

impl Servers {
    /// # Errors
    /// A certificate cannot be read, or there is no address.
    pub(super) fn new(options: &Options) -> Result<Servers, Error> {
        let client = |address: &Address| Ok((address.clone(), client(address, options)?));
        let clients = options.addresses.iter().map(client).collect::<Result<Vec<_>, Error>>()?;
        if clients.is_empty() {
            return Err(Error::Fatal("no address of Redis is given".into()));
        }
        Ok(Servers { clients, timeout: Duration::from_millis(options.connect_timeout_ms) })
    }

    /// Connects to the first server that answers and is a primary.
    ///
    /// # Errors
    /// There is none. Returns the error of the last server.
    pub(super) async fn connect(&self, number: u64) -> Result<Session, Error> {
        let mut failed = None;
        for (address, client) in &self.clients {
            match tokio::time::timeout(self.timeout, open(client)).await {
                Err(_) => {
                    failed = Some(Error::Unavailable(format!("Redis at {address} does not answer").into()))
                }
                Ok(Err(error)) => failed = Some(refusal(error, &format!("Redis at {address}"))),
                Ok(Ok((link, facts))) => match facts.unfit(address) {
                    None => return Ok(Session { link, run: facts.run, number }),
                    unfit => failed = unfit,
                },
            }
        }
        Err(failed.unwrap_or_else(|| Error::Fatal("no address of Redis is given".into())))
    }
}

async fn open(client: &Client) -> Result<(MultiplexedConnection, Facts), RedisError> {
    // Every call has a timeout of its own, so the client library needs none.
    let config = AsyncConnectionConfig::new().set_connection_timeout(None).set_response_timeout(None);
    let mut link = client.get_multiplexed_async_connection_with_config(&config).await?;
    let facts = facts(&mut link).await?;
    Ok((link, facts))
}

pub(super) async fn facts(link: &mut MultiplexedConnection) -> Result<Facts, RedisError> {
    let told: String = redis::cmd("INFO").query_async(link).await?;
    Ok(Facts::read(&told))
}

fn client(address: &Address, options: &Options) -> Result<Client, Error> {
    let wrong = |error: RedisError| Error::Fatal(Cause::new(format!("Redis at {address}"), error));
    let addr = match (address, &options.tls) {
        (Address::Unix(path), _) => ConnectionAddr::Unix(path.clone()),
        (Address::Tcp { host, port }, None) => ConnectionAddr::Tcp(host.clone(), *port),
        (Address::Tcp { host, port }, Some(_)) => {
            ConnectionAddr::TcpTls { host: host.clone(), port: *port, insecure: false, tls_params: None }
        }
    };
    // Every version of Redis and Valkey supports RESP2.
    let mut who = RedisConnectionInfo::default()
        .set_db(options.database)
        .set_protocol(ProtocolVersion::RESP2)
        .set_skip_set_lib_name();
    if let Some(user) = &options.user {
        who = who.set_username(user);
    }
    if let Some(password) = &options.password {
        who = who.set_password(password);
    }
    let tcp = TcpSettings::default().set_nodelay(true);
    let info = addr.into_connection_info().map_err(wrong)?.set_redis_settings(who).set_tcp_settings(tcp);
    match (address, &options.tls) {
        (Address::Tcp { .. }, Some(tls)) => Client::build_with_tls(info, certificates(tls)?).map_err(wrong),
        _ => Client::open(info).map_err(wrong),
    }
}

fn certificates(tls: &Tls) -> Result<TlsCertificates, Error> {
    let client_tls = match &tls.client {
        Some((cert, key)) => Some(ClientTlsConfig { client_cert: pem(cert)?, client_key: pem(key)? }),
        None => None,
    };
    Ok(TlsCertificates { client_tls, root_cert: tls.ca_file.as_deref().map(pem).transpose()? })
}

fn pem(path: &Path) -> Result<Vec<u8>, Error> {
    let text = fs::read(path).map_err(|error| Error::Fatal(Cause::new(path.display(), error)))?;
    if !text.windows(11).any(|part| part == b"-----BEGIN ") {
        return Err(Error::Fatal(format!("{}: holds no PEM block", path.display()).into()));
    }
    Ok(text)
}

/// Converts an error of the client library.
pub(super) fn refusal(error: RedisError, whom: &str) -> Error {
    match error.kind() {
        ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig => {
            Error::Fatal(Cause::new(format!("{whom} does not let us in"), error))
        }
        _ if error.code() == Some("NOAUTH") => {
            Error::Fatal(Cause::new(format!("{whom} asks for a password"), error))
        }
        ErrorKind::Server(ServerErrorKind::NoPerm) => {
            let what = format!("{whom} does not let our user do this, see schema/redis.md");
            Error::Fatal(Cause::new(what, error))
        }
        _ => Error::Unavailable(Cause::new(whom, error)),
    }
}

/// Returns whether the connection cannot be used any more, or its server can serve no calls.
pub(super) fn is_lost(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, MasterDown, ReadOnly};
    matches!(error.kind(), ErrorKind::Server(BusyLoading | MasterDown | ReadOnly))
        || error.is_io_error()
        || error.is_unrecoverable_error()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redis_and_valkey_are_identified() {
        let redis = "redis_version:7.0.15\r\nrun_id:0123456789abcdef0123\r\nrole:master\r\n";
        let facts = Facts::read(redis);
        assert_eq!(
            (facts.version.as_str(), facts.run.as_str(), facts.primary),
            ("7.0.15", "0123456789abcdef", true)
        );
        let valkey =
            "redis_version:7.2.4\r\nvalkey_version:8.1.0\r\nrole:slave\r\nmaxmemory_policy:noeviction\r\n";
        let facts = Facts::read(valkey);
        assert_eq!(
            (facts.version.as_str(), facts.eviction.as_str(), facts.primary),
            ("8.1.0", "noeviction", false)
        );
    }
}

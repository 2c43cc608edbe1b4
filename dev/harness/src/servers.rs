//! Kafka, Cassandra, Redis and S3 for tests, started by the scripts of dev/servers: one server
//! of each kind is shared by all tests, and a test may start its own, to kill, pause and
//! restart it. This module uses no client library: each test brings its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::{Error, repository};

/// The kinds of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Apache Kafka, with its own controller.
    Kafka,
    /// Apache Cassandra, one node.
    Cassandra,
    /// Redis, or Valkey.
    Redis,
    /// S3, by versitygw over a folder.
    S3,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Kafka => "kafka",
            Kind::Cassandra => "cassandra",
            Kind::Redis => "redis",
            Kind::S3 => "s3",
        }
    }
}

/// Returns the address of the shared Kafka, `127.0.0.1:port`. All tests share its topics, groups
/// and transactional ids, so a test must use unique names.
///
/// # Panics
/// The server does not start; the message has the script's output.
pub fn kafka() -> String {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    shared(Kind::Kafka, &ADDRESS)
}

/// Returns the address of the shared Cassandra, `127.0.0.1:port`. A test uses a keyspace of
/// its own, and drops it.
///
/// # Panics
/// The server does not start; the message has the script's output.
pub fn cassandra() -> String {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    shared(Kind::Cassandra, &ADDRESS)
}

/// Returns the address of the shared Redis, `127.0.0.1:port`. A test uses a key prefix of its
/// own, and never flushes.
///
/// # Panics
/// The server does not start; the message has the script's output.
pub fn redis() -> String {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    shared(Kind::Redis, &ADDRESS)
}

/// Returns the address of the shared S3 server, `127.0.0.1:port`. Its bucket is `pricedrop`, its
/// access key `admin` with the secret `admin-secret`. A test uses a prefix of its own.
///
/// # Panics
/// The server does not start; the message has the script's output.
pub fn s3() -> String {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    shared(Kind::S3, &ADDRESS)
}

/// Starts the shared server, unless it runs already. The script lets one caller at a time
/// start it. It outlives the tests; `make servers-stop` stops it.
fn shared(kind: Kind, address: &OnceLock<String>) -> String {
    let start = || script("start", &[kind.name(), "--shared"]);
    address
        .get_or_init(|| start().unwrap_or_else(|error| panic!("no {} for tests: {error}", kind.name())))
        .clone()
}

/// A server of one test alone. It is stopped when this value is dropped, or when the process
/// of the test ends for any reason.
#[derive(Debug)]
pub struct Own {
    kind: Kind,
    folder: PathBuf,
    arguments: Vec<String>,
    address: String,
}

impl Own {
    /// Starts a Kafka with its data in this folder.
    ///
    /// # Errors
    /// It does not start; the error has the script's output.
    pub fn kafka(folder: &Path) -> Result<Own, Error> {
        Own::with(Kind::Kafka, folder, &[])
    }

    /// Starts a Cassandra with its data in this folder.
    ///
    /// # Errors
    /// It does not start; the error has the script's output.
    pub fn cassandra(folder: &Path) -> Result<Own, Error> {
        Own::with(Kind::Cassandra, folder, &[])
    }

    /// Starts a Redis with its data in this folder.
    ///
    /// # Errors
    /// It does not start; the error has the script's output.
    pub fn redis(folder: &Path) -> Result<Own, Error> {
        Own::with(Kind::Redis, folder, &[])
    }

    /// Starts a server with users, permissions and TLS, as the `secure` file of its kind in
    /// dev/servers configures them. Kafka has SCRAM on [`Own::listener`] 1, with TLS on 2; Redis has
    /// TLS on 1; Cassandra has everything on its one port.
    ///
    /// # Errors
    /// It does not start; the error has the script's output.
    pub fn secure(kind: Kind, folder: &Path) -> Result<Own, Error> {
        Own::with(kind, folder, &["--secure"])
    }

    /// Starts a server with more options of dev/servers/start, such as `--nodes 3`,
    /// `--extra FILE` or `--user NAME:PASSWORD`.
    ///
    /// # Errors
    /// It does not start; the error has the script's output.
    pub fn with(kind: Kind, folder: &Path, options: &[&str]) -> Result<Own, Error> {
        std::fs::create_dir_all(folder)?;
        let folder = folder.canonicalize()?;
        let owner = std::process::id().to_string();
        let place = folder.to_str().ok_or("the folder's name is not UTF-8")?;
        let fixed = [kind.name(), "--dir", place, "--owner", &owner];
        let arguments = [&fixed, options].concat().into_iter().map(str::to_owned).collect();
        let mut own = Own { kind, folder, arguments, address: String::new() };
        own.start()?;
        Ok(own)
    }

    /// Starts all processes that are not running, on the same ports and data, and waits
    /// until all of them serve.
    ///
    /// # Errors
    /// It does not start; the error has the script's output.
    pub fn start(&mut self) -> Result<(), Error> {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        self.address = script("start", &arguments)?;
        Ok(())
    }

    /// Returns its address, `127.0.0.1:port`; with several nodes all addresses, separated by
    /// commas. A restart does not change it.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the address of another listener of the (first) node: 1, 2 or 3 are `{spare1}`,
    /// `{spare2}` and `{spare3}` of its settings.
    ///
    /// # Panics
    /// The number is not 1, 2 or 3.
    pub fn listener(&self, number: u16) -> String {
        assert!((1..=3).contains(&number), "listeners are 1, 2 and 3");
        let first = self.address.split(',').next().unwrap_or_default();
        let port = first.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
        format!("127.0.0.1:{}", port.expect("the script prints addresses with a port") + 5 + number)
    }

    /// Returns the path of the CA certificate of a secure server, PEM.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("tls/ca.pem")
    }

    /// Returns its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns its folder: data, configuration, log. With several nodes each has a
    /// folder in it, named 1, 2, 3.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns all of its processes, to be stopped, killed or paused together.
    pub fn all(&self) -> Node {
        Node(self.folder.clone())
    }

    /// Returns one of several nodes, counted from 1.
    pub fn node(&self, number: u32) -> Node {
        Node(self.folder.join(number.to_string()))
    }

    /// Stops it in order; the data stays.
    ///
    /// # Errors
    /// It does not stop.
    pub fn stop(&self) -> Result<(), Error> {
        self.all().stop()
    }

    /// Kills it with SIGKILL, as a power cut would.
    ///
    /// # Errors
    /// The system refused.
    pub fn kill(&self) -> Result<(), Error> {
        self.all().kill()
    }

    /// Stops it in order and starts it again.
    ///
    /// # Errors
    /// It does not stop, or does not start.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.stop()?;
        self.start()
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Processes of an own server. After a stop or kill, [`Own::start`] starts them again.
#[derive(Debug, Clone)]
pub struct Node(PathBuf);

impl Node {
    /// Stops them in order.
    ///
    /// # Errors
    /// They do not stop.
    pub fn stop(&self) -> Result<(), Error> {
        self.run("stop", &[])
    }

    /// Kills them with SIGKILL, and waits until they have ended.
    ///
    /// # Errors
    /// The system refused.
    pub fn kill(&self) -> Result<(), Error> {
        self.run("signal", &["KILL"])
    }

    /// Suspends them with SIGSTOP: connections stay open, but get no response.
    ///
    /// # Errors
    /// The system refused.
    pub fn pause(&self) -> Result<(), Error> {
        self.run("signal", &["STOP"])
    }

    /// Continues them with SIGCONT.
    ///
    /// # Errors
    /// The system refused.
    pub fn resume(&self) -> Result<(), Error> {
        self.run("signal", &["CONT"])
    }

    fn run(&self, name: &str, arguments: &[&str]) -> Result<(), Error> {
        let folder = self.0.to_str().ok_or("the folder's name is not UTF-8")?;
        script(name, &[arguments, &[folder]].concat()).map(|_| ())
    }
}

/// Runs a script of dev/servers, and returns its output.
fn script(name: &str, arguments: &[&str]) -> Result<String, Error> {
    let mut command = Command::new(repository().join("dev/servers").join(name));
    let output = command.args(arguments).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

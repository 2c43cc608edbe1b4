//! Kafka, Cassandra, Redis and S3 for tests, by the scripts of dev/servers: one of
//! each that all tests share, and own ones that a test may kill, pause and start
//! again. Knows no client library: a test brings its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::{Error, repository};

/// What there are servers of.
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

/// Where the shared Kafka listens, `127.0.0.1:port`. Topics, groups and
/// transactional ids are for all: a test uses names of its own.
///
/// # Panics
/// It cannot be had: what the script said.
pub fn kafka() -> String {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    shared(Kind::Kafka, &ADDRESS)
}

/// Where the shared Cassandra listens, `127.0.0.1:port`. A test uses a keyspace
/// of its own, and drops it.
///
/// # Panics
/// It cannot be had: what the script said.
pub fn cassandra() -> String {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    shared(Kind::Cassandra, &ADDRESS)
}

/// Where the shared Redis listens, `127.0.0.1:port`. A test uses a key prefix of
/// its own, and never flushes.
///
/// # Panics
/// It cannot be had: what the script said.
pub fn redis() -> String {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    shared(Kind::Redis, &ADDRESS)
}

/// Where the shared S3 server listens, `127.0.0.1:port`. Its bucket is `pricedrop`, its
/// access key `admin` with the secret `admin-secret`; a test uses a prefix of its own.
///
/// # Panics
/// It cannot be had: what the script said.
pub fn s3() -> String {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    shared(Kind::S3, &ADDRESS)
}

/// Starts it, unless it serves already: the script sees to that, one caller at
/// a time. It outlives the tests; `make servers-stop` ends it.
fn shared(kind: Kind, address: &OnceLock<String>) -> String {
    let start = || script("start", &[kind.name(), "--shared"]);
    address
        .get_or_init(|| start().unwrap_or_else(|error| panic!("no {} for tests: {error}", kind.name())))
        .clone()
}

/// A server of one test alone. It ends with this value, or with the test's
/// process, whatever ends that.
#[derive(Debug)]
pub struct Own {
    kind: Kind,
    folder: PathBuf,
    arguments: Vec<String>,
    address: String,
}

impl Own {
    /// A Kafka whose data lies in this folder.
    ///
    /// # Errors
    /// It does not start: what it said.
    pub fn kafka(folder: &Path) -> Result<Own, Error> {
        Own::with(Kind::Kafka, folder, &[])
    }

    /// A Cassandra whose data lies in this folder.
    ///
    /// # Errors
    /// It does not start: what it said.
    pub fn cassandra(folder: &Path) -> Result<Own, Error> {
        Own::with(Kind::Cassandra, folder, &[])
    }

    /// A Redis whose data lies in this folder.
    ///
    /// # Errors
    /// It does not start: what it said.
    pub fn redis(folder: &Path) -> Result<Own, Error> {
        Own::with(Kind::Redis, folder, &[])
    }

    /// With users, rights and TLS, as the `secure` file of its kind in dev/servers
    /// says. Kafka speaks SCRAM on [`Own::listener`] 1, and over TLS on 2; Redis
    /// TLS on 1; Cassandra all on its one port.
    ///
    /// # Errors
    /// It does not start: what it said.
    pub fn secure(kind: Kind, folder: &Path) -> Result<Own, Error> {
        Own::with(kind, folder, &["--secure"])
    }

    /// With further options of dev/servers/start, such as `--nodes 3`,
    /// `--extra FILE` or `--user NAME:PASSWORD`.
    ///
    /// # Errors
    /// It does not start: what it said.
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

    /// Starts what is not running, on the same ports and data, and waits until
    /// all of it serves.
    ///
    /// # Errors
    /// It does not start: what it said.
    pub fn start(&mut self) -> Result<(), Error> {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        self.address = script("start", &arguments)?;
        Ok(())
    }

    /// Where it listens, `127.0.0.1:port`; with several nodes all of them,
    /// comma between. Stays the same over restarts.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where another of its listeners is, or its first node's: 1, 2 or 3 stand
    /// for `{spare1}` and so on of its settings.
    ///
    /// # Panics
    /// There is no such listener.
    pub fn listener(&self, number: u16) -> String {
        assert!((1..=3).contains(&number), "listeners are 1, 2 and 3");
        let first = self.address.split(',').next().unwrap_or_default();
        let port = first.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
        format!("127.0.0.1:{}", port.expect("the script prints addresses with a port") + 5 + number)
    }

    /// The certificate of the authority that a secure one's is from, PEM.
    pub fn authority(&self) -> PathBuf {
        self.folder.join("tls/ca.pem")
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Its folder: data, configuration, log; with several nodes a folder each,
    /// named 1, 2, 3.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// All of its processes, to be stopped, killed or paused together.
    pub fn all(&self) -> Node {
        Node(self.folder.clone())
    }

    /// One of several, counted from 1.
    pub fn node(&self, number: u32) -> Node {
        Node(self.folder.join(number.to_string()))
    }

    /// Ends it in order; the data stays.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(&self) -> Result<(), Error> {
        self.all().stop()
    }

    /// Kills it as a power cut would.
    ///
    /// # Errors
    /// The system refused.
    pub fn kill(&self) -> Result<(), Error> {
        self.all().kill()
    }

    /// Ends it in order and starts it again.
    ///
    /// # Errors
    /// It does not end, or not start.
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

/// Processes of an own server. After a stop or kill [`Own::start`] brings them back.
#[derive(Debug, Clone)]
pub struct Node(PathBuf);

impl Node {
    /// Ends them in order.
    ///
    /// # Errors
    /// They do not end.
    pub fn stop(&self) -> Result<(), Error> {
        self.run("stop", &[])
    }

    /// Kills them, as `kill -9`, and waits until they are gone.
    ///
    /// # Errors
    /// The system refused.
    pub fn kill(&self) -> Result<(), Error> {
        self.run("signal", &["KILL"])
    }

    /// Pauses them where they are, as SIGSTOP: connections stay, answers do not come.
    ///
    /// # Errors
    /// The system refused.
    pub fn pause(&self) -> Result<(), Error> {
        self.run("signal", &["STOP"])
    }

    /// Lets them go on, as SIGCONT.
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

/// Runs a script of dev/servers; what it printed.
fn script(name: &str, arguments: &[&str]) -> Result<String, Error> {
    let mut command = Command::new(repository().join("dev/servers").join(name));
    let output = command.args(arguments).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

//! Creates home folders of engines that use the shared test servers. The names of their topics and
//! Redis keys are unique.

use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};

use pricedrop_harness::{Home, servers};
use tempfile::TempDir;

/// An address at which nothing listens.
pub const NOWHERE: &str = "127.0.0.1:9";

/// A configuration for the shared servers.
#[derive(Debug, Clone)]
pub struct Setting {
    /// The unique prefix of all names.
    pub name: String,
    /// The bootstrap servers of Kafka.
    pub kafka: String,
    /// A contact point of Cassandra.
    pub cassandra: String,
    /// The address of Redis.
    pub redis: String,
    /// The value of `stores.cache`.
    pub cache: &'static str,
    /// More lines of the configuration: `[stream]`, `[rules]`, `[topics]`, ...
    pub more: String,
    /// The number of partitions of new topics.
    pub partitions: u32,
    /// The name of the states topic.
    pub state: String,
    /// The name of the table of watches.
    pub alerts: String,
}

impl Setting {
    /// Returns a setting for all three shared servers.
    pub fn new() -> Setting {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Servers outlive processes, and process ids are reused.
        let started = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        let name = format!("cli-{started}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        Setting {
            kafka: servers::kafka(),
            cassandra: servers::cassandra(),
            redis: servers::redis(),
            cache: "redis",
            more: String::new(),
            partitions: 2,
            state: format!("{name}.state"),
            alerts: "price_watch_alerts".into(),
            name,
        }
    }

    fn text(&self) -> String {
        let Setting { name, kafka, cassandra, redis, cache, more, partitions, state, alerts } = self;
        format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n[data]\nfolder = \"data\"\n\
             [stores]\nlog = \"kafka\"\ncache = {cache:?}\n\
             [kafka]\n\"bootstrap.servers\" = {kafka:?}\n\"session.timeout.ms\" = 6000\n\
             [topics]\npartitions = {partitions}\nreplication = 1\n\
             updates = \"{name}.prices\"\nnotifications = \"{name}.told\"\nstate = {state:?}\n\
             removals = \"{name}.removals\"\nretries = \"{name}.retry\"\n\
             update_dlq = \"{name}.dead\"\nnotification_dlq = \"{name}.failed\"\n\
             [cassandra]\ncontact_points = [{cassandra:?}]\nkeyspace = \"pricedrop_cli\"\nreplication = 1\n\
             alerts = {alerts:?}\nconnect_timeout = \"30s\"\ntimeout = \"10s\"\n\
             [redis]\naddresses = [{redis:?}]\nprefix = {name:?}\ntimeout = \"5s\"\n\
             {more}"
        )
    }

    /// Creates a home with this configuration and the console's plugin.
    pub fn home(&self) -> (TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::create(env!("CARGO_BIN_EXE_pricedrop"), folder.path(), &self.text()).unwrap();
        home.install("channel-console", "channel-console").unwrap();
        (folder, home)
    }

    /// Returns a setting with the same names and more configuration.
    pub fn with(&self, more: &str) -> Setting {
        Setting { more: format!("{}\n{more}", self.more), ..self.clone() }
    }

    /// Creates its topics and tables.
    pub fn prepared(self) -> Setting {
        let (_folder, home) = self.home();
        home.run(&["topics", "apply"]).unwrap();
        home.run(&["schema", "apply"]).unwrap();
        self
    }

    /// Returns the output of a command, without the names that differ from run to run.
    pub fn in_words(&self, output: &Output) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        let report =
            format!("{}--- standard error, exit code {code}\n{}", text(&output.stdout), text(&output.stderr));
        let report = report.replace(&self.name, "NAME").replace(&self.kafka, "KAFKA");
        report.replace(&self.cassandra, "CASSANDRA").replace(&self.redis, "REDIS")
    }
}

/// Runs a command, and returns its output.
pub fn run_cli(setting: &Setting, home: &Home, arguments: &[&str]) -> String {
    setting.in_words(&home.command(arguments).output().unwrap())
}

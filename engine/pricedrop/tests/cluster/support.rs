//! Homes of engines on the shared servers, each with names of its own.

use std::process::Output;
use std::sync::atomic::{AtomicU32, Ordering};

use pricedrop_harness::{Home, servers};
use tempfile::TempDir;

/// Where nothing listens.
pub const NOWHERE: &str = "127.0.0.1:9";

/// A configuration for the shared servers.
#[derive(Debug, Clone)]
pub struct Setting {
    /// Before every name, and of this test alone.
    pub name: String,
    /// Where Kafka is.
    pub kafka: String,
    /// Where Cassandra is.
    pub cassandra: String,
    /// Where Redis is.
    pub redis: String,
    /// Where watches are cached.
    pub cache: &'static str,
    /// `[stream]`, `[rules]`, `[topics]`, ... beyond the names.
    pub more: String,
    /// Partitions of new topics.
    pub partitions: u32,
    /// The topic of states.
    pub state: String,
    /// The table of watches.
    pub alerts: String,
}

impl Setting {
    /// On all three shared servers.
    pub fn new() -> Setting {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Servers outlive processes, and numbers of processes come again.
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

    /// A folder with this configuration and the console's plugin.
    pub fn home(&self) -> (TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::furnish(env!("CARGO_BIN_EXE_pricedrop"), folder.path(), &self.text()).unwrap();
        home.install("channel-console", "channel-console").unwrap();
        (folder, home)
    }

    /// Another folder with the same names, and this added.
    pub fn with(&self, more: &str) -> Setting {
        Setting { more: format!("{}\n{more}", self.more), ..self.clone() }
    }

    /// Its topics and tables are made.
    pub fn prepared(self) -> Setting {
        let (_folder, home) = self.home();
        home.run(&["topics", "apply"]).unwrap();
        home.run(&["schema", "apply"]).unwrap();
        self
    }

    /// What was said, without the names that differ from run to run.
    pub fn in_words(&self, output: &Output) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let code = output.status.code().unwrap_or(-1);
        let said =
            format!("{}--- standard error, exit code {code}\n{}", text(&output.stdout), text(&output.stderr));
        let said = said.replace(&self.name, "NAME").replace(&self.kafka, "KAFKA");
        said.replace(&self.cassandra, "CASSANDRA").replace(&self.redis, "REDIS")
    }
}

/// What a command said.
pub fn told(setting: &Setting, home: &Home, arguments: &[&str]) -> String {
    setting.in_words(&home.command(arguments).output().unwrap())
}

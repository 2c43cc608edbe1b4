//! Servers with users, permissions and TLS, which all tests here share.

use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

use pricedrop_harness::acls::{self, Acl};
use pricedrop_harness::cassandra::Cassandra;
use pricedrop_harness::servers::{Kind, Own};
use pricedrop_harness::{Home, redis};
use tempfile::TempDir;

use crate::documented_rights::{self, Right};

/// The password of all users, which no output may contain.
pub const PASSWORD: &str = "hunter2-never-shown";

/// The three servers.
pub struct Servers {
    kafka: Own,
    cassandra: Own,
    redis: Own,
    _folder: TempDir,
}

/// Returns the ACLs of the engine's user, without duplicates.
pub fn engine_rights() -> Vec<Right> {
    let mut rights: Vec<Right> = Vec::new();
    for right in documented_rights::kafka().into_iter().filter(|right| !right.who.contains("topics apply")) {
        if !rights.iter().any(|known| known.acl == right.acl) {
            rights.push(right);
        }
    }
    rights
}

/// Returns the user who lacks the ACL of this number.
pub fn lacking(number: usize) -> String {
    format!("lacking-{number}")
}

/// Starts the servers once; they end with this process. Only one test at a time may use them,
/// because all engines are in one group.
pub fn servers() -> MutexGuard<'static, Servers> {
    static SERVERS: LazyLock<Mutex<Servers>> = LazyLock::new(|| Mutex::new(Servers::start()));
    SERVERS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Servers {
    fn start() -> Servers {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let rights = engine_rights();
        let mut users = vec!["maker".to_owned(), "engine".into(), "notifier".into()];
        users.extend((0..rights.len()).map(lacking));
        let users: Vec<String> = users.into_iter().map(|user| format!("{user}:{PASSWORD}")).collect();
        let mut options = vec!["--secure"];
        options.extend(users.iter().flat_map(|user| ["--user", user]));
        let (kafka, cassandra) = std::thread::scope(|threads| {
            let kafka = threads.spawn(|| Own::with(Kind::Kafka, &at("kafka"), &options).unwrap());
            let cassandra = threads.spawn(|| Own::secure(Kind::Cassandra, &at("cassandra")).unwrap());
            (kafka.join().unwrap(), cassandra.join().unwrap())
        });
        let redis = Own::secure(Kind::Redis, &at("redis")).unwrap();
        let servers = Servers { kafka, cassandra, redis, _folder: folder };
        servers.in_kafka(&rights);
        servers.in_redis();
        servers.in_cassandra();
        servers
    }

    fn in_kafka(&self, rights: &[Right]) {
        let all = documented_rights::kafka();
        let mut acls: Vec<Acl> =
            documented_rights::for_user(&all, "maker", |who| who.contains("topics apply"));
        acls.extend(documented_rights::for_user(rights, "engine", |_| true));
        acls.extend(documented_rights::for_user(&all, "notifier", |who| {
            who == "notifier" || who.starts_with("start")
        }));
        for number in 0..rights.len() {
            let mut fewer = rights.to_vec();
            fewer.remove(number);
            acls.extend(documented_rights::for_user(&fewer, &lacking(number), |_| true));
        }
        acls.sort_by_key(|acl| format!("{acl:?}"));
        acls.dedup();
        acls::grant(self.kafka.address(), &acls).unwrap();
        let (_folder, home) = self.home(&Who { kafka: "maker", ..Who::default() });
        home.run(&["topics", "apply"]).unwrap();
    }

    fn in_redis(&self) {
        let admin = "AUTH admin admin-secret".to_owned();
        redis::administer(self.redis.address(), &[admin, documented_rights::redis("engine", PASSWORD)])
            .unwrap();
    }

    /// Creates the roles in Cassandra. The role that creates the tables is the first in the document;
    /// the other roles are granted permissions on existing tables.
    fn in_cassandra(&self) {
        let admin = self.admin();
        for (number, role) in documented_rights::cassandra(PASSWORD).into_iter().enumerate() {
            role.iter().for_each(|statement| admin.run(statement).unwrap());
            if number == 0 {
                let (_folder, home) = self.home(&Who { cassandra: "pricedrop_schema", ..Who::default() });
                home.run(&["schema", "apply"]).unwrap();
            }
        }
    }

    /// Connects as the administrator of Cassandra.
    pub fn admin(&self) -> Cassandra {
        Cassandra::connect(self.cassandra.address(), "cassandra", "cassandra").unwrap()
    }

    /// Runs commands as the administrator of Redis.
    pub fn in_redis_do(&self, commands: &[String]) {
        let admin = ["AUTH admin admin-secret".to_owned()];
        redis::administer(self.redis.address(), &[&admin, commands].concat()).unwrap();
    }

    /// Creates a home with a configuration for these users, with their passwords in files.
    pub fn home(&self, who: &Who<'_>) -> (TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path();
        let password = |server: &str| {
            let file = place.join(format!("{server}.password"));
            let text = if who.wrong_password == Some(server) { "hunter3-wrong" } else { PASSWORD };
            std::fs::write(&file, format!("{text}\n")).unwrap();
            file
        };
        let ca = |server: &str, own: &Own| match who.wrong_authority == Some(server) {
            true if server == "redis" => self.kafka.authority(),
            true => self.redis.authority(),
            false => own.authority(),
        };
        let shown = |file: PathBuf| format!("{:?}", file.to_str().unwrap());
        let text = format!(
            "[http]\nlisten = \"127.0.0.1:0\"\n[data]\nfolder = \"data\"\n\
             [stores]\nlog = \"kafka\"\ncache = \"redis\"\n[topics]\npartitions = 2\nreplication = 1\n\
             [kafka]\n\"bootstrap.servers\" = \"{}\"\n\"session.timeout.ms\" = 6000\n\
             \"security.protocol\" = \"SASL_SSL\"\n\"sasl.mechanism\" = \"SCRAM-SHA-512\"\n\
             \"sasl.username\" = \"{}\"\n\"sasl.password_file\" = {}\n\"ssl.ca.location\" = {}\n\
             [cassandra]\ncontact_points = [\"{}\"]\nreplication = 1\nuser = \"{}\"\npassword_file = {}\n\
             tls = true\nca_file = {}\nconnect_timeout = \"30s\"\ntimeout = \"10s\"\n\
             [redis]\naddresses = [\"{}\"]\nuser = \"{}\"\npassword_file = {}\ntls = true\nca_file = {}\n\
             timeout = \"5s\"\n\
             [stream]\nstart = \"latest\"\n[rules]\nfirst_price = \"notify\"\n{}",
            self.kafka.listener(2),
            who.kafka,
            shown(password("kafka")),
            shown(ca("kafka", &self.kafka)),
            self.cassandra.address(),
            who.cassandra,
            shown(password("cassandra")),
            shown(ca("cassandra", &self.cassandra)),
            self.redis.listener(1),
            who.redis,
            shown(password("redis")),
            shown(ca("redis", &self.redis)),
            who.more,
        );
        let home = Home::create(env!("CARGO_BIN_EXE_pricedrop"), place, &text).unwrap();
        home.install("channel-console", "channel-console").unwrap();
        (folder, home)
    }
}

/// The users of a configuration, and what is wrong with them.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    pub kafka: &'a str,
    pub cassandra: &'a str,
    pub redis: &'a str,
    pub wrong_password: Option<&'a str>,
    pub wrong_authority: Option<&'a str>,
    pub more: &'a str,
}

impl Default for Who<'_> {
    fn default() -> Self {
        Who {
            kafka: "engine",
            cassandra: "pricedrop",
            redis: "engine",
            wrong_password: None,
            wrong_authority: None,
            more: "",
        }
    }
}

/// Returns the output of a command, and checks that it contains no secret.
pub fn run_cli(home: &Home, arguments: &[&str]) -> String {
    let output = home.command(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().unwrap_or(-1);
    let output = format!("{}{}exit code {code}", text(&output.stdout), text(&output.stderr));
    no_secret(&output);
    output
}

/// Checks that a text contains neither password.
pub fn no_secret(text: &str) {
    assert!(!text.contains(PASSWORD) && !text.contains("hunter3-wrong"), "a secret: {text}");
}

/// Returns the log of an engine.
pub fn log(folder: &Path) -> String {
    let log = std::fs::read_to_string(folder.join("engine.log")).unwrap_or_default();
    no_secret(&log);
    log
}

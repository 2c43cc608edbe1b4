//! Finds values that are valid alone but contradict each other.

use super::key::key;
use super::servers::Access;
use super::tables::{Cassandra, Redis, Stream, Topics};
use super::{Config, Problem};

impl Config {
    /// Returns every contradiction.
    pub(super) fn contradictions(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.of_dispatch(&mut problems);
        self.of_stores(&mut problems);
        self.of_servers(&mut problems);
        problems
    }

    fn of_dispatch(&self, problems: &mut Vec<Problem>) {
        if self.dispatch.backoff_initial > self.dispatch.backoff_max {
            let (initial, max) = (key!(dispatch.backoff_initial), key!(dispatch.backoff_max));
            let message = format!("{initial} is longer than {max}");
            problems.push(problem(message, &format!("make {max} at least as long as {initial}")));
        }
        if self.data.confirmation_retention < self.dispatch.max_age {
            let (kept, tried) = (key!(data.confirmation_retention), key!(dispatch.max_age));
            let message = format!(
                "{kept} is shorter than {tried}: a delivery could be repeated after its confirmation has expired"
            );
            problems.push(problem(message, &format!("make {kept} at least as long as {tried}")));
        }
    }

    /// Checks for stores that cannot be combined, and for tables of servers that are not used.
    fn of_stores(&self, problems: &mut Vec<Problem>) {
        let stores = &self.stores;
        if !stores.kafka() {
            for (name, on) in [
                (key!(stores.watches), stores.cassandra()),
                (key!(stores.leases), stores.redis_leases()),
                (key!(stores.cache), stores.redis_cache()),
            ] {
                if on {
                    let message = format!("{name} names a server, but stores.log is \"embedded\"");
                    problems.push(problem(message, "set stores.log = \"kafka\", or omit [stores]: an embedded log requires that all stores are embedded"));
                }
            }
        } else if stores.redis_cache() && !stores.cassandra() {
            let message = "stores.cache is \"redis\", but stores.watches is \"embedded\"".to_owned();
            problems.push(problem(message, "set stores.watches = \"cassandra\", or stores.cache = \"none\": embedded watches need no cache"));
        }
        let kafka =
            self.stream != Stream::default() || self.topics != Topics::default() || !self.kafka.is_empty();
        let cassandra = self.cassandra != Cassandra::default();
        let redis = self.redis != Redis::default();
        let tables = [
            ("[kafka], [stream] or [topics]", kafka, stores.kafka(), "stores.log = \"kafka\""),
            ("[cassandra]", cassandra, stores.cassandra(), "stores.watches = \"cassandra\""),
            ("[redis]", redis, stores.redis(), "stores.leases or stores.cache to \"redis\""),
        ];
        for (table, written, used, remedy) in tables {
            if written && !used {
                let message = format!("{table} is set, but that server is not used");
                problems.push(problem(message, &format!("set {remedy}, or remove the table")));
            }
        }
    }

    fn of_servers(&self, problems: &mut Vec<Problem>) {
        let secrets = [
            self.http_token(),
            self.cassandra_password(),
            self.redis_password(),
            self.address_secret(),
            self.archive_secret(),
        ];
        for keys in secrets.iter().filter(|keys| keys.are_both_set()) {
            let (file, env) = keys.names();
            problems.push(problem(format!("{file} and {env} are both set"), "set only one of them"));
        }
        of_access(&self.cassandra_access(), problems);
        of_access(&self.redis_access(), problems);
        if self.cassandra.user.is_none() && self.cassandra_password().is_set() {
            problems.push(problem("cassandra has a password, but no user".into(), "set cassandra.user"));
        }
        if self.archive.access_key_id.is_some() != self.archive_secret().is_set() {
            let message = "only one of archive.access_key_id and archive.secret_access_key is set".to_owned();
            problems.push(problem(message, "set both, or neither"));
        }
        if self.stores.kafka() && !self.kafka.contains_key("bootstrap.servers") {
            let message = "stores.log is \"kafka\", but \"bootstrap.servers\" is not set".to_owned();
            problems.push(problem(message, "write \"bootstrap.servers\" = \"host:9092\" under [kafka]"));
        }
    }
}

/// Checks the user, password and certificates of one server.
fn of_access(access: &Access<'_>, problems: &mut Vec<Problem>) {
    let table = access.table;
    if access.ca_file.is_some() && !access.tls {
        let message = format!("{table}.ca_file is set, but {table}.tls is false");
        problems.push(problem(message, &format!("set {table}.tls = true")));
    }
    if access.cert_file.is_some() != access.key_file.is_some() {
        let message = format!("only one of {table}.cert_file and {table}.key_file is set");
        problems.push(problem(message, "set both, or neither"));
    }
    if access.cert_file.is_some() && !access.tls {
        let message = format!("{table}.cert_file is set, but {table}.tls is false");
        problems.push(problem(message, &format!("set {table}.tls = true")));
    }
    if access.user.is_some() && !access.password.is_set() {
        let message = format!("{table}.user is set, but no password is");
        problems.push(problem(message, &format!("set {table}.password_file or {table}.password_env")));
    }
}

fn problem(message: String, remedy: &str) -> Problem {
    Problem::anywhere(message, Some(remedy.to_owned()))
}

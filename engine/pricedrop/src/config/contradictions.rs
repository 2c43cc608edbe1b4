//! Fields that are right one by one and wrong together.

use super::archive::ARCHIVED;
use super::{Config, Problem};

impl Config {
    /// All of them.
    pub(super) fn contradictions(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.of_dispatch(&mut problems);
        self.of_stores(&mut problems);
        self.of_servers(&mut problems);
        problems
    }

    fn of_dispatch(&self, problems: &mut Vec<Problem>) {
        let (base, max) = ("dispatch.backoff_first", "dispatch.backoff_longest");
        if self.number(base) > self.number(max) {
            let message = format!("{base} is longer than {max}");
            problems.push(problem(message, &format!("make {max} at least as long as {base}")));
        }
        let (kept, tried) = ("data.confirmation_retention", "dispatch.give_up_after");
        if self.number(kept) < self.number(tried) {
            let message = format!(
                "{kept} is shorter than {tried}: a delivery would be tried again after it was forgotten that it arrived"
            );
            problems.push(problem(message, &format!("make {kept} at least as long as {tried}")));
        }
    }

    /// Stores that cannot stand beside each other, and tables of servers that
    /// nobody asks.
    fn of_stores(&self, problems: &mut Vec<Problem>) {
        let stores = self.stores();
        if !stores.kafka {
            for (name, on) in [
                ("watches", stores.cassandra),
                ("leases", stores.redis_leases),
                ("cache", stores.redis_cache),
            ] {
                if on {
                    let message = format!("stores.{name} names a server, but stores.log is \"embedded\"");
                    problems.push(problem(message, "set stores.log = \"kafka\", or leave all of [stores] out: an embedded log commits to the embedded store alone"));
                }
            }
        } else if stores.redis_cache && !stores.cassandra {
            let message = "stores.cache is \"redis\", but stores.watches is \"embedded\"".to_owned();
            problems.push(problem(message, "set stores.watches = \"cassandra\", or stores.cache = \"none\": embedded watches are on the local disk already"));
        }
        let kafka = self.changes("stream") || self.changes("topics") || !self.properties().is_empty();
        let tables = [
            ("[kafka], [stream] or [topics]", kafka, stores.kafka, "stores.log = \"kafka\""),
            ("[cassandra]", self.changes("cassandra"), stores.cassandra, "stores.watches = \"cassandra\""),
            ("[redis]", self.changes("redis"), stores.redis(), "stores.leases or stores.cache to \"redis\""),
        ];
        for (table, written, used, remedy) in tables {
            if written && !used {
                let message = format!("{table} is written, but nothing asks that server");
                problems.push(problem(message, &format!("set {remedy}, or take it out")));
            }
        }
    }

    fn of_servers(&self, problems: &mut Vec<Problem>) {
        let secrets = [
            ("http", "token"),
            ("cassandra", "password"),
            ("redis", "password"),
            ("dispatch", "address_secret"),
            ("archive", "secret_access_key"),
        ];
        for (table, what) in secrets {
            let names = ["file", "env"].map(|place| format!("{table}.{what}_{place}"));
            if names.iter().all(|name| self.get(name).is_some()) {
                let message = format!("{} and {} are both set", names[0], names[1]);
                problems.push(problem(message, "name one of them"));
            }
        }
        for table in ["cassandra", "redis"] {
            let field = |key: &str| format!("{table}.{key}");
            if self.get(&field("ca_file")).is_some() && !self.flag(&field("tls")) {
                let message = format!("{table}.ca_file is set, but {table}.tls is false");
                problems.push(problem(message, &format!("set {table}.tls = true")));
            }
            let identity = ["cert_file", "key_file"].map(|key| self.get(&field(key)).is_some());
            if identity[0] != identity[1] {
                let message = format!("of {table}.cert_file and {table}.key_file only one is set");
                problems.push(problem(message, "set both, or none"));
            }
            if identity[0] && !self.flag(&field("tls")) {
                let message = format!("{table}.cert_file is set, but {table}.tls is false");
                problems.push(problem(message, &format!("set {table}.tls = true")));
            }
            if self.get(&field("user")).is_some() && self.named_secret(table, "password").is_none() {
                let message = format!("{table}.user is set, but no password is named");
                problems
                    .push(problem(message, &format!("name {table}.password_file or {table}.password_env")));
            }
        }
        if self.get("cassandra.user").is_none() && self.named_secret("cassandra", "password").is_some() {
            problems.push(problem("cassandra names a password, but no user".into(), "set cassandra.user"));
        }
        let key = [
            self.get("archive.access_key_id").is_some(),
            self.named_secret("archive", "secret_access_key").is_some(),
        ];
        if key[0] != key[1] {
            let message = "of archive.access_key_id and archive.secret_access_key only one is set".to_owned();
            problems.push(problem(message, "name both, or none"));
        }
        for topic in self.texts("archive.topics").iter().filter(|topic| !ARCHIVED.contains(&topic.as_str())) {
            let message = format!("archive.topics names {topic:?}");
            problems.push(problem(message, &format!("name any of {}", ARCHIVED.join(", "))));
        }
        if self.stores().kafka && !self.properties().contains_key("bootstrap.servers") {
            let message = "stores.log is \"kafka\", and nothing says where Kafka is".to_owned();
            problems.push(problem(message, "write \"bootstrap.servers\" = \"host:9092\" under [kafka]"));
        }
    }
}

fn problem(message: String, remedy: &str) -> Problem {
    Problem::anywhere(message, Some(remedy.to_owned()))
}

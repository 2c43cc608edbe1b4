//! If a permission, a password or a CA is missing or wrong, the error names it.

use std::process::Stdio;

use pricedrop_harness::acls::{Acl, On};
use pricedrop_harness::{Home, reasons, wait_for};

use crate::documented_rights::{self, Right};
use crate::rig::{PASSWORD, Who, engine_rights, lacking, no_secret, run_cli, servers};

/// Starts the engine, and waits until it ends, or runs and gives a reason in `/readyz` that contains
/// these words. Returns its report on standard error, or the reasons.
fn refusal(home: &Home, words: &[&str]) -> String {
    let report = home.folder.join("report.txt");
    let file = std::fs::File::create(&report).unwrap();
    let mut child = home.command(&["run"]).stdout(Stdio::null()).stderr(file).spawn().unwrap();
    let address = || std::fs::read_to_string(home.folder.join("data/http.addr")).ok();
    let refused = wait_for("the engine to refuse", || {
        if child.try_wait().unwrap().is_some() {
            return Some(std::fs::read_to_string(&report).unwrap());
        }
        let reasons = reasons(address()?.trim()).ok()?.join("\n");
        words.iter().all(|word| reasons.contains(*word)).then_some(reasons)
    });
    let _ = child.kill();
    let _ = child.wait();
    let refused = refused
        .unwrap_or_else(|error| panic!("{error}: {words:?}: {}", std::fs::read_to_string(&report).unwrap()));
    no_secret(&refused);
    for word in words {
        assert!(refused.contains(*word), "no {word:?} in: {refused}");
    }
    refused
}

fn in_words(acl: &Acl) -> String {
    match acl.on {
        On::Topic => format!("topic {}", acl.name),
        On::Group => format!("groups {}", acl.name),
        On::TransactionalId => format!("transactional ids {}", acl.name),
    }
}

/// Returns whether an engine cannot start without this permission.
fn is_needed_at_the_start(right: &Right) -> bool {
    right.acl.operation != "DescribeConfigs"
        && (right.who == "notifier" || right.who == "dispatcher")
        && (right.acl.name.as_str(), right.acl.operation.as_str()) != ("user_notifications.dlq", "Read")
}

#[test]
fn each_missing_right_in_kafka_is_named_with_its_remedy() {
    let servers = servers();
    let rights = engine_rights();
    assert!(rights.len() > 15, "the documented_rights was read: {rights:?}");
    let mut missed = Vec::new();
    for (number, right) in rights.iter().enumerate() {
        let (_folder, home) = servers.home(&Who { kafka: &lacking(number), ..Who::default() });
        let doctor = run_cli(&home, &["doctor"]);
        let (what, operation) = (in_words(&right.acl), &right.acl.operation);
        let named = doctor.lines().any(|line| line.contains(&what) && line.contains(operation.as_str()));
        let remedy = doctor.contains("kafka-acls") && doctor.contains(&format!("--operation {operation}"));
        if !(named && remedy) {
            missed.push(format!("{what}, {operation}: {doctor}"));
        }
        if is_needed_at_the_start(right) {
            assert!(doctor.contains("exit code 1"), "{doctor}");
            refusal(&home, &[&what, "is not allowed", "kafka-acls"]);
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n\n"));
}

const TABLES: [&str; 6] = [
    "price_watch_alerts",
    "price_watch_buckets",
    "price_watch_live",
    "bucketing_policies",
    "user_channels",
    "product_prices",
];

#[test]
fn each_missing_grant_in_cassandra_is_named_with_its_remedy() {
    let servers = servers();
    let admin = servers.admin();
    for without in TABLES {
        for right in ["SELECT", "MODIFY"] {
            let role = format!("no_{}_{without}", right.to_lowercase());
            admin.run(&format!("CREATE ROLE {role} WITH LOGIN = true AND PASSWORD = '{PASSWORD}'")).unwrap();
            for table in TABLES {
                for granted in ["SELECT", "MODIFY"] {
                    if (table, granted) != (without, right) {
                        admin.run(&format!("GRANT {granted} ON TABLE pricedrop.{table} TO {role}")).unwrap();
                    }
                }
            }
            let (_folder, home) = servers.home(&Who { cassandra: &role, ..Who::default() });
            let doctor = run_cli(&home, &["doctor"]);
            let remedy = format!("GRANT {right} ON TABLE \"pricedrop\".\"{without}\"");
            let named =
                doctor.lines().any(|line| line.contains(&format!("table {without}: our role may not")));
            assert!(named && doctor.contains(&remedy), "{right} on {without}: {doctor}");
            if right == "SELECT" && without != "product_prices" {
                assert!(doctor.contains("exit code 1"), "{doctor}");
                refusal(&home, &["refuses this user the table", without, "docs/operations.md"]);
            }
        }
    }
}

#[test]
fn schema_apply_without_the_create_permission_reports_it() {
    let servers = servers();
    let (_folder, home) = servers.home(&Who::default());
    let mut apply = home.command(&["schema", "apply"]);
    let output = apply.env("PRICEDROP_CASSANDRA__ALERTS", "other_watches").output().unwrap();
    let (code, report) = (output.status.code(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(code, Some(1), "{report}");
    assert!(
        report.contains("does not let this user do it") && report.contains("no CREATE permission"),
        "{report}"
    );
    assert!(report.contains("grant the permission, or use a role that has it"), "{report}");
}

#[test]
fn each_missing_command_in_redis_is_named_with_its_remedy() {
    let servers = servers();
    let line = documented_rights::redis("less", PASSWORD);
    let commands: Vec<&str> = line.split(' ').filter(|word| word.starts_with('+')).collect();
    assert!(commands.len() > 25, "the documented_rights was read: {commands:?}");
    for command in commands {
        let fewer: Vec<&str> = line.split(' ').filter(|word| *word != command).collect();
        servers.in_redis_do(&["ACL DELUSER less".into(), fewer.join(" ")]);
        let (_folder, home) = servers.home(&Who { redis: "less", ..Who::default() });
        let doctor = run_cli(&home, &["doctor"]);
        let named = doctor.lines().any(|line| line.contains("redis") && line.contains(&command[1..]));
        // Without these commands no connection is established, so nothing else is checked.
        let let_in = !matches!(command, "+auth" | "+info" | "+select");
        assert!(!let_in || (named && doctor.contains("exit code 1")), "{command}: {doctor}");
    }
    servers.in_redis_do(&["ACL DELUSER less".into(), line.replace("~pricedrop:*", "~elsewhere:*")]);
    let (_folder, home) = servers.home(&Who { redis: "less", ..Who::default() });
    let doctor = run_cli(&home, &["doctor"]);
    assert!(doctor.contains("~pricedrop:*") && doctor.contains("ACL SETUSER less"), "{doctor}");
}

#[test]
fn a_wrong_password_and_a_wrong_authority_are_reported_with_their_server() {
    let servers = servers();
    for (server, name) in [("kafka", "Kafka"), ("cassandra", "Cassandra"), ("redis", "Redis")] {
        for authority in [false, true] {
            let wrong = Some(server);
            let who = match authority {
                false => Who { wrong_password: wrong, ..Who::default() },
                true => Who { wrong_authority: wrong, ..Who::default() },
            };
            let (_folder, home) = servers.home(&who);
            let doctor = run_cli(&home, &["doctor"]);
            let (wrong, remedies) = match authority {
                false => (["uthenticat", "WRONGPASS", "password"], ["SASL", "user", "password"]),
                true => (["certificate", "SSL", "TLS"], ["TLS", "ca_file", "ssl.ca.location"]),
            };
            let line = doctor.lines().find(|line| line.contains(&format!("wrong  {server}: ")));
            let line = line.unwrap_or_else(|| panic!("{doctor}"));
            assert!(wrong.iter().any(|word| line.contains(word)), "{line}");
            assert!(remedies.iter().any(|word| doctor.contains(word)), "{doctor}");
            assert!(doctor.contains("exit code 1"), "{doctor}");
            println!("== {server}, authority {authority}: {line}");
            let output = refusal(&home, &[name]);
            println!("{output}");
            assert!(wrong.iter().any(|word| output.contains(word)), "{output}");
        }
    }
}

/// `SSL_CERT_FILE` and `SSL_CERT_DIR` name the CA certificates of the system.
#[test]
fn without_a_ca_file_cassandra_is_verified_by_the_authorities_of_the_system() {
    let servers = servers();
    let (folder, mut home) = servers.home(&Who::default());
    let file = folder.path().join("pricedrop.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let (before, cassandra) = config.split_once("[cassandra]\n").unwrap();
    let (own, cassandra) = cassandra.split_once("ca_file = ").unwrap();
    let (authority, rest) = cassandra.split_once('\n').unwrap();
    let other = rest.split_once("ca_file = ").unwrap().1.lines().next().unwrap();
    std::fs::write(file, format!("{before}[cassandra]\n{own}{rest}")).unwrap();
    std::fs::write(folder.path().join("empty.pem"), "").unwrap();
    for (trusted, words) in [
        (authority, "doctor: it works"),
        (other, "invalid peer certificate"),
        ("empty.pem", "this system has no certificate authorities; name cassandra.ca_file"),
    ] {
        let variables = [("SSL_CERT_FILE", trusted.trim_matches('"')), ("SSL_CERT_DIR", "")];
        home.environment = variables.map(|(name, value)| (name.into(), value.into())).into();
        let doctor = run_cli(&home, &["doctor"]);
        assert!(doctor.contains(words), "{trusted}: {doctor}");
    }
}

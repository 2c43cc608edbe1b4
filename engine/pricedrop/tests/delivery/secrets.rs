//! Secrets are seen only by the host and by the provider that they belong to.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use pricedrop_harness::{Engine, Home, wait_for};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::memory;
use crate::providers::{self, Provider, authorities, text};
use crate::support::{self, dead_letters, join, metric, post, run_cli};

/// Shorter words of an authorization header are names of schemes.
const SECRET_CHARS_MIN: usize = 16;
/// Plugins read the title, unlike any secret.
const TITLE: &str = "Crimson shoes 4711";
/// The route that lists dead letters.
const DLQ: &str = "/v1/dlq";

/// A provider, an address that is reached, and one that fails. Providers that can do so refuse
/// the credential of the first message once.
struct Case {
    provider: Provider,
    good: String,
    bad: String,
}

fn case(provider: Provider, good: &str, bad: impl Into<String>) -> Case {
    let good = provider.address(good);
    Case { provider, good, bad: bad.into() }
}

fn cases() -> Vec<Case> {
    let (webhook, slack) = (providers::webhook(), providers::slack());
    let (apns, push) = (providers::apns(), providers::webpush(&["good", "gone"]));
    let gone = format!("http://{}/status/410", webhook.peer().host());
    let no_service = format!("http://{}/answer/404/no_service", slack.peer().host());
    let (dead, ended) = (apns.address("dead"), push.address("gone"));
    vec![
        case(webhook, "good", gone),
        case(slack, "good", no_service),
        case(apns, "4030", dead),
        case(push, "good", ended),
        case(providers::email(), "good", "refused@example.test"),
        case(providers::ntfy(), "good", "forbidden"),
        case(providers::sms(), "good", "+15005550001"),
        case(providers::fcm(), "revoked-good", "unregistered-bad"),
    ]
}

/// Creates a home with all channels, and the most verbose log.
fn home_of(cases: &[Case]) -> (TempDir, Home) {
    let first = &cases[0].provider;
    let more = format!(
        "ca_file = {:?}\n[log]\nlevel = \"debug\"\n",
        authorities(cases.iter().map(|case| &case.provider))
    );
    let (folder, mut home) = support::home_with(first.channel, &first.sidecar, &more);
    for Case { provider, .. } in cases {
        home.deploy(&format!("{}.toml", provider.channel), provider.sidecar.as_bytes()).unwrap();
        home.install(provider.channel, provider.channel).unwrap();
        home.environment.extend(provider.variables());
    }
    (folder, home)
}

/// Waits until every user is reached or has a dead letter.
fn deliver(home: &Home, engine: &Engine, cases: &[Case]) {
    for (at, case) in cases.iter().enumerate() {
        join(home, engine, &format!("good{at}"), case.provider.channel, &case.good);
        join(home, engine, &format!("bad{at}"), case.provider.channel, &case.bad);
    }
    let update = json!({"productId": "P7", "newPrice": 79.9, "title": TITLE});
    assert_eq!(post(engine, &update), 2 * cases.len() as u64);
    dead_letters(home, cases.len());
    for Case { provider: Provider { channel, .. }, .. } in cases {
        let delivered = format!("pricedrop_deliveries_total{{channel=\"{channel}\",outcome=\"delivered\"}}");
        wait_for(&delivered, || (metric(engine, &delivered) == 1).then_some(())).unwrap();
    }
}

/// Returns the secrets in the environment, in key files, and in requests to the providers.
fn secrets(cases: &[Case]) -> BTreeSet<String> {
    let mut secrets = BTreeSet::new();
    for Case { provider, .. } in cases {
        secrets.extend(provider.environment.iter().map(|(_, value)| value.clone()));
        secrets.extend(key_file(provider));
        for record in provider.peer().records() {
            let shown = record["headers"]["authorization"].as_str().unwrap_or_default().to_owned();
            // The public key of VAPID is not secret.
            let words = shown.split([' ', ',']).filter(|word| !word.starts_with("k="));
            let words = words.map(|word| word.strip_prefix("t=").unwrap_or(word));
            secrets.extend(words.filter(|word| word.len() >= SECRET_CHARS_MIN).map(str::to_owned));
        }
    }
    secrets
}

/// Returns the lines of a private key, without the PEM header and footer.
fn key_file(provider: &Provider) -> Vec<String> {
    let Some(path) = provider.peer().hello["key"].as_str() else { return Vec::new() };
    let file = std::fs::read_to_string(path).unwrap();
    let pem = match serde_json::from_str::<Value>(&file) {
        Ok(account) => text(&account["private_key"]),
        Err(_) => file,
    };
    let lines = pem.lines().filter(|line| !line.starts_with("-----") && line.len() >= SECRET_CHARS_MIN);
    lines.map(str::to_owned).collect()
}

/// Returns everything that users and operators can read, by its source.
fn readable(home: &Home, engine: &Engine) -> Vec<(String, String)> {
    let get = |path: &str| engine.request("GET", path, b"").unwrap();
    let log = std::fs::read_to_string(home.folder.join("engine.log")).unwrap();
    let mut places = vec![
        ("the engine's log".to_owned(), log),
        ("the standard output".to_owned(), engine.take_lines().join("\n")),
        ("pricedrop plugin list".to_owned(), run_cli(home, &["plugin", "list"])),
        ("pricedrop dlq list".to_owned(), run_cli(home, &["dlq", "list"])),
    ];
    for path in [DLQ, "/v1/plugins", "/v1/notifications", "/readyz", "/metrics"] {
        places.push((path.to_owned(), get(path)));
    }
    for item in dead_letters(home, 0) {
        let id = item["id"].as_str().unwrap();
        places.push((format!("dead letter {id}"), get(&format!("{DLQ}/{id}"))));
        places.push((format!("pricedrop dlq show {id}"), run_cli(home, &["dlq", "show", id])));
    }
    places
}

#[test]
fn no_secret_is_shown_in_the_log_the_dead_letters_or_the_answers_of_the_api() {
    let cases = cases();
    let (_folder, home) = home_of(&cases);
    let engine = home.start().unwrap();
    deliver(&home, &engine, &cases);
    let secrets = secrets(&cases);
    let variables: usize = cases.iter().map(|case| case.provider.environment.len()).sum();
    assert!(secrets.len() > variables, "no key file and no token was looked at");
    let mut found = String::new();
    for (place, shown) in readable(&home, &engine) {
        for secret in secrets.iter().filter(|secret| shown.contains(*secret)) {
            writeln!(found, "{place}: {secret}").unwrap();
        }
    }
    assert!(found.is_empty(), "secrets are shown:\n{found}");
}

#[test]
fn no_secret_gets_into_the_memory_of_a_plugin() {
    let cases = cases();
    let (_folder, home) = home_of(&cases);
    let engine = home.start().unwrap();
    deliver(&home, &engine, &cases);
    let memories = memory::of_plugins(engine.pid());
    let told = memories.iter().filter(|memory| memory::holds(memory, TITLE)).count();
    assert!(memories.len() >= cases.len(), "{} memories of plugins", memories.len());
    // Not in every memory: plugins reuse freed memory.
    assert!(told > 0, "not even the title is found");
    let secrets = secrets(&cases);
    let found: Vec<&String> =
        secrets.iter().filter(|secret| memories.iter().any(|memory| memory::holds(memory, secret))).collect();
    assert!(found.is_empty(), "secrets in the memory of a plugin: {found:?}");
}

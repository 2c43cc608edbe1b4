//! Tests of the errors that a wrong configuration gives, and of precedence and defaults.

use std::path::Path;

use pricedrop_embedded as embedded;
use pricedrop_model::{FirstPrice, Mode, Rules};

use super::*;
use crate::report;

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn refused(text: &str, environment: &[(&str, &str)]) -> String {
    let read = Config::read(Some((Path::new("pricedrop.toml"), text)), variables(environment).into_iter());
    report::plain(&read.expect_err("it should be refused"))
}

#[test]
fn unknown_keys_are_refused_with_the_nearest_one_and_their_place() {
    let text = "[rules]\nmode = \"once\"\ndedup_windw = \"24h\"\n\n[rulez]\nmode = \"once\"\n\n[http]\nmax_attempts = 3\n";
    insta::assert_snapshot!(refused(text, &[]));
}

#[test]
fn a_key_under_its_former_name_is_refused_with_the_new_one() {
    let text = "[dispatch]\nattempts = 3\n[redis]\nttl = \"1m\"\n";
    insta::assert_snapshot!(refused(text, &[("PRICEDROP_HTTP__BODY_WAIT", "20s")]));
}

#[test]
fn wrong_types_and_ranges_are_refused_in_words() {
    let text = "[rules]\nmode = \"sometimes\"\nhysteresis = -0.5\ndedup_window = 24\ncurrency = \"usd\"\n\n\
                [http]\nlisten = 8080\nmax_body = \"12 miles\"\n\n[dispatch]\nmax_attempts = 0\n";
    insta::assert_snapshot!(refused(text, &[]));
}

#[test]
fn text_that_is_not_toml_is_refused_with_its_place() {
    insta::assert_snapshot!(refused("[rules]\nmode = every-drop\n", &[]));
}

#[test]
fn a_wrong_variable_is_refused_by_its_name() {
    let environment = [("PRICEDROP_RULES__MODEE", "once"), ("PRICEDROP_DISPATCH__MAX_ATTEMPTS", "many")];
    insta::assert_snapshot!(refused("", &environment));
}

#[test]
fn fields_that_contradict_each_other_are_refused() {
    let text = "[dispatch]\nbackoff_initial = \"20m\"\n[http]\ntoken_env = \"T\"\ntoken_file = \"f\"\n";
    insta::assert_snapshot!(refused(text, &[]));
}

#[test]
fn confirmations_outlive_the_last_attempt() {
    let output = refused("[data]\nconfirmation_retention = \"23h\"\n", &[]);
    assert!(output.contains("data.confirmation_retention is shorter than dispatch.max_age"), "{output}");
    let output = refused("[dispatch]\nmax_age = \"9d\"\n", &[]);
    assert!(output.contains("make data.confirmation_retention at least as long"), "{output}");
    let text = "[data]\nconfirmation_retention = \"24h\"\n";
    let read = Config::read(Some((Path::new("pricedrop.toml"), text)), std::iter::empty());
    assert_eq!(read.expect("as long is enough").data.confirmation_retention, units::hours(24));
}

#[test]
fn a_variable_overrides_the_file_and_the_file_overrides_the_default() {
    let text = "[rules]\nmode = \"once\"\nhysteresis = 0.10\nfirst_price = \"baseline\"\n";
    let environment = variables(&[("PRICEDROP_RULES__MODE", "crossing"), ("PRICEDROP_URL", "http://x")]);
    let file = Some((Path::new("pricedrop.toml"), text));
    let rules = Config::read(file, environment.into_iter()).expect("it is right").matching_rules();
    assert_eq!(rules.mode, Mode::Crossing);
    assert_eq!(rules.first_price, FirstPrice::Baseline);
    assert_eq!(rules.hysteresis.share().to_string(), "0.1");
    assert_eq!(rules.dedup_window_ms, Rules::default().dedup_window_ms);
}

#[test]
fn the_defaults_are_those_of_the_crates_that_use_them() {
    let config = Config::read(None, std::iter::empty()).expect("nothing is right");
    assert_eq!(config.matching_rules(), Rules::default());
    let notifier = config.notifier_options();
    let default = pricedrop_pipeline::notifier::Options::default();
    assert_eq!(format!("{notifier:?}"), format!("{default:?}"));
    assert_eq!(config.dispatcher_options(), pricedrop_pipeline::dispatcher::Options::default());
    assert_eq!(config.outbound_options(), pricedrop_outbound::Options::default());
    let (host, default) = (config.host_options(), pricedrop_host::Options::default());
    assert_eq!(host.limits, default.limits);
    let timing = |options: &pricedrop_host::Options| (options.debounce_ms, options.poll_ms, options.reload);
    assert_eq!(timing(&host), timing(&default));
    let http = config.http_options().expect("no token is named");
    assert_eq!(format!("{http:?}"), format!("{:?}", pricedrop_http::Options::default()));
    let (embedded, default) = (config.embedded_options(), embedded::Options::new("pricedrop-data"));
    let numbers = |options: &embedded::Options| {
        let embedded::Options {
            cache_bytes,
            bucket_threshold,
            admission_timeout_ms,
            response_timeout_ms,
            ..
        } = *options;
        let times =
            (options.outbox_retention_ms, options.confirmation_ms, admission_timeout_ms, response_timeout_ms);
        (times, cache_bytes, bucket_threshold, options.intake_records, options.intake_bytes)
    };
    assert_eq!(embedded.folder, default.folder);
    assert_eq!(numbers(&embedded), numbers(&default));
}

#[test]
fn stores_that_cannot_be_combined_are_refused() {
    insta::assert_snapshot!(refused("[stores]\nwatches = \"cassandra\"\ncache = \"redis\"\n", &[]));
    insta::assert_snapshot!(refused(
        "[stores]\nlog = \"kafka\"\nwatches = \"embedded\"\ncache = \"redis\"\n\n[kafka]\n\"bootstrap.servers\" = \"k:9092\"\n",
        &[]
    ));
}

#[test]
fn servers_that_are_not_used_and_servers_without_an_address_are_refused() {
    let text =
        "[kafka]\nbootstrap.servers = \"k:9092\"\n[cassandra]\nkeyspace = \"shop\"\n[redis]\ndatabase = 3\n";
    insta::assert_snapshot!(refused(text, &[]));
    insta::assert_snapshot!(refused("[stores]\nlog = \"kafka\"\n", &[]));
}

#[test]
fn secrets_and_certificates_must_be_complete() {
    let text = "[stores]\nlog = \"kafka\"\n[kafka]\nbootstrap.servers = \"k:9092\"\n\
                [cassandra]\nuser = \"u\"\nca_file = \"ca.pem\"\n\
                [redis]\npassword_file = \"f\"\npassword_env = \"E\"\ntls = true\ncert_file = \"c.pem\"\n";
    insta::assert_snapshot!(refused(text, &[]));
}

#[test]
fn properties_that_the_commit_depends_on_and_secrets_in_the_file_are_refused() {
    let text = "[stores]\nlog = \"kafka\"\n\n[kafka]\n\"bootstrap.servers\" = \"k:9092\"\n\
                \"transactional.id\" = \"mine\"\nenable.auto.commit = true\nisolation.level = \"read_uncommitted\"\n\
                auto.offset.reset = \"earliest\"\nenable.idempotence = false\ngroup.instance.id = \"a\"\n\
                sasl.password = \"hunter2\"\nssl.endpoint.identification.algorithm = [\"none\"]\n";
    let output = refused(text, &[("PRICEDROP_KAFKA__ACKS", "1")]);
    insta::assert_snapshot!(output);
}

#[test]
fn properties_are_passed_unchanged_and_secrets_are_never_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "hunter2\n").expect("written");
    let text = format!(
        "[stores]\nlog = \"kafka\"\n[kafka]\n\"bootstrap.servers\" = \"k:9092\"\nsocket.keepalive.enable = true\n\
         fetch.max.bytes = 1_000\nsasl.password_file = {secret:?}\n"
    );
    let environment = variables(&[("PRICEDROP_KAFKA__SSL_KEY_PASSWORD", "swordfish")]);
    let config =
        Config::read(Some((Path::new("x.toml"), &text)), environment.into_iter()).expect("it is right");
    let properties = config.kafka_properties().expect("the secret is there");
    let property = |name: &str| properties.get(name).map(String::as_str);
    assert_eq!(property("bootstrap.servers"), Some("k:9092"));
    assert_eq!(property("socket.keepalive.enable"), Some("true"));
    assert_eq!(property("fetch.max.bytes"), Some("1000"));
    assert_eq!(
        (property("sasl.password"), property("ssl.key.password")),
        (Some("hunter2"), Some("swordfish"))
    );
    let shown = format!("{config:?}");
    assert!(!shown.contains("hunter2") && !shown.contains("swordfish"), "{shown}");
    std::fs::remove_file(&secret).expect("removed");
    let output = report::plain(&config.kafka_properties().expect_err("it is gone"));
    assert!(output.contains("sasl.password") && output.contains("cannot be read"), "{output}");
}

#[test]
fn stores_that_are_not_set_follow_the_log() {
    let read = |text: &str| {
        Config::read(Some((Path::new("x.toml"), text)), std::iter::empty()).expect("it is right").stores
    };
    let embedded = read("");
    assert!(!embedded.kafka() && !embedded.cassandra() && !embedded.redis());
    let cluster = read("[stores]\nlog = \"kafka\"\n[kafka]\nbootstrap.servers = \"k:9092\"\n");
    assert!(cluster.kafka() && cluster.cassandra() && cluster.redis_leases() && !cluster.redis_cache());
    assert!(!cluster.alone());
    assert!(cluster.needs_redis(true) && !cluster.needs_redis(false), "leases are the dispatcher's");
}

#[test]
fn a_written_default_is_distinguished_from_a_key_that_is_not_set() {
    let config =
        Config::read(Some((Path::new("x.toml"), "[rules]\nfirst_price = \"notify\"\n")), std::iter::empty());
    let config = config.expect("it is right");
    assert!(config.is_written(key!(rules.first_price)) && !config.is_written(key!(rules.mode)));
}

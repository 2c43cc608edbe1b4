//! What a person sees when a configuration is wrong.

use std::path::Path;

use pricedrop_adapters::embedded;
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
    let text = "[rules]\nmode = \"once\"\ndedup_windw = \"24h\"\n\n[rulez]\nmode = \"once\"\n\n[http]\nattempts = 3\n";
    insta::assert_snapshot!(refused(text, &[]));
}

#[test]
fn wrong_types_and_ranges_are_refused_in_words() {
    let text = "[rules]\nmode = \"sometimes\"\nhysteresis = -0.5\ndedup_window = 24\ncurrency = \"usd\"\n\n\
                [http]\nlisten = 8080\nmax_body = \"12 miles\"\n\n[dispatch]\nattempts = 0\n";
    insta::assert_snapshot!(refused(text, &[]));
}

#[test]
fn what_is_no_toml_is_refused_at_its_place() {
    insta::assert_snapshot!(refused("[rules]\nmode = every-drop\n", &[]));
}

#[test]
fn a_wrong_variable_is_refused_by_its_name() {
    let environment = [("PRICEDROP_RULES__MODEE", "once"), ("PRICEDROP_DISPATCH__ATTEMPTS", "many")];
    insta::assert_snapshot!(refused("", &environment));
}

#[test]
fn fields_that_contradict_each_other_are_refused() {
    let text = "[dispatch]\nbackoff_first = \"20m\"\n[http]\ntoken_env = \"T\"\ntoken_file = \"f\"\n";
    insta::assert_snapshot!(refused(text, &[]));
}

#[test]
fn a_variable_goes_before_the_file_and_the_file_before_the_default() {
    let text = "[rules]\nmode = \"once\"\nhysteresis = 0.10\nfirst_price = \"baseline\"\n";
    let environment = variables(&[("PRICEDROP_RULES__MODE", "crossing"), ("PRICEDROP_URL", "http://x")]);
    let file = Some((Path::new("pricedrop.toml"), text));
    let rules = Config::read(file, environment.into_iter()).expect("it is right").rules();
    assert_eq!(rules.mode, Mode::Crossing);
    assert_eq!(rules.first_price, FirstPrice::Baseline);
    assert_eq!(rules.hysteresis.share().to_string(), "0.1");
    assert_eq!(rules.dedup_window_ms, Rules::default().dedup_window_ms);
}

#[test]
fn the_defaults_are_those_of_the_crates_that_use_them() {
    let config = Config::read(None, std::iter::empty()).expect("nothing is right");
    assert_eq!(config.rules(), Rules::default());
    let notifier = config.notifier();
    let default = pricedrop_pipeline::notifier::Options::default();
    assert_eq!(format!("{notifier:?}"), format!("{default:?}"));
    assert_eq!(config.dispatcher(), pricedrop_pipeline::dispatcher::Options::default());
    assert_eq!(config.outbound(), pricedrop_adapters::outbound::Options::default());
    let (host, default) = (config.host(), pricedrop_host::Options::default());
    assert_eq!(host.limits, default.limits);
    let timing = |options: &pricedrop_host::Options| (options.settle_ms, options.poll_ms, options.reload);
    assert_eq!(timing(&host), timing(&default));
    let http = config.http().expect("no token is named");
    assert_eq!(format!("{http:?}"), format!("{:?}", pricedrop_http::Options::default()));
    let (embedded, default) = (config.embedded(), embedded::Options::new("pricedrop-data"));
    let numbers = |options: &embedded::Options| {
        let embedded::Options { cache_bytes, watchers_above, intake_wait_ms, answer_wait_ms, .. } = *options;
        let times = (options.outbox_retention_ms, options.confirmation_ms, intake_wait_ms, answer_wait_ms);
        (times, cache_bytes, watchers_above, options.intake_records, options.intake_bytes)
    };
    assert_eq!(embedded.folder, default.folder);
    assert_eq!(numbers(&embedded), numbers(&default));
}

//! The default plugins through the real host: their cases, their settings, and the errors for
//! files that are not plugins.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Place, buckets, built, problem};
use pricedrop_host::{Limits, check};
use pricedrop_model::plugin::Plugins;
use pricedrop_model::plugin::{Kind, State};

const PLUGINS: [(&str, Kind); 12] = [
    ("bucketing-floor", Kind::Bucketing),
    ("bucketing-log", Kind::Bucketing),
    ("throttling-coalesce", Kind::Throttling),
    ("channel-console", Kind::Channel),
    ("channel-webhook", Kind::Channel),
    ("channel-email", Kind::Channel),
    ("channel-webpush", Kind::Channel),
    ("channel-fcm", Kind::Channel),
    ("channel-apns", Kind::Channel),
    ("channel-sms", Kind::Channel),
    ("channel-slack", Kind::Channel),
    ("channel-ntfy", Kind::Channel),
];

#[test]
fn the_cases_of_every_plugin_pass() {
    for (name, kind) in PLUGINS {
        let cases = built(name).with_file_name("").join("..").join(name).join("cases");
        let report = check(&built(name), Some(&cases), &Limits::default(), None).unwrap();
        assert_eq!(report.problems, Vec::<String>::new(), "{name}");
        assert_eq!(report.kind, Some(kind), "{name}");
        assert!(report.cases > 0, "{name} has cases");
    }
}

#[test]
fn the_javascript_policy_maps_prices_like_the_rust_policy() {
    let folder = built("").with_file_name("").join("../examples/bucketing-js/cases");
    let report = check(&built("bucketing-js"), Some(&folder), &Limits::default(), None).unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
    assert!(report.cases > 0);
    let fingerprint = |name: &str, width: &str| {
        let place = Place::new();
        place.put("policy.toml", format!("[settings]\nwidth = \"{width}\"\n"));
        place.put_plugin("policy", &built(name));
        let host = place.host();
        assert_eq!(problem(&host, "policy"), "");
        host.active_policy().unwrap().fingerprint
    };
    for width in ["10", "0.07"] {
        assert_eq!(fingerprint("bucketing-js", width), fingerprint("bucketing-floor", width), "{width}");
    }
    assert_ne!(fingerprint("bucketing-floor", "10"), fingerprint("bucketing-floor", "10.000000001"));
}

#[test]
fn a_core_module_with_its_component_type_serves() {
    let place = Place::new();
    place.put_floor("floor", "10");
    let host = place.host();
    assert_eq!(buckets(&host, &["0", "9.99", "79.90", "80"]).unwrap(), [0, 0, 7, 8]);
    let status = host.status();
    let floor = status.plugin("floor").unwrap();
    assert_eq!((floor.state, floor.kind), (State::Active, Some(Kind::Bucketing)));
    assert_eq!(status.warnings, Vec::<String>::new());
    assert!(host.active_policy().unwrap().name.starts_with("bucketing-floor@0.1.0+"));
}

#[test]
fn the_error_for_a_file_that_is_no_plugin_says_what_it_is_and_how_to_fix_it() {
    let core = wasm_module();
    for (bytes, reason, remedy) in [
        (&b""[..], "empty", "replace the file by a rename"),
        (b"\0as", "incomplete", "replace the file by a rename"),
        (b"(module)", "WebAssembly as text", "wasm-tools parse"),
        (b"export const x = 1", "text, not WebAssembly", "componentize"),
        (b"<!doctype html>", "a web page", "component"),
        (b"\x7fELF\x02\x01\x01", "compiled code for a machine", "the component itself"),
        (b"\x1f\x8b\x08\0", "a compressed file", "unpack"),
        (b"\0asm\x07\0\0\0", "an unknown version", "current tools"),
        (&core, "without an embedded component type", "wasm-tools component embed"),
        (b"\0asm\x0d\0\x01\0", "exports none of pricedrop:bucketing/policy@0.1.0", "wit/"),
    ] {
        let place = Place::new();
        place.put("odd.wasm", bytes);
        let host = place.host();
        let problem = problem(&host, "odd");
        assert!(problem.starts_with("odd.wasm: "), "{problem}");
        assert!(problem.contains(reason) && problem.contains(remedy), "{bytes:?}: {problem}");
        assert!(host.bucketing().is_none());
    }
}

/// Returns an empty core module.
fn wasm_module() -> Vec<u8> {
    b"\0asm\x01\0\0\0".to_vec()
}

#[test]
fn the_error_for_a_wrong_setting_suggests_the_nearest_name() {
    for (sidecar, told) in [
        ("[settings]\nwith = \"10\"", "setting with is unknown; did you mean width?"),
        ("[settings]\nwidth = 0.1", "write exact decimals in quotes: \"0.1\""),
        ("[settings]\nwidth = \"ten\"", "\"ten\" is no decimal"),
        ("[settings]\nwidth = true", "must be a decimal in quotes, not boolean"),
        ("[settings]\nwidth = \"0\"", "configure: setting width: must be above 0"),
        ("[seting]\nwidth = \"10\"", "unknown key seting; did you mean settings?"),
        ("[limits]\ncpu = 5", "unknown key limits.cpu; did you mean limits.cpu_ms?"),
        ("[limits]\ncpu_ms = \"5\"", "limits.cpu_ms must be a whole number above 0"),
        ("timeout_ms = 0", "timeout_ms must be a whole number above 0"),
        ("concurrency = 0", "concurrency must be a whole number above 0"),
        ("rate_per_second = 0", "rate_per_second must be a whole number above 0"),
        ("width = ", "line 1, column"),
        (
            "[[cases]]\nproduct = \"P\"\nprices = [\"79.90\"]\nbuckets = [8]",
            "1 of 1 cases failed: case 1: expected [8], got [7]",
        ),
    ] {
        let place = Place::new();
        place.put("floor.toml", sidecar);
        place.put_plugin("floor", &built("bucketing-floor"));
        let host = place.host();
        let problem = problem(&host, "floor");
        assert!(problem.contains(told), "{sidecar}: {problem}");
    }
}

#[test]
fn cases_in_a_sidecar_are_run_with_its_settings() {
    let place = Place::new();
    let cases = "[[cases]]\nproduct = \"P\"\nprices = [\"79.90\", 80]\nbuckets = [159, 160]";
    place.put("floor.toml", format!("[settings]\nwidth = \"0.5\"\n{cases}"));
    place.put_plugin("floor", &built("bucketing-floor"));
    assert_eq!(buckets(&place.host(), &["1"]).unwrap(), [2]);
}

#[test]
fn a_channel_gets_the_access_of_its_sidecar() {
    let place = Place::new();
    place.put(
        "hook.toml",
        "hosts = [\"hooks.example.com\"]\nrate_per_second = 5\n[settings]\ncredential = \"main\"\n\
         [credentials.main]\nhosts = [\"hooks.example.com\"]\nscheme = \"bearer\"\ntoken = { env = \"HOOK_TOKEN\" }\n",
    );
    place.put_plugin("hook", &built("channel-webhook"));
    let host = place.host();
    let channel = host.channel("hook").expect("the channel serves");
    assert_eq!(channel.access().hosts, ["hooks.example.com"]);
    assert_eq!(channel.access().rate_per_second, Some(5));
    assert!(channel.access().credentials.contains_key("main"));
    assert!(channel.name().starts_with("channel-webhook@"));

    place.put("hook.toml", "[settings]\ncredential = \"mian\"\n[credentials]\n");
    host.reload();
    let problem = problem(&host, "hook");
    assert!(problem.contains("names the credential \"mian\""), "{problem}");
    assert!(host.channel("hook").is_some(), "the old one keeps serving");
}

#[test]
fn only_allowed_digests_are_loaded() {
    let place = Place::new();
    place.put_floor("floor", "10");
    let digest = place.host().status().plugin("floor").unwrap().wasm_digest.clone().unwrap();
    let mut options = place.options();
    options.data_dir = None;
    options.allow_digests = Some(vec![digest.clone()]);
    assert!(options.clone().build().unwrap().bucketing().is_some());
    options.allow_digests = Some(vec!["00".into()]);
    let problem = problem(&options.build().unwrap(), "floor");
    assert!(problem.contains(&digest) && problem.contains("plugins.allow"), "{problem}");
}

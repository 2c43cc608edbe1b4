//! Checks which crates may depend on which.

use crate::none;
use crate::tree::{self, Manifest};

/// The crates of the engine with their levels. A crate may depend only on higher numbers.
const LEVELS: [(&str, usize); 13] = [
    ("pricedrop", 0),
    ("pricedrop-http", 1),
    ("pricedrop-pipeline", 2),
    ("pricedrop-archive", 2),
    ("pricedrop-kafka", 3),
    ("pricedrop-cassandra", 3),
    ("pricedrop-redis", 3),
    ("pricedrop-embedded", 3),
    ("pricedrop-memory", 3),
    ("pricedrop-outbound", 3),
    ("pricedrop-host", 3),
    ("pricedrop-decide", 4),
    ("pricedrop-model", 5),
];

/// Outside libraries, and the only crates that may depend on them.
const KEPT_APART: [(&str, &[&str]); 10] = [
    ("wasmtime", &["pricedrop-host"]),
    ("wasmtime-wasi", &["pricedrop-host"]),
    ("fjall", &["pricedrop-embedded", "pricedrop-bench", "pricedrop-harness"]),
    ("lettre", &["pricedrop-outbound"]),
    ("object_store", &["pricedrop-archive"]),
    ("axum", &["pricedrop-http"]),
    ("rdkafka", &["pricedrop-kafka", "pricedrop-bench", "pricedrop-harness"]),
    ("scylla", &["pricedrop-cassandra", "pricedrop-bench", "pricedrop-harness"]),
    ("redis", &["pricedrop-redis"]),
    ("prometheus-client", &COUNTING),
];

/// Crates that may count metrics: those that declare them, the one that exposes them, and the
/// binary. `pricedrop-decide` and `pricedrop-model` count nothing.
const COUNTING: [&str; 9] = [
    "pricedrop",
    "pricedrop-http",
    "pricedrop-pipeline",
    "pricedrop-archive",
    "pricedrop-kafka",
    "pricedrop-cassandra",
    "pricedrop-redis",
    "pricedrop-embedded",
    "pricedrop-host",
];

fn level(name: &str) -> Option<usize> {
    LEVELS.iter().find(|(known, _)| *known == name).map(|(_, level)| *level)
}

/// Crates of outside systems that are tested together, so a test may depend on both.
const TESTED_TOGETHER: [(&str, &str); 2] =
    [("pricedrop-cassandra", "pricedrop-redis"), ("pricedrop-kafka", "pricedrop-redis")];

/// Returns the dependencies of a crate that do not point down.
fn upward(manifest: &Manifest, dependencies: &[String]) -> Vec<String> {
    let Some(own) = level(&manifest.name) else { return Vec::new() };
    let wrong = dependencies.iter().filter(|name| level(name).is_some_and(|level| level <= own));
    wrong.map(|name| format!("{}: {} must not depend on {name}", manifest.file, manifest.name)).collect()
}

#[test]
fn every_crate_of_the_engine_has_its_level() {
    let engine = tree::manifests().into_iter().filter(|manifest| manifest.file.starts_with("engine/"));
    let unknown = engine.filter(|it| it.name != "pricedrop-testing" && level(&it.name).is_none());
    none("a crate without a level", unknown.map(|it| format!("{}: {}", it.file, it.name)).collect());
}

#[test]
fn every_arrow_between_crates_points_down() {
    let of = |it: Manifest| {
        let mut for_tests = it.dev_dependencies();
        for_tests.retain(|name| !TESTED_TOGETHER.contains(&(it.name.as_str(), name)));
        [upward(&it, &it.dependencies()), upward(&it, &for_tests)].concat()
    };
    none("arrows that do not point down", tree::manifests().into_iter().flat_map(of).collect());
}

#[test]
fn only_the_binary_names_outside_systems_and_the_plugin_host() {
    const NAMED: [&str; 8] = [
        "pricedrop-kafka",
        "pricedrop-cassandra",
        "pricedrop-redis",
        "pricedrop-embedded",
        "pricedrop-memory",
        "pricedrop-archive",
        "pricedrop-outbound",
        "pricedrop-host",
    ];
    let engine = tree::manifests().into_iter().filter(|it| it.file.starts_with("engine/"));
    let others = engine.filter(|it| it.name != "pricedrop");
    let wrong = others.filter(|it| it.dependencies().iter().any(|name| NAMED.contains(&name.as_str())));
    none(
        "only `pricedrop` may depend on the crate of an outside system or the host",
        wrong.map(|it| it.file).collect(),
    );
}

#[test]
fn model_depends_on_no_crate_of_ours_and_testing_only_on_model() {
    for manifest in tree::manifests() {
        let mut ours = manifest.dependencies();
        ours.retain(|name| name.starts_with("pricedrop"));
        match manifest.name.as_str() {
            "pricedrop-model" | "pricedrop-harness" => assert_eq!(ours, [""; 0], "{}", manifest.file),
            "pricedrop-testing" => assert_eq!(ours, ["pricedrop-model"], "{}", manifest.file),
            _ => {}
        }
    }
}

#[test]
fn test_helpers_are_not_built_into_the_product() {
    let built_in = |it: &Manifest| it.dependencies().iter().any(|name| name == "pricedrop-testing");
    let wrong = tree::manifests().into_iter().filter(built_in);
    none("`pricedrop-testing` belongs into [dev-dependencies]", wrong.map(|it| it.file).collect());
}

#[test]
fn each_outside_library_is_used_in_its_crates_only() {
    let mut findings = Vec::new();
    for manifest in tree::manifests() {
        let all = [manifest.dependencies(), manifest.dev_dependencies()].concat();
        for (library, places) in KEPT_APART {
            if all.iter().any(|name| name == library) && !places.contains(&manifest.name.as_str()) {
                findings.push(format!("{}: {library} belongs into {}", manifest.file, places.join(", ")));
            }
        }
    }
    none("libraries out of their place", findings);
}

#[test]
fn decide_uses_no_clock_task_or_outside_library() {
    const IMPURE: [&str; 8] =
        ["async ", "tokio", "SystemTime", "Instant", "Clock", "std::fs", "std::net", "std::env"];
    let mut findings = Vec::new();
    for file in tree::ending(&[".rs"]).iter().filter(|file| file.starts_with("engine/decide/src")) {
        for (at, line) in (1..).zip(tree::read(file).lines()) {
            let code = line.split("//").next().unwrap_or_default();
            if let Some(word) = IMPURE.iter().find(|word| code.contains(**word)) {
                findings.push(format!("{file}:{at}: {word}"));
            }
        }
    }
    none("decisions are pure", findings);
}

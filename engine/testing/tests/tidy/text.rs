//! Checks lines of source files and documents: what must be there, and what must not.

use crate::{none, tree};

/// The endings of files that people write.
const WRITTEN: [&str; 12] =
    [".rs", ".md", ".toml", ".wit", ".yml", ".js", ".lua", ".py", ".json", ".bash", "Makefile", "Dockerfile"];

/// Maximum number of lines of a Rust file.
const LINES: usize = 500;

/// Returns every line of these files in which `found` finds something, as file, line and finding.
fn search(found: impl Fn(&str, &str) -> Option<String>) -> Vec<String> {
    let mut findings = Vec::new();
    for file in tree::ending(&WRITTEN).iter().filter(|file| !file.contains("lock")) {
        for (at, line) in (1..).zip(tree::read(file).lines()) {
            findings.extend(found(file, line).map(|what| format!("{file}:{at}: {what}")));
        }
    }
    findings
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let (before, behind) = (&line[..at], &line[at + word.len()..]);
        !before.ends_with(is_part) && !behind.starts_with(is_part)
    })
}

#[test]
fn no_todo_is_left_in_the_code() {
    // The words are split, so that this file does not contain them.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];
    let calls = [concat!("to", "do!"), concat!("unimple", "mented!"), concat!("db", "g!")];
    none(
        "things left to be done",
        search(|_, line| {
            let word = words.iter().find(|word| has_word(line, word));
            word.or_else(|| calls.iter().find(|call| line.contains(**call))).map(|&found| found.to_owned())
        }),
    );
}

#[test]
fn no_test_is_ignored() {
    let ignored = concat!("#[", "ignore");
    none("tests are never ignored", search(|_, line| line.contains(ignored).then(|| ignored.to_owned())));
}

#[test]
fn no_file_names_the_machine_it_was_written_on() {
    let places = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/")];
    let found = |line: &str| places.iter().find(|place| line.contains(**place)).map(|&it| it.to_owned());
    none("absolute paths of a machine", search(|_, line| found(line)));
}

/// A test that sleeps must be polling: a loop before the sleep, in the same function, has a
/// deadline.
#[test]
fn no_test_sleeps_but_to_look_again_until_a_deadline() {
    let mut findings = Vec::new();
    for file in tree::ending(&[".rs"]).iter().filter(|file| file.contains("/tests/")) {
        let text = tree::read(file);
        let lines: Vec<&str> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let sleeps = [concat!("thread::", "sleep("), concat!("time::", "sleep(")];
            if sleeps.iter().any(|sleep| line.contains(sleep)) && !polls(&lines[..at]) {
                findings.push(format!("{file}:{}: {}", at + 1, line.trim()));
            }
        }
    }
    none("sleeps that wait for no condition", findings);
}

/// Returns whether these lines end within a loop that has a deadline.
fn polls(before: &[&str]) -> bool {
    let function = before.iter().rposition(|line| line.trim_start().contains("fn ")).unwrap_or(0);
    let function = &before[function..];
    let loops = function.iter().rposition(|line| {
        let line = line.trim_start();
        line.starts_with("loop") || line.starts_with("while ") || line.starts_with("for ")
    });
    let gives_up = |line: &&str| line.contains("deadline") || line.contains(".elapsed()");
    loops.is_some_and(|at| function[at..].iter().any(gives_up))
}

#[test]
fn no_file_of_rust_is_long() {
    let long = tree::ending(&[".rs"]).into_iter().filter_map(|file| {
        let lines = tree::read(&file).lines().count();
        (lines > LINES).then(|| format!("{file}: {lines} lines, at most {LINES}"))
    });
    none("files that are too long", long.collect());
}

#[test]
fn every_rust_file_has_a_head() {
    let silent = tree::ending(&[".rs"]).into_iter().filter(|file| !tree::read(file).starts_with("//! "));
    none("files without a `//!` at their head", silent.collect());
}

#[test]
fn documentation_is_demanded_of_every_crate() {
    let root: toml::Table = toml::from_str(&tree::read("Cargo.toml")).unwrap();
    let lint = root["workspace"]["lints"]["rust"]["missing_docs"].as_str();
    assert!(matches!(lint, Some("warn" | "deny")), "Cargo.toml: missing_docs must be on, not {lint:?}");
    let lax = tree::manifests().into_iter().filter(|manifest| !manifest.takes_lints());
    let mut findings: Vec<String> =
        lax.map(|it| format!("{}: [lints] workspace = true is missing", it.file)).collect();
    let allowed = concat!("#![allow(", "missing_docs");
    // Tests have no public items, so they may allow it.
    let of_a_crate = |file: &str, line: &str| file.contains("/src/") && line.contains(allowed);
    findings.extend(search(|file, line| of_a_crate(file, line).then(|| allowed.to_owned())));
    none("documentation is demanded", findings);
}

//! Checks `[bans]` of `deny.toml` against the dependencies: no crate is banned, and no crate is
//! there in several versions, except those that `skip` lists.

use std::collections::{BTreeMap, BTreeSet};

use crate::dependencies::{Dependencies, WITH_TESTS, WITHOUT_TESTS, read, rules};
use crate::none;

/// Returns the part of a version within which cargo unifies versions: `0.8` of 0.8.5, `2` of 2.0.1.
fn line(version: &str) -> String {
    let numbers: Vec<&str> = version.split(['.', '-', '+']).take(3).collect();
    let length = 1 + numbers.iter().take_while(|number| **number == "0").count();
    numbers[..length.min(numbers.len())].join(".")
}

fn is_line(text: &str) -> bool {
    let mut numbers = text.split('.').map(str::parse::<u64>);
    line(text) == text && numbers.clone().all(|it| it.is_ok()) && numbers.any(|it| it != Ok(0))
}

/// Returns the entries of a list of `[bans]`.
fn entries<'a>(rules: &'a toml::Table, list: &str) -> Vec<&'a toml::Table> {
    let listed = rules["bans"].get(list).and_then(toml::Value::as_array);
    listed.into_iter().flatten().map(|entry| entry.as_table().unwrap()).collect()
}

fn word<'a>(entry: &'a toml::Table, key: &str) -> &'a str {
    entry.get(key).and_then(toml::Value::as_str).unwrap_or_default()
}

/// Returns the old versions that `skip` allows, as names and version lines.
fn skipped(rules: &toml::Table, findings: &mut Vec<String>) -> BTreeSet<(String, String)> {
    let mut skipped = BTreeSet::new();
    for entry in entries(rules, "skip") {
        let spec = word(entry, "crate");
        match spec.split_once("@^") {
            Some((name, version)) if is_line(version) => {
                skipped.insert((name.to_owned(), version.to_owned()));
            }
            _ => findings
                .push(format!("skip {spec:?}: write it as name@^version, such as rand@^0.8 or syn@^2")),
        }
        if word(entry, "reason").is_empty() {
            findings.push(format!("skip {spec:?}: say as its reason which crates need that version"));
        }
    }
    skipped
}

/// Returns the versions of every crate by their lines, the oldest first.
fn versions(tree: &Dependencies) -> BTreeMap<&str, BTreeMap<Vec<u64>, &str>> {
    let mut versions: BTreeMap<&str, BTreeMap<Vec<u64>, &str>> = BTreeMap::new();
    for (name, version) in tree.keys() {
        versions.entry(name).or_default().insert(numbers(&line(version)), version);
    }
    versions
}

fn numbers(line: &str) -> Vec<u64> {
    line.split('.').map(|number| number.parse().unwrap()).collect()
}

/// Returns crates in several versions that are not listed, and entries of the list that are not
/// needed.
fn wrong_versions(tree: &Dependencies, rules: &toml::Table) -> Vec<String> {
    let mut findings = Vec::new();
    let skipped = skipped(rules, &mut findings);
    let versions = versions(tree);
    for (name, lines) in versions.iter().filter(|(_, lines)| lines.len() > 1) {
        let is_skipped = |version: &str| skipped.contains(&((*name).to_owned(), line(version)));
        let left: Vec<&str> = lines.values().filter(|version| !is_skipped(version)).copied().collect();
        match left.len() {
            0 => findings.push(format!("skip has every version of {name}: remove the entry of the newest")),
            1 => {}
            _ => findings.push(several(tree, name, &left)),
        }
    }
    for (name, line) in &skipped {
        let lines = versions.get(name.as_str());
        if !lines.is_some_and(|lines| lines.len() > 1 && lines.contains_key(&numbers(line))) {
            findings.push(format!("skip has {name}@^{line}, which is no second version any more: remove it"));
        }
    }
    findings
}

fn several(tree: &Dependencies, name: &str, versions: &[&str]) -> String {
    let needed = versions.iter().map(|version| {
        let package = &tree[&(name.to_owned(), (*version).to_owned())];
        let by: Vec<&str> = package.dependents.iter().map(String::as_str).collect();
        format!("{version} by {}", by.join(", "))
    });
    format!(
        "{name} is needed in several versions, {}: bring them to one in Cargo.toml or by `cargo update -p {name}@{}`; \
         if other people's crates force it, add {{ crate = \"{name}@^{}\", reason = \"who needs it\" }} to skip",
        needed.collect::<Vec<_>>().join("; "),
        versions[0],
        line(versions[0])
    )
}

/// Returns banned crates, and the crates that need them.
fn banned(tree: &Dependencies, rules: &toml::Table) -> Vec<String> {
    let mut findings = Vec::new();
    for entry in entries(rules, "deny") {
        let (name, reason) = (word(entry, "crate"), word(entry, "reason"));
        let wrappers = entry.get("wrappers").and_then(toml::Value::as_array);
        let wrappers: BTreeSet<&str> =
            wrappers.into_iter().flatten().filter_map(toml::Value::as_str).collect();
        for ((_, version), package) in tree.iter().filter(|((named, _), _)| named == name) {
            let dependents = package.dependents.iter().map(String::as_str);
            let others: Vec<&str> = dependents.filter(|dependent| !wrappers.contains(dependent)).collect();
            if !others.is_empty() {
                findings.push(format!(
                    "{name} {version}, needed by {}: {reason}; leave out what needs it, or the feature that brings it",
                    others.join(", ")
                ));
            }
        }
    }
    findings
}

#[test]
fn no_banned_crate_is_in_the_tree() {
    none("crates that deny.toml bans", banned(&read(WITH_TESTS), &rules()));
}

#[test]
fn no_crate_is_there_in_several_versions_unless_deny_toml_lists_it() {
    let rules = rules();
    assert_eq!(
        rules["bans"]["multiple-versions"].as_str(),
        Some("deny"),
        "deny.toml: cargo-deny checks it, too"
    );
    none("versions, by the list skip of deny.toml", wrong_versions(&read(WITHOUT_TESTS), &rules));
}

#[cfg(test)]
mod made_up {
    use super::*;
    use crate::dependencies::parse;

    /// Parses a tree as cargo prints it, here without licences.
    fn tree(text: &str) -> Dependencies {
        parse(&text.lines().map(|said| format!("{said}\t\n")).collect::<String>())
    }

    const ONE: &str = "0ours v1.0.0\n1rand v0.10.1\n1old v1.0.0\n2rand v0.10.1 (*)";
    const TWO: &str = "0ours v1.0.0\n1rand v0.10.1\n1old v1.0.0\n2rand v0.8.5";

    fn rules(bans: &str) -> toml::Table {
        toml::from_str(&format!("[bans]\n{bans}")).unwrap()
    }

    fn skip(specs: &[&str]) -> toml::Table {
        let entries: Vec<String> =
            specs.iter().map(|spec| format!("{{ crate = \"{spec}\", reason = \"old\" }}")).collect();
        rules(&format!("skip = [{}]", entries.join(", ")))
    }

    fn has(findings: &[String], words: &[&str]) {
        assert_eq!(findings.len(), 1, "{findings:#?}");
        assert!(words.iter().all(|words| findings[0].contains(words)), "{words:?}: {findings:#?}");
    }

    #[test]
    fn a_second_version_is_found_with_who_needs_it_and_what_to_do() {
        let words = ["0.8.5 by old", "0.10.1 by ours", "cargo update -p rand@0.8.5", "rand@^0.8", "skip"];
        has(&wrong_versions(&tree(TWO), &skip(&[])), &words);
        assert_eq!(wrong_versions(&tree(TWO), &skip(&["rand@^0.8"])), [""; 0]);
    }

    #[test]
    fn a_third_version_is_found_beside_one_that_is_listed() {
        let three = format!("{TWO}\n2rand v0.7.0");
        has(&wrong_versions(&tree(&three), &skip(&["rand@^0.8"])), &["0.7.0 by old", "rand@^0.7"]);
    }

    #[test]
    fn an_entry_that_is_no_second_version_any_more_is_found() {
        for spec in ["rand@^0.10", "rand@^0.8", "gone@^1"] {
            has(&wrong_versions(&tree(ONE), &skip(&[spec])), &[spec, "remove it"]);
        }
        assert_eq!(wrong_versions(&tree(ONE), &skip(&[])), [""; 0]);
    }

    #[test]
    fn the_newest_version_needs_no_entry() {
        has(&wrong_versions(&tree(TWO), &skip(&["rand@^0.8", "rand@^0.10"])), &["rand", "of the newest"]);
    }

    #[test]
    fn an_allowed_version_names_its_reason() {
        for spec in ["rand", "rand@0.8", "rand@^0.8.5", "rand@^0", "rand@^", "rand@^x"] {
            let findings = wrong_versions(&tree(ONE), &skip(&[spec]));
            has(&findings, &[spec, "name@^version"]);
        }
        let findings = wrong_versions(&tree(TWO), &rules("skip = [{ crate = \"rand@^0.8\" }]"));
        has(&findings, &["rand@^0.8", "reason"]);
    }

    #[test]
    fn a_banned_crate_is_found_unless_a_wrapper_alone_needs_it() {
        let bans = |wrappers: &str| {
            rules(&format!("deny = [{{ crate = \"rand\", wrappers = [{wrappers}], reason = \"chance\" }}]"))
        };
        has(&banned(&tree(ONE), &bans("")), &["rand 0.10.1", "needed by old, ours: chance"]);
        has(&banned(&tree(ONE), &bans("\"ours\"")), &["needed by old: chance"]);
        assert_eq!(banned(&tree(ONE), &bans("\"ours\", \"old\"")), [""; 0]);
        assert_eq!(banned(&tree("0ours v1.0.0"), &bans("")), [""; 0]);
    }

    #[test]
    fn versions_that_cargo_unifies_count_as_one() {
        for (version, expected) in [
            ("2.0.119", "2"),
            ("0.8.5", "0.8"),
            ("0.0.7", "0.0.7"),
            ("1.2.3+spec-1.1.0", "1"),
            ("0.8", "0.8"),
        ] {
            assert_eq!(line(version), expected);
        }
    }
}

//! Whether every dependency may be used under a licence that `deny.toml` allows.

use std::process::Command;

use serde_json::Value;

use crate::{none, tree};

/// Splits an SPDX expression; the old slash means OR.
fn tokens(expression: &str) -> Vec<String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    spaced.split_whitespace().map(str::to_owned).collect()
}

/// Whether an expression can be met with the allowed licences.
fn is_met(expression: &str, allowed: &[String]) -> bool {
    let tokens = tokens(expression);
    let mut rest = &tokens[..];
    let met = any(&mut rest, allowed);
    met && rest.is_empty()
}

fn any(rest: &mut &[String], allowed: &[String]) -> bool {
    let mut met = all(rest, allowed);
    while take(rest, "OR") {
        met |= all(rest, allowed);
    }
    met
}

fn all(rest: &mut &[String], allowed: &[String]) -> bool {
    let mut met = one(rest, allowed);
    while take(rest, "AND") {
        met &= one(rest, allowed);
    }
    met
}

fn one(rest: &mut &[String], allowed: &[String]) -> bool {
    if take(rest, "(") {
        let met = any(rest, allowed);
        return take(rest, ")") && met;
    }
    let Some((name, behind)) = rest.split_first() else { return false };
    *rest = behind;
    let mut name = name.clone();
    if take(rest, "WITH")
        && let Some((exception, behind)) = rest.split_first()
    {
        *rest = behind;
        name = format!("{name} WITH {exception}");
    }
    allowed.contains(&name)
}

fn take(rest: &mut &[String], token: &str) -> bool {
    let is_next = rest.first().is_some_and(|next| next == token);
    if is_next {
        *rest = &rest[1..];
    }
    is_next
}

/// What this machine builds with: others' crates may not even be at hand.
fn packages() -> Vec<Value> {
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let rustc = String::from_utf8(rustc.stdout).unwrap();
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--format-version", "1", "--filter-platform", host])
        .current_dir(tree::root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let deny: toml::Table = toml::from_str(&tree::read("deny.toml")).unwrap();
    let allowed = deny["licenses"]["allow"].as_array().unwrap().iter();
    let allowed: Vec<String> = allowed.map(|name| name.as_str().unwrap().to_owned()).collect();
    let mut findings = Vec::new();
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or("none named");
        if !is_met(licence, &allowed) {
            findings.push(format!("{} {}: {licence}", package["name"], package["version"]));
        }
    }
    none("licences that deny.toml does not allow", findings);
}

#[test]
fn licence_expressions_are_read_as_they_are_meant() {
    let allowed: Vec<String> = ["MIT", "Zlib", "A WITH B"].map(str::to_owned).into();
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(GPL-3.0 OR MIT) AND Zlib", true),
        ("GPL-3.0 OR MIT AND Apache-2.0", false),
        ("A WITH B", true),
        ("A", false),
        ("MIT WITH B", false),
        ("none named", false),
        ("", false),
    ] {
        assert_eq!(is_met(expression, &allowed), met, "{expression}");
    }
}

//! Checks that every dependency may be used under a licence that `deny.toml` allows.

use crate::dependencies::{Dependencies, WITH_TESTS, parse, read, rules};
use crate::none;

/// Splits an SPDX expression into tokens; the old `/` means OR.
fn tokens(expression: &str) -> Vec<String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    spaced.split_whitespace().map(str::to_owned).collect()
}

/// Returns whether an expression can be satisfied with the allowed licences.
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

fn not_allowed(tree: &Dependencies, allowed: &[String]) -> Vec<String> {
    let wrong = tree.iter().filter(|(_, package)| !is_met(&package.licence, allowed));
    wrong.map(|((name, version), package)| format!("{name} {version}: {:?}", package.licence)).collect()
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let rules = rules();
    let allowed = rules["licenses"]["allow"].as_array().unwrap().iter();
    let allowed: Vec<String> = allowed.map(|name| name.as_str().unwrap().to_owned()).collect();
    none("licences that deny.toml does not allow", not_allowed(&read(WITH_TESTS), &allowed));
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
        ("", false),
    ] {
        assert_eq!(is_met(expression, &allowed), met, "{expression}");
    }
}

#[test]
fn a_package_without_an_allowed_licence_is_found() {
    let tree = parse("0a v1.0.0\tMIT\n1b v1.0.0\tGPL-3.0\n1c v1.0.0\t");
    assert_eq!(not_allowed(&tree, &["MIT".to_owned()]), ["b 1.0.0: \"GPL-3.0\"", "c 1.0.0: \"\""]);
}

//! Checks that the names in the documents for engineers exist: files, tests, functions, constants
//! and options. It fails if something was renamed and a document still has the old name.

use std::collections::HashSet;

use crate::{none, tree};

/// A name with at least this many words is the name of a test.
const WORDS_OF_A_TEST: usize = 6;

/// Returns the documents with their texts.
fn documents() -> Vec<(String, String)> {
    let mut files = tree::ending(&[".md"]);
    files.retain(|file| {
        let is_page = file.starts_with("docs/internals/") || file.starts_with("docs/decisions/");
        is_page || file == "ARCHITECTURE.md" || file == "CONTRIBUTING.md"
    });
    files.into_iter().map(|file| (file.clone(), tree::read(&file))).collect()
}

/// Returns every name that `found` takes from a line of a document and `is_known` does not know.
fn unknown(found: impl Fn(&str) -> Vec<&str>, is_known: impl Fn(&str) -> bool) -> Vec<String> {
    let mut findings = Vec::new();
    for (file, text) in documents() {
        for (at, line) in (1..).zip(text.lines()) {
            let names = found(line).into_iter().filter(|name| !is_known(name));
            findings.extend(names.map(|name| format!("{file}:{at}: {name}")));
        }
    }
    findings
}

/// Returns the parts of a line that may be paths. Pictures name files without backticks.
fn paths(line: &str) -> Vec<&str> {
    let is_of_path = |c: char| c.is_ascii_alphanumeric() || "_-./".contains(c);
    let parts = line.split(|c: char| !is_of_path(c)).map(|part| part.trim_end_matches('.'));
    let roots = ["engine/", "plugins/", "schema/", "wit/", "dev/", "bench/"];
    let is_path = |part: &&str| {
        [".rs", ".lua", ".cql"].iter().any(|ending| part.ends_with(ending) && part.len() > ending.len())
            || roots.iter().any(|root| part.starts_with(root))
    };
    parts.filter(is_path).collect()
}

/// Returns what a line has in backticks.
fn quoted(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

/// Returns identifiers of several words, in lower or upper case.
fn identifiers(line: &str) -> Vec<&str> {
    let is_identifier = |name: &&str| {
        name.contains('_') && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    quoted(line).into_iter().filter(is_identifier).collect()
}

/// Returns the text of every file that is not a document.
fn sources() -> String {
    let files = tree::files().into_iter().filter(|file| !file.ends_with(".md"));
    files.filter_map(|file| std::fs::read_to_string(tree::root().join(file)).ok()).collect()
}

#[test]
fn every_file_that_documents_name_exists() {
    let files = tree::files();
    let is_file = |name: &str| {
        let (end, folder) = (format!("/{name}"), format!("{}/", name.trim_end_matches('/')));
        files.iter().any(|file| file == name || file.ends_with(&end) || file.starts_with(&folder))
    };
    none("files that are not there", unknown(paths, is_file));
}

#[test]
fn every_identifier_that_documents_name_exists() {
    let sources = sources();
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let known: HashSet<&str> = sources.split(|c: char| !is_part(c)).collect();
    let functions: HashSet<&str> =
        sources.split("fn ").skip(1).filter_map(|rest| rest.split(|c: char| !is_part(c)).next()).collect();
    let is_known = |name: &str| match name.split('_').count() >= WORDS_OF_A_TEST {
        true => functions.contains(name),
        false => known.contains(name),
    };
    none("identifiers that are not there", unknown(identifiers, is_known));
}

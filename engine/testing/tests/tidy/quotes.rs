//! Checks what documents refer to: links, commands, generated pages, plugin binaries.

use std::path::Path;
use std::process::Command;

use crate::{none, tree};

/// Returns the lines of a document with their number, and whether they are in a code block.
fn lines(text: &str) -> Vec<(usize, &str, bool)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (at, line) in (1..).zip(text.lines()) {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        lines.push((at, line, fenced || fence || line.starts_with("    ")));
    }
    lines
}

/// Returns every command that documents quote, as file, line and words.
fn quoted(tool: &str) -> Vec<(String, usize, Vec<String>)> {
    let mut quoted = Vec::new();
    for file in tree::ending(&[".md"]) {
        for (at, line, code) in lines(&tree::read(&file)) {
            let spans: Vec<&str> = match code {
                true => vec![line],
                false => line.split('`').skip(1).step_by(2).collect(),
            };
            for span in spans {
                let span = span.trim().trim_start_matches("$ ");
                let mut words = span.split_whitespace().take_while(|word| *word != "#");
                if words.next() == Some(tool) {
                    quoted.push((file.clone(), at, words.map(str::to_owned).collect()));
                }
            }
        }
    }
    quoted
}

#[test]
fn every_link_between_documents_leads_somewhere() {
    let mut findings = Vec::new();
    for file in tree::ending(&[".md"]) {
        let folder = Path::new(&file).parent().unwrap().to_owned();
        for (at, line, _) in lines(&tree::read(&file)).into_iter().filter(|(.., code)| !code) {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let target = target.split('#').next().unwrap_or_default();
                let outside = target.is_empty() || target.contains("://") || target.starts_with("mailto:");
                if !outside && !tree::root().join(&folder).join(target).exists() {
                    findings.push(format!("{file}:{at}: {target}"));
                }
            }
        }
    }
    none("links that lead nowhere", findings);
}

#[test]
fn every_make_target_that_documents_quote_exists() {
    let makefile = tree::read("Makefile");
    let is_target = |name: &str| makefile.lines().any(|line| line.starts_with(&format!("{name}:")));
    let mut findings = Vec::new();
    for (file, at, words) in quoted("make") {
        for word in words.iter().filter(|word| word.bytes().all(|byte| byte.is_ascii_lowercase())) {
            if !is_target(word) {
                findings.push(format!("{file}:{at}: make {word}"));
            }
        }
    }
    none("targets that the Makefile has not", findings);
}

#[test]
fn every_command_that_documents_quote_exists() {
    let reference = tree::read("docs/cli.md");
    let headings: Vec<&str> = reference
        .lines()
        .filter_map(|line| line.trim_start_matches('#').strip_prefix(" pricedrop "))
        .collect();
    let mut findings = Vec::new();
    for (file, at, words) in quoted("pricedrop") {
        let Some(command) = words.first().filter(|word| !word.starts_with(['-', '['])) else { continue };
        let group = format!("{command} ");
        let has_more = headings.iter().any(|heading| heading.starts_with(&group));
        let known = match words.get(1).filter(|_| has_more) {
            // `dlq list|show|replay` quotes several commands.
            Some(more) => more
                .split('|')
                .all(|word| word.starts_with(['-', '[']) || headings.contains(&&*format!("{group}{word}"))),
            None => headings.contains(&command.as_str()),
        };
        if !known {
            findings.push(format!("{file}:{at}: pricedrop {}", words.join(" ")));
        }
    }
    none("commands that docs/cli.md does not know", findings);
}

#[test]
fn every_generated_page_is_held_to_its_source() {
    let test = tree::read("engine/pricedrop/tests/references.rs");
    let pages = tree::ending(&[".md"]).into_iter().filter(|file| file.starts_with("docs/"));
    let generated = pages.filter(|file| tree::read(file).contains("<!-- Generated"));
    let names: Vec<String> = generated.map(|file| file.trim_start_matches("docs/").to_owned()).collect();
    assert!(names.contains(&"cli.md".to_owned()) && names.contains(&"config.md".to_owned()), "{names:?}");
    let unheld = names.into_iter().filter(|name| !test.contains(&format!("\"{name}\"")));
    none("generated pages without a test in engine/pricedrop/tests/references.rs", unheld.collect());
}

#[test]
fn every_committed_plugin_is_built_from_its_source() {
    let verify = Command::new("bash").arg("dev/plugins/verify").current_dir(tree::root()).output().unwrap();
    assert!(verify.status.success(), "dev/plugins/verify:\n{}", String::from_utf8_lossy(&verify.stderr));
}

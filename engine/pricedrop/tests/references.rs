//! The generated files in `docs/` and `schema/` match the code. Run with
//! `PRICEDROP_BLESS=1` to write them.
#![allow(clippy::unwrap_used)]

use std::path::Path;

fn is_current(folder: &str, name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder).join(name);
    if std::env::var_os("PRICEDROP_BLESS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    let same = written == text;
    assert!(
        same,
        "{folder}/{name} is not current: run `PRICEDROP_BLESS=1 cargo test --release -p pricedrop --test references`"
    );
}

#[test]
fn the_configuration_reference_is_current() {
    is_current("docs", "config.md", &pricedrop::config::markdown());
}

#[test]
fn the_json_schema_of_the_configuration_is_current() {
    is_current("schema", "config.schema.json", &pricedrop::config::json_schema());
}

#[test]
fn the_command_line_reference_is_current() {
    is_current("docs", "cli.md", &pricedrop::cli_reference::markdown());
}

/// Quoted fragments of a configuration get the `[stores]` that they are about.
#[test]
fn every_configuration_that_documents_quote_is_right() {
    for page in ["docs/operations.md", "README.md"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(page);
        let text = std::fs::read_to_string(file).unwrap();
        let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
        for block in blocks {
            let stores = block.contains("[kafka]") && !block.contains("[stores]");
            let block = format!("{}{block}", if stores { "[stores]\nlog = \"kafka\"\n" } else { "" });
            let read = pricedrop::config::Config::read(Some((Path::new(page), &block)), std::iter::empty());
            assert!(read.is_ok(), "{page}: {:?}\n{block}", read.err());
        }
    }
}

/// Keys are quoted in backticks, as `table.key`; one may have been renamed since.
#[test]
fn every_key_that_documents_quote_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let pages = pages.chain([root.join("README.md"), root.join("ARCHITECTURE.md")]);
    let names: Vec<&str> = pricedrop::config::fields().map(|field| field.name).collect();
    let mut unknown = Vec::new();
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        let quoted = text.split('`').skip(1).step_by(2).filter_map(|quoted| quoted.split_whitespace().next());
        unknown.extend(
            quoted
                .filter(|quoted| looks_like_a_key(quoted) && !names.contains(quoted))
                .map(|quoted| format!("{}: {quoted}", page.file_name().unwrap_or_default().display())),
        );
    }
    assert!(unknown.is_empty(), "keys that do not exist: {unknown:#?}");
}

fn looks_like_a_key(quoted: &str) -> bool {
    let Some((table, key)) = quoted.split_once('.') else { return false };
    let mut fields = pricedrop::config::fields();
    let is_file = ["addr", "cql", "json", "md", "rs", "toml", "wasm"].contains(&key);
    !is_file
        && fields.any(|field| field.table == table)
        && key.chars().all(|c| c == '_' || c.is_ascii_lowercase())
}

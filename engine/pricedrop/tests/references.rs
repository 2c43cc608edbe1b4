//! The pages of `docs/` that are generated are those of this code. Run with
//! `PRICEDROP_BLESS=1` to write them.
#![allow(clippy::unwrap_used)]

use std::path::Path;

fn is_current(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("PRICEDROP_BLESS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    let same = written == text;
    assert!(
        same,
        "docs/{name} is not current: run `PRICEDROP_BLESS=1 cargo test --release -p pricedrop --test references`"
    );
}

#[test]
fn the_configuration_reference_is_current() {
    is_current("config.md", &pricedrop::config::markdown());
}

#[test]
fn the_command_line_reference_is_current() {
    is_current("cli.md", &pricedrop::cli_reference::markdown());
}

/// Fragments that begin in the middle are given the stores they speak of.
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

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

//! The commands `pricedrop topics`, `schema` and `offsets`.

use crate::support::{Setting, run_cli};

#[test]
fn topics_that_are_missing_are_made_and_weak_ones_are_said() {
    let setting = Setting::new();
    let (_folder, home) = setting.home();
    insta::assert_snapshot!(run_cli(&setting, &home, &["topics", "check"]));
    insta::assert_snapshot!(run_cli(&setting, &home, &["topics", "apply"]));
    insta::assert_snapshot!(run_cli(&setting, &home, &["topics", "apply"]));
    let said = run_cli(&setting, &home, &["topics", "check"]);
    assert!(said.contains("exit code 0") && said.contains("has 1 replicas"), "{said}");
}

#[test]
fn a_shadow_has_states_of_its_own() {
    let setting = Setting::new().prepared();
    let (_folder, home) = setting.home();
    let said = run_cli(&setting, &home, &["topics", "apply", "--shadow"]);
    assert!(said.contains("made topic NAME.state.shadow\n"), "{said}");
}

#[test]
fn tables_are_made_once_and_found_right() {
    let setting = Setting::new().prepared();
    let (_folder, home) = setting.home();
    let said = run_cli(&setting, &home, &["schema", "apply"]);
    assert!(said.starts_with("every table is there already\n"), "{said}");
    let said = run_cli(&setting, &home, &["schema", "check"]);
    assert!(said.starts_with("tables: all as it should be\n"), "{said}");
}

#[test]
fn where_offsets_and_states_agree_there_is_nothing_to_accept() {
    let setting = Setting::new().prepared();
    let (_folder, home) = setting.home();
    let said = run_cli(&setting, &home, &["offsets", "accept"]);
    assert!(said.starts_with("offsets and states belong together"), "{said}");
}

#[test]
fn commands_for_servers_that_are_not_configured_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let home = pricedrop_harness::Home::create(env!("CARGO_BIN_EXE_pricedrop"), folder.path(), "").unwrap();
    for command in [["topics", "check"], ["schema", "check"], ["offsets", "accept"]] {
        let said = String::from_utf8(home.command(&command).output().unwrap().stderr).unwrap();
        assert!(said.contains("so there is nothing to look at"), "{said}");
    }
}

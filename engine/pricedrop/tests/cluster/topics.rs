//! The commands `pricedrop topics`, `schema` and `offsets`.

use crate::support::{Setting, run_cli};

#[test]
fn missing_topics_are_created_and_weak_settings_are_reported() {
    let setting = Setting::new();
    let (_folder, home) = setting.home();
    insta::assert_snapshot!(run_cli(&setting, &home, &["topics", "check"]));
    insta::assert_snapshot!(run_cli(&setting, &home, &["topics", "apply"]));
    insta::assert_snapshot!(run_cli(&setting, &home, &["topics", "apply"]));
    let report = run_cli(&setting, &home, &["topics", "check"]);
    assert!(report.contains("exit code 0") && report.contains("has 1 replicas"), "{report}");
}

#[test]
fn a_shadow_has_states_of_its_own() {
    let setting = Setting::new().prepared();
    let (_folder, home) = setting.home();
    let report = run_cli(&setting, &home, &["topics", "apply", "--shadow"]);
    assert!(report.contains("created topic NAME.state.shadow\n"), "{report}");
}

#[test]
fn tables_are_created_once_and_pass_the_check() {
    let setting = Setting::new().prepared();
    let (_folder, home) = setting.home();
    let report = run_cli(&setting, &home, &["schema", "apply"]);
    assert!(report.starts_with("every table exists\n"), "{report}");
    let report = run_cli(&setting, &home, &["schema", "check"]);
    assert!(report.starts_with("tables: no problems were found\n"), "{report}");
}

#[test]
fn if_offsets_and_states_agree_no_offset_is_set() {
    let setting = Setting::new().prepared();
    let (_folder, home) = setting.home();
    let report = run_cli(&setting, &home, &["offsets", "set"]);
    assert!(report.starts_with("offsets and states agree"), "{report}");
}

#[test]
fn commands_for_servers_that_are_not_configured_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let home = pricedrop_harness::Home::create(env!("CARGO_BIN_EXE_pricedrop"), folder.path(), "").unwrap();
    for command in [["topics", "check"], ["schema", "check"], ["offsets", "set"]] {
        let report = String::from_utf8(home.command(&command).output().unwrap().stderr).unwrap();
        assert!(report.contains("so there is nothing to check"), "{report}");
    }
}

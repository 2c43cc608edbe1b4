//! `pricedrop doctor` against servers, topics and tables with problems.

use crate::support::{NOWHERE, Setting, run_cli};

#[test]
fn on_correct_servers_doctor_has_notes_only() {
    let setting = Setting::new().prepared();
    let (_folder, home) = setting.home();
    let report = run_cli(&setting, &home, &["doctor"]);
    assert!(report.contains("exit code 0") && report.contains("doctor: it works, with"), "{report}");
}

#[test]
fn missing_topics_are_found_with_the_remedy() {
    let setting = Setting::new();
    let (_folder, home) = setting.home();
    home.run(&["schema", "apply"]).unwrap();
    let report = run_cli(&setting, &home, &["doctor"]);
    assert!(report.contains("exit code 1"), "{report}");
    assert!(
        report.contains("topic NAME.prices: is missing") && report.contains("pricedrop topics apply"),
        "{report}"
    );
}

#[test]
fn a_topic_of_states_with_another_number_of_partitions_is_found() {
    let setting = Setting::new().prepared();
    // The states topic of another engine, which has three partitions.
    let other = Setting { partitions: 3, ..Setting::new() }.prepared();
    let wrong = Setting { state: other.state.clone(), ..setting };
    let (_folder, home) = wrong.home();
    let report = run_cli(&wrong, &home, &["doctor"]);
    assert!(report.contains("exit code 1"), "{report}");
    assert!(report.contains("has 3 partitions, and NAME.prices has 2"), "{report}");
}

#[test]
fn a_table_of_another_shape_is_reported_and_not_changed() {
    let setting = Setting { alerts: "user_channels".into(), ..Setting::new().prepared() };
    let (_folder, home) = setting.home();
    let report = run_cli(&setting, &home, &["doctor"]);
    assert!(report.contains("exit code 1"), "{report}");
    assert!(report.contains("table user_channels: it has no column product_id"), "{report}");
    let report = run_cli(&setting, &home, &["schema", "apply"]);
    assert!(report.contains("exit code 1") && report.contains("it is not touched"), "{report}");
}

#[test]
fn an_unavailable_server_is_named_and_the_others_are_checked() {
    let setting = Setting::new().prepared();
    for away in ["kafka", "cassandra", "redis"] {
        let mut setting = setting.clone();
        match away {
            "kafka" => setting.kafka = NOWHERE.into(),
            "cassandra" => setting.cassandra = NOWHERE.into(),
            _ => setting.redis = NOWHERE.into(),
        }
        let (_folder, home) = setting.home();
        let report = run_cli(&setting, &home, &["doctor"]);
        assert!(report.contains("exit code 1") && report.contains("doctor: 1 wrong"), "{away}: {report}");
        assert!(report.contains(&format!("wrong  {away}: ")), "{away}: {report}");
    }
}

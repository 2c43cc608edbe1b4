//! `pricedrop doctor` against servers, topics and tables with problems.

use crate::support::{NOWHERE, Setting, run_cli};

#[test]
fn on_servers_that_are_right_it_has_notes_alone() {
    let setting = Setting::new().prepared();
    let (_folder, home) = setting.home();
    let said = run_cli(&setting, &home, &["doctor"]);
    assert!(said.contains("exit code 0") && said.contains("doctor: it works, with"), "{said}");
}

#[test]
fn missing_topics_are_found_with_the_remedy() {
    let setting = Setting::new();
    let (_folder, home) = setting.home();
    home.run(&["schema", "apply"]).unwrap();
    let said = run_cli(&setting, &home, &["doctor"]);
    assert!(said.contains("exit code 1"), "{said}");
    assert!(
        said.contains("topic NAME.prices: is missing") && said.contains("pricedrop topics apply"),
        "{said}"
    );
}

#[test]
fn a_topic_of_states_with_another_number_of_partitions_is_found() {
    let setting = Setting::new().prepared();
    // The states topic of another engine, which has three partitions.
    let other = Setting { partitions: 3, ..Setting::new() }.prepared();
    let wrong = Setting { state: other.state.clone(), ..setting };
    let (_folder, home) = wrong.home();
    let said = run_cli(&wrong, &home, &["doctor"]);
    assert!(said.contains("exit code 1"), "{said}");
    assert!(said.contains("has 3 partitions, and NAME.prices has 2"), "{said}");
}

#[test]
fn a_table_of_another_shape_is_found_and_left_alone() {
    let setting = Setting { alerts: "user_channels".into(), ..Setting::new().prepared() };
    let (_folder, home) = setting.home();
    let said = run_cli(&setting, &home, &["doctor"]);
    assert!(said.contains("exit code 1"), "{said}");
    assert!(said.contains("table user_channels: it has no column product_id"), "{said}");
    let said = run_cli(&setting, &home, &["schema", "apply"]);
    assert!(said.contains("exit code 1") && said.contains("it is not touched"), "{said}");
}

#[test]
fn a_server_that_is_away_is_named_and_the_others_are_looked_at() {
    let setting = Setting::new().prepared();
    for away in ["kafka", "cassandra", "redis"] {
        let mut setting = setting.clone();
        match away {
            "kafka" => setting.kafka = NOWHERE.into(),
            "cassandra" => setting.cassandra = NOWHERE.into(),
            _ => setting.redis = NOWHERE.into(),
        }
        let (_folder, home) = setting.home();
        let said = run_cli(&setting, &home, &["doctor"]);
        assert!(said.contains("exit code 1") && said.contains("doctor: 1 wrong"), "{away}: {said}");
        assert!(said.contains(&format!("wrong  {away}: ")), "{away}: {said}");
    }
}

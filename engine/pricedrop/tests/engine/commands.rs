//! The commands against a running engine, and without one.

use std::process::{Command, Output};

use pricedrop_harness::{Home, shipped};

use crate::support::{home, post};

/// Returns the output and exit code of a command, without what differs from run to run.
fn run_cli(home: &Home, arguments: &[&str]) -> String {
    in_words(&home.command(arguments).output().unwrap())
}

fn in_words(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let code = output.status.code().unwrap_or(-1);
    format!("{}--- standard error, exit code {code}\n{}", text(&output.stdout), text(&output.stderr))
}

#[test]
fn without_an_engine_commands_fail_with_the_remedy() {
    let (_folder, home) = home("");
    insta::assert_snapshot!(run_cli(&home, &["watch", "list", "--url", "http://127.0.0.1:9"]));
    insta::assert_snapshot!(run_cli(&home, &["watch", "list"]));
}

#[test]
fn wrong_arguments_are_refused_before_any_request_is_sent() {
    let (_folder, home) = home("");
    insta::assert_snapshot!(run_cli(&home, &["watch", "add", "P7", "cheap", "u1"]));
    insta::assert_snapshot!(run_cli(&home, &["run", "--role", "notifier"]));
    insta::assert_snapshot!(run_cli(&home, &["watch", "list", "--url", "nonsense"]));
}

#[test]
fn watches_are_added_listed_and_removed() {
    let (_folder, home) = home("");
    let _engine = home.start().unwrap();
    insta::assert_snapshot!(run_cli(&home, &["watch", "add", "P7", "80", "u1", "--mode", "once"]));
    insta::assert_snapshot!(run_cli(&home, &["watch", "list", "P7"]));
    assert!(run_cli(&home, &["watch", "remove", "P7", "80.00", "u1"]).starts_with("deleted\n"));
    insta::assert_snapshot!(run_cli(&home, &["watch", "remove", "P7", "80", "u1"]));
}

#[test]
fn an_import_writes_the_good_lines_and_lists_the_bad_ones() {
    let (folder, home) = home("");
    let _engine = home.start().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("w.csv", "product_id,price_watch_value,user_id,mode\nP,5,a,\nP,x,b,\nP,6,c,onc\n\nP,7,d,once\n");
    write(
        "w.jsonl",
        "{\"productId\":\"P\",\"priceWatchValue\":5,\"userId\":\"z\"}\n\n{\"productId\":\"P\"}\n",
    );
    write("header.csv", "product,price\nP,5\n");
    write("r.csv", "user_id,channel,address,locale\na,channel-console,x,\nb\n");
    insta::assert_snapshot!(run_cli(&home, &["watch", "import", "w.csv"]));
    insta::assert_snapshot!(run_cli(&home, &["watch", "import", "w.jsonl"]));
    insta::assert_snapshot!(run_cli(&home, &["watch", "import", "header.csv"]));
    insta::assert_snapshot!(run_cli(&home, &["recipient", "import", "r.csv"]));
    insta::assert_snapshot!(run_cli(&home, &["watch", "list"]));
}

#[test]
fn more_watches_than_one_request_takes_are_imported_and_listed() {
    let (folder, home) = home("");
    let _engine = home.start().unwrap();
    let rows: String = (0..2500).map(|user| format!("P,{},u{user:04}\n", user % 7 + 1)).collect();
    let file = format!("product_id,price_watch_value,user_id\n{rows}");
    std::fs::write(folder.path().join("w.csv"), file).unwrap();
    assert!(
        run_cli(&home, &["watch", "import", "w.csv"])
            .starts_with("watches written: 2500, invalid lines: 0\n")
    );
    let all = home.run(&["watch", "list", "--limit", "0", "--json"]).unwrap();
    assert_eq!(String::from_utf8_lossy(&all.stdout).lines().count(), 2500);
}

#[test]
fn notifications_and_dead_letters_are_listed() {
    let (_folder, home) = home("");
    let engine = home.start().unwrap();
    home.run(&["watch", "add", "P7", "80", "u1"]).unwrap();
    post(
        &engine,
        "/v1/prices",
        "{\"productId\":\"P7\",\"newPrice\":95}\n{\"productId\":\"P7\",\"newPrice\":79.9}\n",
    );
    post(&engine, "/v1/prices", "nonsense");
    insta::assert_snapshot!(run_cli(&home, &["notifications", "list"]));
    insta::assert_snapshot!(run_cli(&home, &["dlq", "list"]));
    insta::assert_snapshot!(run_cli(&home, &["dlq", "replay", "--all"]));
    insta::assert_snapshot!(run_cli(&home, &["dlq", "show", "dlq/0/99"]));
    insta::assert_snapshot!(run_cli(&home, &["dlq", "show", "99"]));
}

#[test]
fn a_plugin_is_checked_without_an_engine() {
    let (folder, home) = home("");
    let report = run_cli(&home, &["plugin", "check", "plugins/channel-console.wasm"]);
    assert!(report.contains("a channel plugin") && report.contains("no problems were found"), "{report}");
    std::fs::write(folder.path().join("plugins/x.wasm"), "nonsense").unwrap();
    let report = run_cli(&home, &["plugin", "check", "plugins/x.wasm"]);
    assert!(report.contains("exit code 1") && report.contains("x.wasm"), "{report}");
}

#[test]
fn too_little_address_space_is_not_the_fault_of_the_plugin() {
    let (folder, _home) = home("");
    let plugin = shipped("channel-webhook");
    let output = Command::new("prlimit")
        .args(["--as=1000000000", env!("CARGO_BIN_EXE_pricedrop"), "plugin", "check"])
        .arg(plugin)
        .current_dir(folder.path())
        .output()
        .unwrap();
    let text = in_words(&output);
    assert!(!output.status.success() && text.contains("it is not the plugin"), "{text}");
    assert!(text.contains("ulimit -v"), "{text}");
}

#[test]
fn the_sidecar_of_the_reference_is_accepted() {
    let (folder, mut home) = home("");
    home.environment.push(("HOOK_TOKEN".into(), "s3cret".into()));
    let page = pricedrop::config::markdown();
    let sidecar = page.rsplit("```toml\n").next().unwrap().trim_end().trim_end_matches("```");
    // The console has other settings than the policy in the example.
    let sidecar = sidecar.replace("width = \"10\"\n", "");
    std::fs::write(folder.path().join("smtp"), "s3cret").unwrap();
    let sidecar = sidecar.replace("/run/secrets", folder.path().to_str().unwrap());
    std::fs::write(folder.path().join("plugins/channel-console.toml"), sidecar).unwrap();
    let report = run_cli(&home, &["plugin", "check", "plugins/channel-console.wasm"]);
    assert!(report.contains("no problems were found"), "{report}");
}

#[test]
fn a_configuration_is_checked() {
    let (folder, home) = home("");
    insta::assert_snapshot!(run_cli(&home, &["config", "check"]));
    std::fs::write(folder.path().join("pricedrop.toml"), "[rules]\nmod = \"once\"\n").unwrap();
    insta::assert_snapshot!(run_cli(&home, &["config", "check"]));
    std::fs::remove_file(folder.path().join("pricedrop.toml")).unwrap();
    insta::assert_snapshot!(run_cli(&home, &["config", "check"]));
}

#[test]
fn simulate_reads_files_that_begin_with_a_byte_order_mark() {
    let (folder, home) = home("");
    let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    file("w.csv", "\u{feff}product_id,price_watch_value,user_id\r\nP,80,u1\r\n");
    file("u.jsonl", "\u{feff}{\"productId\":\"P\",\"newPrice\":79}\r\n");
    let output = home.run(&["simulate", "--watches", "w.csv", "--updates", "u.jsonl"]).unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with(r#"{"userId":"u1""#), "{output:?}");
}

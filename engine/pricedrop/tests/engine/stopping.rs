//! Tests how an engine stops, and that the next start finds its state.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

use pricedrop_harness::wait_for;

use crate::support::{get, home, post, put};

#[test]
fn a_signal_stops_the_engine_in_order_and_the_next_start_continues() {
    for name in ["TERM", "INT"] {
        let (folder, home) = home("");
        let mut engine = home.start().unwrap();
        put(&engine, "/v1/watches", r#"{"productId":"P","userId":"u","priceWatchValue":9}"#);
        assert_eq!(post(&engine, "/v1/prices", r#"{"productId":"P","newPrice":8}"#).json()["told"], 1);
        engine.signal(name).unwrap();
        engine.wait().unwrap();
        assert!(!folder.path().join("data/http.addr").exists(), "the address of no engine is left");
        let again = home.start().unwrap();
        assert_eq!(get(&again, "/v1/prices/P").json()["price"], 8);
        assert_eq!(
            post(&again, "/v1/prices?offset=0", r#"{"productId":"P","newPrice":8}"#).json()["already"],
            1
        );
    }
}

#[test]
fn a_request_that_is_never_finished_does_not_prevent_a_stop() {
    let (_folder, home) = home("");
    let mut engine = home.start().unwrap();
    let mut half = TcpStream::connect(&engine.address).unwrap();
    write!(half, "POST /v1/prices HTTP/1.1\r\nHost").unwrap();
    assert_eq!(get(&engine, "/livez").status, 200);
    engine.signal("TERM").unwrap();
    engine.wait().unwrap();
}

#[test]
fn a_limit_on_the_size_of_files_is_handled_like_a_full_disk() {
    let (_folder, home) = home("");
    let engine = home.start().unwrap();
    let limit = |bytes: &str| {
        let pid = engine.pid().to_string();
        let fsize = format!("--fsize={bytes}:unlimited");
        assert!(Command::new("prlimit").args(["--pid", &pid, &fsize]).status().unwrap().success());
    };
    let update = r#"{"productId":"P","newPrice":8}"#;
    limit("0");
    assert_eq!(post(&engine, "/v1/prices?offset=0", update).status, 503);
    limit("unlimited");
    let taken = || (post(&engine, "/v1/prices?offset=0", update).status == 200).then_some(());
    wait_for("the store to heal", taken).unwrap();
    assert_eq!(get(&engine, "/v1/prices/P").json()["price"], 8);
}

#[test]
fn a_killed_engine_keeps_everything_it_acknowledged() {
    let (_folder, home) = home("");
    let mut engine = home.start().unwrap();
    put(&engine, "/v1/watches", r#"{"productId":"P","userId":"u","priceWatchValue":9}"#);
    assert_eq!(post(&engine, "/v1/prices", r#"{"productId":"P","newPrice":8}"#).json()["told"], 1);
    engine.kill().unwrap();
    let again = home.start().unwrap();
    assert_eq!(post(&again, "/v1/prices", r#"{"productId":"P","newPrice":7}"#).json()["told"], 1);
    assert_eq!(get(&again, "/v1/notifications").body.lines().count(), 2);
}

#[test]
fn a_second_engine_on_the_same_folder_is_refused() {
    let (_folder, home) = home("");
    let _engine = home.start().unwrap();
    let second = home.command(&["run"]).output().unwrap();
    let report = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(1), "{report}");
    assert!(report.contains("in use by another process"), "{report}");
}

#[test]
fn nobody_else_can_read_the_data_folder() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, home) = home("");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("old"), "").unwrap();
    std::fs::set_permissions(data.join("old"), std::fs::Permissions::from_mode(0o666)).unwrap();
    let engine = home.start().unwrap();
    put(&engine, "/v1/watches", r#"{"productId":"P","userId":"u","priceWatchValue":9}"#);
    let mut open = vec![data];
    let mut seen = 0;
    while let Some(path) = open.pop() {
        let metadata = std::fs::metadata(&path).unwrap();
        let mode = metadata.permissions().mode() & 0o777;
        assert_eq!(mode, if metadata.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
        if metadata.is_dir() {
            open.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        seen += 1;
    }
    assert!(seen > 50, "{seen} files");
}

//! Tests which requests the engine accepts: tokens, hosts, sizes of bodies, slow bodies.

use std::io::{Read, Write};
use std::net::TcpStream;

use pricedrop_harness::{Engine, wait_for};
use tempfile::TempDir;

use crate::support::{ask, get, home};

#[test]
fn without_a_token_only_loopback_names_are_answered_and_no_foreign_page_writes() {
    let (_folder, home) = home("");
    let engine = home.start().unwrap();
    let own = format!("Origin: http://{}\r\nHost: {}\r\n", engine.address, engine.address);
    for (headers, status) in [
        ("Host: attacker.example\r\n", 403),
        ("Host: 127.0.0.1\r\n", 200),
        ("Origin: http://attacker.example\r\n", 403),
        ("Origin: null\r\n", 403),
        (own.as_str(), 200),
    ] {
        let answer = ask(&engine, "POST", "/v1/prices", headers, r#"{"productId":"P","newPrice":1}"#);
        assert_eq!(answer.status, status, "{headers} {answer:?}");
    }
}

#[test]
fn a_token_is_required_everywhere_except_at_livez() {
    let (folder, home) = home("");
    std::fs::write(folder.path().join("token"), "s3cret\n").unwrap();
    let config = folder.path().join("pricedrop.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[http]", "[http]\ntoken_file = \"token\"")).unwrap();
    let mut engine = home.launch().unwrap();
    assert_eq!(get(&engine, "/livez").status, 200);
    assert_eq!(get(&engine, "/metrics").status, 401);
    let wrong = ask(&engine, "GET", "/v1/watches", "Authorization: Bearer s3creT\r\n", "");
    assert_eq!(wrong.status, 401);
    assert!(wrong.json()["remedy"].as_str().unwrap().contains("Authorization: Bearer"));
    let right = "Authorization: Bearer s3cret\r\nHost: prices.example\r\n";
    assert_eq!(ask(&engine, "GET", "/v1/watches", right, "").status, 200);
    // The commands read the same token.
    home.run(&["watch", "list"]).unwrap();
    engine.kill().unwrap();
}

#[test]
fn without_a_token_the_engine_listens_on_loopback_only() {
    let (_folder, home) = home("");
    let refused = home.command(&["run"]).env("PRICEDROP_HTTP__LISTEN", "0.0.0.0:0").output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let report = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        report.contains("reachable from other machines") && report.contains("http.token_file"),
        "{report}"
    );
    let checked =
        home.command(&["config", "check"]).env("PRICEDROP_HTTP__LISTEN", "0.0.0.0:0").output().unwrap();
    assert_eq!(checked.status.code(), Some(2), "what would not start is not right");
}

/// Starts an engine with this line in `[http]`.
fn with_http(line: &str) -> (TempDir, Engine) {
    let (folder, home) = home("");
    let config = folder.path().join("pricedrop.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("[http]", &format!("[http]\n{line}"))).unwrap();
    let engine = home.start().unwrap();
    (folder, engine)
}

#[test]
fn a_body_larger_than_the_limit_is_refused() {
    let (_folder, engine) = with_http("max_body = \"1KiB\"");
    let answer = ask(&engine, "POST", "/v1/prices", "", " ".repeat(1025));
    assert_eq!(answer.status, 413, "{answer:?}");
    assert!(answer.json()["remedy"].as_str().unwrap().contains("http.max_body"));
}

#[test]
fn a_body_of_too_many_entries_is_refused_completely() {
    let (_folder, engine) = with_http("body_entries = 2");
    let line = r#"{"productId":"P","newPrice":1}"#;
    assert_eq!(ask(&engine, "POST", "/v1/prices", "", [line; 2].join("\n")).json()["records"], 2);
    let answer = ask(&engine, "POST", "/v1/prices", "", [line; 3].join("\n"));
    assert_eq!(answer.status, 413, "{answer:?}");
    assert!(answer.json()["remedy"].as_str().unwrap().contains("http.body_entries"));
    assert_eq!(ask(&engine, "POST", "/v1/prices", "", [line; 2].join("\n")).json()["offset"], 2);
}

#[test]
fn slow_bodies_delay_neither_livez_nor_other_requests_for_long() {
    let (_folder, engine) = with_http("max_concurrent_requests = 2\nbody_timeout = \"5s\"");
    let begin = || {
        let mut stream = TcpStream::connect(&engine.address).unwrap();
        write!(stream, "POST /v1/prices HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{{").unwrap();
        stream
    };
    let mut slow = [begin(), begin()];
    wait_for("both turns to be taken", || (get(&engine, "/v1/watches").status == 503).then_some(())).unwrap();
    assert_eq!(get(&engine, "/livez").status, 200);
    wait_for("a turn", || (get(&engine, "/v1/watches").status == 200).then_some(())).unwrap();
    let mut answer = [0; 12];
    slow[0].read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

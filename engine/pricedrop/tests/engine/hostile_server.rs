//! Commands that talk to a server that is no engine: none of them hangs, fills the memory, or gives the
//! token away.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use pricedrop_harness::Home;

use crate::support::home;

/// Answers every request with the next of these responses, the last one again and again. Returns the
/// URL.
fn server(responses: Vec<Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let response = responses.get(number).or(responses.last()).unwrap();
            let mut stream: TcpStream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            // The client may have seen enough.
            let _ = stream.write_all(response);
        }
    });
    url
}

fn json(status: &str, headers: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
        .into()
}

fn run_cli(home: &Home, arguments: &[&str]) -> (i32, String) {
    let output = home.command(arguments).output().unwrap();
    let text =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code().unwrap(), text)
}

#[test]
fn a_cursor_that_repeats_ends_the_list() {
    let (_folder, home) = home("");
    let url = server(vec![json("200 OK", "", r#"{"watches":[],"next":"again"}"#)]);
    let (code, text) = run_cli(&home, &["watch", "list", "--url", &url]);
    assert!(code == 1 && text.contains("sent the same page twice"), "{text}");
}

#[test]
fn an_endless_response_is_refused() {
    let (_folder, home) = home("");
    let mut endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
    endless.resize(80 << 20, b' ');
    let (code, text) = run_cli(&home, &["watch", "list", "--url", &server(vec![endless])]);
    assert!(code == 1 && text.contains("a response of more than 67108864 bytes"), "{text}");
}

#[test]
fn a_long_retry_after_is_not_waited_for() {
    let (_folder, home) = home("");
    let busy = json("503 Service Unavailable", "Retry-After: 1000000\r\n", "{}");
    let url = server(vec![busy, json("400 Bad Request", "", "{}")]);
    let began = Instant::now();
    let (code, text) = run_cli(&home, &["watch", "add", "P", "80", "u", "--url", &url]);
    assert!(code == 1 && text.contains("400"), "{text}");
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[test]
fn no_proxy_and_no_redirect_gets_the_token() {
    let (_folder, home) = home("");
    let trap = TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let address = format!("http://{}", trap.local_addr().unwrap());
    let elsewhere = json("302 Found", &format!("Location: {address}/\r\n"), "{}");
    let url = server(vec![elsewhere]);
    let mut command = home.command(&["watch", "list", "--url", &url]);
    command.env("http_proxy", &address).env("HTTP_PROXY", &address).env("ALL_PROXY", &address);
    let output = command.output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("302"), "{output:?}");
    assert!(trap.accept().is_err(), "the proxy or the other host was contacted");
}

//! An engine in a folder of its own, and a client that shows status and headers.

use std::io::{Read, Write};
use std::net::TcpStream;

use pricedrop_harness::{Engine, Home};
use serde_json::Value;
use tempfile::TempDir;

const CONFIG: &str =
    "[http]\nlisten = \"127.0.0.1:0\"\n[data]\nfolder = \"data\"\n[plugins]\nfolder = \"plugins\"\n";

/// Creates a home with the console's plugin alone, and these lines of configuration.
pub fn home(more: &str) -> (TempDir, Home) {
    let folder = tempfile::tempdir().unwrap();
    let config = format!("{CONFIG}{more}");
    let home = Home::create(env!("CARGO_BIN_EXE_pricedrop"), folder.path(), &config).unwrap();
    home.install("channel-console", "channel-console").unwrap();
    (folder, home)
}

/// The status and the body of a response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Sends one request with these headers in addition to `Host`.
pub fn ask(engine: &Engine, method: &str, path: &str, headers: &str, body: impl AsRef<[u8]>) -> Answer {
    let body = body.as_ref();
    let host = if headers.to_lowercase().contains("host:") { "" } else { "Host: localhost\r\n" };
    let length = body.len();
    let mut stream = TcpStream::connect(&engine.address).unwrap();
    let head = format!("{method} {path} HTTP/1.1\r\n{host}{headers}Connection: close\r\n");
    // If the engine refuses early, it may close the connection before the body is written.
    let head = format!("{head}Content-Length: {length}\r\n\r\n");
    let _ = stream.write_all(&[head.as_bytes(), body].concat());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

pub fn get(engine: &Engine, path: &str) -> Answer {
    ask(engine, "GET", path, "", "")
}

pub fn put(engine: &Engine, path: &str, body: &str) -> Answer {
    ask(engine, "PUT", path, "", body)
}

pub fn post(engine: &Engine, path: &str, body: impl AsRef<[u8]>) -> Answer {
    ask(engine, "POST", path, "", body)
}

pub fn delete(engine: &Engine, path: &str) -> Answer {
    ask(engine, "DELETE", path, "", "")
}

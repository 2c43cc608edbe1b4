//! The test servers of dev/peers, and parcels for them.
#![allow(dead_code)] // each test file uses its part

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use pricedrop_adapters::outbound::{Options, Outbound};
use pricedrop_model::UserId;
use pricedrop_model::dispatch::{
    Access, HttpRequest, Mail, Method, Outgoing, Parcel, Recipient, Reply, SendError, Sender,
};
use serde_json::Value;
use tempfile::TempDir;

/// A running test server; it ends with this value.
pub struct Peer {
    pub port: u16,
    pub hello: Value,
    folder: TempDir,
    process: Child,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Peer {
    pub fn http() -> Peer {
        Peer::start("http_peer.py", &[])
    }

    pub fn https() -> Peer {
        Peer::start("http_peer.py", &["--tls", "FOLDER"])
    }

    pub fn smtp(arguments: &[&str]) -> Peer {
        Peer::start("smtp_peer.py", &[&["--folder", "FOLDER"], arguments].concat())
    }

    fn start(script: &str, arguments: &[&str]) -> Peer {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(python());
        command.arg(peers().join(script)).arg("--record").arg(folder.path().join("record"));
        // An argument FOLDER stands for the peer's own folder.
        let own = folder.path().to_str().unwrap();
        command.args(arguments.iter().map(|argument| if *argument == "FOLDER" { own } else { argument }));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap_or_else(|error| panic!("{script}: {error}"));
        let mut line = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        let hello: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("{script} did not start; run dev/peers/setup and look at its output"));
        let port = hello["port"].as_u64().unwrap() as u16;
        Peer { port, hello, folder, process }
    }

    /// What it wrote down, in order.
    pub fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("record")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../dev/peers")
}

/// The Python that dev/peers/setup has made.
fn python() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache"));
    let python = cache.join("pricedrop/peers/bin/python3");
    assert!(python.exists(), "{} is missing: run dev/peers/setup", python.display());
    python
}

/// An access that reaches these hosts.
pub fn access(hosts: &[&str]) -> Access {
    Access { hosts: hosts.iter().map(ToString::to_string).collect(), ..Access::default() }
}

pub fn get(url: &str) -> HttpRequest {
    HttpRequest {
        method: Method::Get,
        url: url.into(),
        headers: Vec::new(),
        body: Vec::new(),
        credential: None,
    }
}

pub fn mail() -> Mail {
    Mail { subject: "Schuhe für 79,90".into(), text: "now 79.90\n".into(), html: None, headers: Vec::new() }
}

pub fn outbound() -> Outbound {
    Outbound::new(Options::default()).unwrap()
}

pub const TIMEOUT_MS: u64 = 1_500;

pub async fn send(
    outbound: &Outbound,
    access: &Access,
    address: &str,
    outgoing: Outgoing,
) -> Result<Reply, SendError> {
    let to = Recipient {
        user_id: UserId::new("u1").unwrap(),
        channel: "channel-test".into(),
        address: address.into(),
        locale: None,
        attributes: Vec::new(),
    };
    let parcel = Parcel {
        channel: "channel-test",
        access,
        to: &to,
        outgoing: &outgoing,
        idempotency_key: "id:channel-test:a",
        timeout_ms: TIMEOUT_MS,
    };
    outbound.send(parcel).await
}

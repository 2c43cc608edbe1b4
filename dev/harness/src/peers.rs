//! The test servers of dev/peers, as processes.

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Error, repository};

/// A running test server; it ends with this value.
#[derive(Debug)]
pub struct Peer {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// What it said when it was ready.
    pub hello: Value,
    folder: TempDir,
    pub(crate) process: Child,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Peer {
    /// An HTTP server that misbehaves by path.
    ///
    /// # Errors
    /// It does not start: run dev/peers/setup.
    pub fn http() -> Result<Peer, Error> {
        Peer::start("http_peer.py", &[])
    }

    /// The same over TLS.
    ///
    /// # Errors
    /// It does not start: run dev/peers/setup.
    pub fn https() -> Result<Peer, Error> {
        Peer::start("http_peer.py", &["--tls", "FOLDER"])
    }

    /// An SMTP server that fails by recipient.
    ///
    /// # Errors
    /// It does not start: run dev/peers/setup.
    pub fn smtp(arguments: &[&str]) -> Result<Peer, Error> {
        Peer::start("smtp_peer.py", &[&["--folder", "FOLDER"], arguments].concat())
    }

    /// A push service for browsers, over TLS, with a subscription of each name.
    /// The names say how it fails.
    ///
    /// # Errors
    /// It does not start: run dev/peers/setup.
    pub fn push(names: &[&str]) -> Result<Peer, Error> {
        let subscribe = names.iter().flat_map(|name| ["--subscribe", *name]);
        let arguments: Vec<&str> = ["--tls", "FOLDER"].into_iter().chain(subscribe).collect();
        Peer::start("push_peer.py", &arguments)
    }

    /// A push service that a [`Browser`](crate::browser::Browser) connects to, over TLS.
    ///
    /// # Errors
    /// It does not start: run dev/peers/setup.
    pub fn autopush() -> Result<Peer, Error> {
        Peer::start("autopush_peer.py", &["--tls", "FOLDER"])
    }

    /// Firebase Cloud Messaging with its token endpoint. The device tokens say how it fails.
    ///
    /// # Errors
    /// It does not start: run dev/peers/setup.
    pub fn fcm(arguments: &[&str]) -> Result<Peer, Error> {
        Peer::start("fcm_peer.py", &[&["--folder", "FOLDER"], arguments].concat())
    }

    /// Apple's push service, over HTTP/2. The device tokens say how it fails.
    ///
    /// # Errors
    /// It does not start: run dev/peers/setup.
    pub fn apns() -> Result<Peer, Error> {
        Peer::start("apns_peer.py", &["--folder", "FOLDER"])
    }

    /// Twilio, which validates against its own OpenAPI document. The numbers say how
    /// it fails. It starts within seconds.
    ///
    /// # Errors
    /// It does not start: run dev/peers/setup.
    pub fn twilio() -> Result<Peer, Error> {
        Peer::start("twilio_peer.py", &[])
    }

    /// S3 as moto has it, in memory. Its bucket is `pricedrop`; it takes every access key.
    ///
    /// # Errors
    /// It does not start: run dev/peers/setup.
    pub fn s3() -> Result<Peer, Error> {
        Peer::start_in("peers-s3", "s3_peer.py", &[])
    }

    pub(crate) fn start(script: &str, arguments: &[&str]) -> Result<Peer, Error> {
        Peer::start_in("peers", script, arguments)
    }

    /// With the Python of this folder.
    fn start_in(packages: &str, script: &str, arguments: &[&str]) -> Result<Peer, Error> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(python(packages)?);
        // The peers import each other; the checkout stays free of bytecode.
        command.arg("-B").arg(repository().join("dev/peers").join(script));
        command.arg("--record").arg(folder.path().join("record"));
        // An argument FOLDER stands for the peer's own folder.
        for argument in arguments {
            match *argument {
                "FOLDER" => command.arg(folder.path()),
                other => command.arg(other),
            };
        }
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = process.stdout.take().ok_or("no standard output")?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let unwell = || format!("{script} did not start; run dev/peers/setup and look at its output");
        let hello: Value = serde_json::from_str(&line).map_err(|_| unwell())?;
        let port = hello["port"].as_u64().and_then(|port| u16::try_from(port).ok()).ok_or_else(unwell)?;
        Ok(Peer { port, hello, folder, process })
    }

    /// What it wrote down, in order; a line it is just writing is left out.
    pub fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("record")).unwrap_or_default();
        text.lines().map_while(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Its own folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its address, as the `hosts` of a sidecar name it.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// Asks dev/peers/verify.py whether what was sent holds, by the libraries that
/// receivers use; its answer.
///
/// # Errors
/// It does not hold, for this reason.
pub fn verify(what: &str, given: &Value) -> Result<Value, Error> {
    let mut command = Command::new(python("peers")?);
    command.arg(repository().join("dev/peers/verify.py")).arg(what);
    let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut input = process.stdin.take().ok_or("no standard input")?;
    input.write_all(given.to_string().as_bytes())?;
    drop(input);
    let output = process.wait_with_output()?;
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout)?),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned().into()),
    }
}

/// A Python that dev/peers/setup has made, by its folder in the cache.
fn python(packages: &str) -> Result<PathBuf, Error> {
    let cache = match std::env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(std::env::var_os("HOME").ok_or("HOME is not set")?).join(".cache"),
    };
    let python = cache.join("pricedrop").join(packages).join("bin/python3");
    if python.exists() {
        Ok(python)
    } else {
        Err(format!("{} is missing: run dev/peers/setup", python.display()).into())
    }
}

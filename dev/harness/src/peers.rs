//! Starts and stops the test servers of dev/peers. They imitate providers, and each runs as a child
//! process.

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Error, repository};

/// A running test server; it is stopped when this value is dropped.
#[derive(Debug)]
pub struct Peer {
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// The JSON object that it printed when it was ready.
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
    /// Starts an HTTP server whose faults are chosen by path.
    ///
    /// # Errors
    /// It does not start; run dev/peers/setup.
    pub fn http() -> Result<Peer, Error> {
        Peer::start("http_peer.py", &[])
    }

    /// Starts the same server with TLS.
    ///
    /// # Errors
    /// It does not start; run dev/peers/setup.
    pub fn https() -> Result<Peer, Error> {
        Peer::start("http_peer.py", &["--tls", "FOLDER"])
    }

    /// Starts an SMTP server whose faults are chosen by recipient.
    ///
    /// # Errors
    /// It does not start; run dev/peers/setup.
    pub fn smtp(arguments: &[&str]) -> Result<Peer, Error> {
        Peer::start("smtp_peer.py", &[&["--folder", "FOLDER"], arguments].concat())
    }

    /// Starts a web push service with TLS and a subscription of each name. The names choose its faults.
    ///
    /// # Errors
    /// It does not start; run dev/peers/setup.
    pub fn push(names: &[&str]) -> Result<Peer, Error> {
        let subscribe = names.iter().flat_map(|name| ["--subscribe", *name]);
        let arguments: Vec<&str> = ["--tls", "FOLDER"].into_iter().chain(subscribe).collect();
        Peer::start("push_peer.py", &arguments)
    }

    /// Starts a push service for a [`Browser`](crate::browser::Browser), with TLS.
    ///
    /// # Errors
    /// It does not start; run dev/peers/setup.
    pub fn autopush() -> Result<Peer, Error> {
        Peer::start("autopush_peer.py", &["--tls", "FOLDER"])
    }

    /// Starts Firebase Cloud Messaging with its token endpoint. The device tokens choose its faults.
    ///
    /// # Errors
    /// It does not start; run dev/peers/setup.
    pub fn fcm(arguments: &[&str]) -> Result<Peer, Error> {
        Peer::start("fcm_peer.py", &[&["--folder", "FOLDER"], arguments].concat())
    }

    /// Starts Apple's push service, over HTTP/2. The device tokens choose its faults.
    ///
    /// # Errors
    /// It does not start; run dev/peers/setup.
    pub fn apns() -> Result<Peer, Error> {
        Peer::start("apns_peer.py", &["--folder", "FOLDER"])
    }

    /// Starts Twilio, which validates requests against its own OpenAPI document. The numbers
    /// choose its faults. Its start takes seconds.
    ///
    /// # Errors
    /// It does not start; run dev/peers/setup.
    pub fn twilio() -> Result<Peer, Error> {
        Peer::start("twilio_peer.py", &[])
    }

    /// Starts moto as an S3 server, in memory. Its bucket is `pricedrop`; it accepts every access key.
    ///
    /// # Errors
    /// It does not start; run dev/peers/setup.
    pub fn s3() -> Result<Peer, Error> {
        Peer::start_in("peers-s3", "s3_peer.py", &[])
    }

    pub(crate) fn start(script: &str, arguments: &[&str]) -> Result<Peer, Error> {
        Peer::start_in("peers", script, arguments)
    }

    /// Starts a script with the Python of this folder of packages.
    fn start_in(packages: &str, script: &str, arguments: &[&str]) -> Result<Peer, Error> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(python(packages)?);
        // The peers import each other; -B keeps bytecode out of the checkout.
        command.arg("-B").arg(repository().join("dev/peers").join(script));
        command.arg("--record").arg(folder.path().join("record"));
        // The argument FOLDER is replaced by the peer's own folder.
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

    /// Returns the requests that the server has recorded, in order. An incomplete last line is
    /// ignored.
    pub fn records(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("record")).unwrap_or_default();
        text.lines().map_while(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Returns its own folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns its address, as the `hosts` of a sidecar name it.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// Verifies what was sent with dev/peers/verify.py, which uses the libraries that receivers
/// use. Returns its answer.
///
/// # Errors
/// The verification fails, for this reason.
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

/// Returns the Python that dev/peers/setup installed in this folder of the cache.
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

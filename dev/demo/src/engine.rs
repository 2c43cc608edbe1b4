//! The engine as a user has it: its binary, its API, its lines.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Why the demo cannot go on.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where a demo engine lives.
#[derive(Clone)]
pub struct Home {
    /// The binary.
    pub binary: PathBuf,
    /// Everything it reads and writes.
    pub folder: PathBuf,
}

impl Home {
    /// Runs a command of the binary to its end.
    pub fn run(&self, arguments: &[&str]) -> Result<Output, Error> {
        let output = self.command(arguments).stdin(Stdio::null()).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("pricedrop {}: {said}", arguments.join(" ")).into());
        }
        Ok(output)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).arg("--config").arg("pricedrop.toml").current_dir(&self.folder);
        command
    }

    /// Starts the engine and waits until it is ready.
    pub fn start(&self) -> Result<Engine, Error> {
        let address_file = self.folder.join("data/http.addr");
        let _ = std::fs::remove_file(&address_file);
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("engine.log"))?;
        let mut child = self.command(&["run"]).stdout(Stdio::piped()).stderr(log).spawn()?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let told = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                told.lock().unwrap_or_else(|poison| poison.into_inner()).push(line);
            }
        });
        let mut engine = Engine { child, address: String::new(), lines };
        engine.address = wait_for("the engine's address", || read_address(&address_file))?;
        wait_for("the engine to be ready", || engine.request("GET", "/readyz", b"").ok())?;
        Ok(engine)
    }
}

fn read_address(file: &Path) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    Some(text.trim().to_owned()).filter(|address| !address.is_empty())
}

/// Asks again until there is an answer.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, Error> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if begun.elapsed() > PATIENCE {
            return Err(format!("waited {} s for {what}", PATIENCE.as_secs()).into());
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// A running engine.
pub struct Engine {
    child: Child,
    /// Where its API listens.
    pub address: String,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Engine {
    /// Lines that told somebody since the last look.
    pub fn take_lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(|poison| poison.into_inner()))
    }

    /// Kills it as a power cut would.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// One request; the body of a good answer.
    pub fn request(&self, method: &str, path: &str, body: &[u8]) -> Result<String, Error> {
        request(&self.address, method, path, body)
    }

    /// What it says of the plugin of this file stem.
    pub fn plugin(&self, stem: &str) -> Option<Value> {
        let status: Value = serde_json::from_str(&self.request("GET", "/v1/plugins", b"").ok()?).ok()?;
        let list = status["plugins"].as_array()?;
        list.iter().find(|plugin| plugin["name"] == stem).cloned()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// One request over a connection of its own.
pub fn request(address: &str, method: &str, path: &str, body: &[u8]) -> Result<String, Error> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
    )?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("the engine hung up")?;
    match head.split(' ').nth(1) {
        Some(status) if status.starts_with('2') => Ok(body.to_owned()),
        status => Err(format!("{method} {path}: {}: {body}", status.unwrap_or("no status")).into()),
    }
}

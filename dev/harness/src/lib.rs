//! Runs the engine as a child process, sends requests to its API, and kills it. The demo, the tests
//! and the benchmarks use this crate.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};

use serde_json::Value;

pub mod acls;
pub mod browser;
pub mod cassandra;
pub mod certificates;
pub mod faults;
mod http;
pub mod kafka;
pub mod peers;
pub mod redis;
pub mod servers;
mod waiting;

pub use http::request;
pub use waiting::{Error, TIMEOUT, wait_for};

/// The folder of an engine, with a `pricedrop.toml` that names `data` as its data folder and port 0.
#[derive(Debug, Clone)]
pub struct Home {
    /// The binary.
    pub binary: PathBuf,
    /// The folder with everything that it reads and writes.
    pub folder: PathBuf,
    /// Environment variables in addition to the inherited ones.
    pub environment: Vec<(String, String)>,
}

impl Home {
    /// Creates a folder with this configuration.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn create(binary: impl Into<PathBuf>, folder: &Path, config: &str) -> Result<Home, Error> {
        std::fs::create_dir_all(folder.join("plugins"))?;
        std::fs::write(folder.join("pricedrop.toml"), config)?;
        Ok(Home {
            binary: std::path::absolute(binary.into())?,
            folder: folder.to_owned(),
            environment: Vec::new(),
        })
    }

    /// Copies a plugin of this repository into the plugin folder.
    ///
    /// # Errors
    /// The plugin does not exist, or the disk is full.
    pub fn install(&self, plugin: &str, stem: &str) -> Result<(), Error> {
        self.deploy(&format!("{stem}.wasm"), &std::fs::read(shipped(plugin))?)
    }

    /// Puts a file into the plugin folder atomically, by rename, as a deployment should.
    ///
    /// # Errors
    /// The disk is full.
    pub fn deploy(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let place = self.folder.join("plugins").join(name);
        let aside = place.with_extension("new");
        std::fs::write(&aside, bytes)?;
        std::fs::rename(aside, place)?;
        Ok(())
    }

    /// Returns a command of the binary, to be run in the folder with its configuration.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments).arg("--config").arg("pricedrop.toml").current_dir(&self.folder);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command of the binary, and expects success.
    ///
    /// # Errors
    /// It failed; the error has its output.
    pub fn run(&self, arguments: &[&str]) -> Result<Output, Error> {
        let output = self.command(arguments).output()?;
        if !output.status.success() {
            let report = String::from_utf8_lossy(&output.stderr);
            return Err(format!("pricedrop {}: {report}", arguments.join(" ")).into());
        }
        Ok(output)
    }

    /// Starts the engine and waits until it is ready.
    ///
    /// # Errors
    /// It does not start; the error has its output.
    pub fn start(&self) -> Result<Engine, Error> {
        self.start_with(&[])
    }

    /// Starts the engine with these arguments, such as `--role notifier`.
    ///
    /// # Errors
    /// It does not start; the error has its output.
    pub fn start_with(&self, arguments: &[&str]) -> Result<Engine, Error> {
        let mut engine = self.launch_with(arguments)?;
        engine.wait_until_ready()?;
        Ok(engine)
    }

    /// Starts the engine and waits only for its address.
    ///
    /// # Errors
    /// It does not start; the error has its output.
    pub fn launch(&self) -> Result<Engine, Error> {
        self.launch_with(&[])
    }

    fn launch_with(&self, arguments: &[&str]) -> Result<Engine, Error> {
        let address_file = self.folder.join("data/http.addr");
        let _ = std::fs::remove_file(&address_file);
        let log_file = self.folder.join("engine.log");
        let log = std::fs::File::options().create(true).append(true).open(&log_file)?;
        let mut child =
            self.command(&[&["run"], arguments].concat()).stdout(Stdio::piped()).stderr(log).spawn()?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        let told = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                lock(&told).push(line);
            }
        });
        let mut engine = Engine { child, address: String::new(), lines, log_file };
        let address = wait_for("the engine's address", || {
            let ended = engine.child.try_wait().ok().flatten().is_some();
            let address = std::fs::read_to_string(&address_file).unwrap_or_default().trim().to_owned();
            (ended || !address.is_empty()).then_some(address)
        })?;
        if address.is_empty() {
            return Err(format!("the engine ended: {}", engine.end_of_log()).into());
        }
        engine.address = address;
        Ok(engine)
    }
}

/// Returns the path of a shipped plugin of this repository.
pub fn shipped(plugin: &str) -> PathBuf {
    repository().join("plugins/dist").join(plugin).with_extension("wasm")
}

/// Returns the path of the checkout that this was built from.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poison| poison.into_inner())
}

/// A running engine.
#[derive(Debug)]
pub struct Engine {
    child: Child,
    /// The address of its API.
    pub address: String,
    lines: Arc<Mutex<Vec<String>>>,
    log_file: PathBuf,
}

impl Engine {
    /// Waits until `/readyz` returns success.
    ///
    /// # Errors
    /// It does not in time; the error has the end of its log.
    pub fn wait_until_ready(&mut self) -> Result<(), Error> {
        let ready = wait_for("the engine to be ready", || self.request("GET", "/readyz", b"").ok());
        ready.map(|_| ()).map_err(|error| format!("{error}: {}", self.end_of_log()).into())
    }

    /// Returns the exit status, if the process has ended.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Returns its base URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns its resident memory, in bytes.
    ///
    /// # Errors
    /// The process has ended.
    pub fn resident_bytes(&self) -> Result<u64, Error> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
        let kib: u64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
        Ok(kib * 1024)
    }

    /// Returns the lines that it printed on standard output since the last call.
    pub fn take_lines(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.lines))
    }

    /// Kills it with SIGKILL, and waits for its end.
    ///
    /// # Errors
    /// The system refused.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Sends it a signal by name, such as TERM or STOP.
    ///
    /// # Errors
    /// The system refused.
    pub fn signal(&self, name: &str) -> Result<(), Error> {
        let sent = Command::new("kill").args(["-s", name, &self.pid().to_string()]).status()?;
        if sent.success() { Ok(()) } else { Err(format!("no signal {name} to {}", self.pid()).into()) }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It does not end in time, or failed; the error has the end of its log.
    pub fn wait(&mut self) -> Result<(), Error> {
        let ended = wait_for("the engine's end", || self.child.try_wait().ok().flatten())?;
        if ended.success() { Ok(()) } else { Err(format!("{ended}: {}", self.end_of_log()).into()) }
    }

    /// Sends one request, and returns the body of a successful response.
    ///
    /// # Errors
    /// There was no response, or its status was not 2xx.
    pub fn request(&self, method: &str, path: &str, body: &[u8]) -> Result<String, Error> {
        request(&self.address, method, path, body)
    }

    /// Returns the reasons that `/readyz` lists, each as `part: reason`, whether it is ready or not.
    ///
    /// # Errors
    /// There was no response.
    pub fn reasons(&self) -> Result<Vec<String>, Error> {
        reasons(&self.address)
    }

    /// Returns the values of the samples in `/metrics` whose lines begin with this text: the name of a
    /// metric, or a name and the first labels.
    ///
    /// # Errors
    /// There was no response, or a value is not a number.
    pub fn samples(&self, beginning: &str) -> Result<Vec<f64>, Error> {
        let text = self.request("GET", "/metrics", b"")?;
        let lines = text.lines().filter(|line| line.starts_with(beginning));
        lines.map(|line| Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)).collect()
    }

    /// Waits until its notifier has acquired partitions of the updates. A price that is sent before
    /// that is in a topic that the group may not have started to read.
    ///
    /// # Errors
    /// It has none in time; the error has the end of its log.
    pub fn wait_until_notifying(&self) -> Result<(), Error> {
        self.wait_for_sample("partitions of updates", "pricedrop_input_offset{", |_| true)
    }

    /// Waits until its dispatcher has acquired partitions of the notifications.
    ///
    /// # Errors
    /// It has none in time; the error has the end of its log.
    pub fn wait_until_dispatching(&self) -> Result<(), Error> {
        self.wait_for_sample("partitions of notifications", "pricedrop_retry_partitions", |count| count > 0.0)
    }

    fn wait_for_sample(
        &self,
        what: &str,
        beginning: &str,
        is_enough: impl Fn(f64) -> bool,
    ) -> Result<(), Error> {
        let is_there = || self.samples(beginning).ok()?.into_iter().any(&is_enough).then_some(());
        wait_for(what, is_there).map_err(|error| format!("{error}: {}", self.end_of_log()).into())
    }

    /// Returns the status of the plugin with this file stem, from `/v1/plugins`.
    pub fn plugin(&self, stem: &str) -> Option<Value> {
        let status: Value = serde_json::from_str(&self.request("GET", "/v1/plugins", b"").ok()?).ok()?;
        let list = status["plugins"].as_array()?;
        list.iter().find(|plugin| plugin["name"] == stem).cloned()
    }

    /// Returns the last lines of its log, for the message of a test that failed.
    pub fn end_of_log(&self) -> String {
        let log = std::fs::read_to_string(&self.log_file).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Returns the reasons that `/readyz` of the engine at this address lists, each as `part: reason`.
///
/// # Errors
/// There was no response.
pub fn reasons(address: &str) -> Result<Vec<String>, Error> {
    let (_, body) = http::respond(address, "GET", "/readyz", b"")?;
    let readiness: Value = serde_json::from_str(&body)?;
    let listed = readiness["reasons"].as_array().ok_or("/readyz lists no reasons")?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(listed.iter().map(|one| format!("{}: {}", text(&one["part"]), text(&one["reason"]))).collect())
}

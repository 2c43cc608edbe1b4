//! The shipped channels, each with the test server of its provider and a sidecar that
//! points to that server.
#![allow(dead_code)] // each test binary uses its part

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pricedrop_harness::peers::Peer;
use pricedrop_harness::{Engine, shipped, wait_for};
use serde_json::Value;

const SMTP_PASSWORD: &str = "smtp-s3cret";
const HOOK_TOKEN: &str = "hook-s3cret-token";
const NTFY_TOKEN: &str = "tk_ntfys3cret";

/// A channel and its provider.
pub struct Provider {
    /// The file stem of the plugin, which is the name of the channel.
    pub channel: &'static str,
    /// The test server; `None` for the console.
    pub peer: Option<Peer>,
    /// The text of the sidecar.
    pub sidecar: String,
    /// The environment variables that the sidecar names.
    pub environment: Vec<(&'static str, String)>,
    /// Returns the address of a user with this name.
    address: fn(&Provider, &str) -> String,
    /// Returns the recipient of a record of the peer.
    addressee: fn(&Value) -> String,
}

impl Provider {
    /// Returns the test server of the provider.
    pub fn peer(&self) -> &Peer {
        self.peer.as_ref().unwrap_or_else(|| panic!("{} has no server", self.channel))
    }

    /// Returns the address of a user with this name.
    pub fn address(&self, name: &str) -> String {
        (self.address)(self, name)
    }

    /// Returns the CA file of a server that the engine reaches by HTTPS.
    pub fn ca_file(&self) -> Option<&str> {
        let is_mail = self.channel == "channel-email";
        self.peer.as_ref().filter(|_| !is_mail).and_then(|peer| peer.hello["ca"].as_str())
    }

    /// Returns the environment variables, as a home takes them.
    pub fn variables(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.environment.iter().map(|(name, value)| ((*name).to_owned(), value.clone()))
    }

    /// Returns every message that arrived, once there are this many. `lines` are those that were read
    /// from the engine's standard output before.
    pub fn arrivals(&self, engine: &Engine, lines: &mut Vec<String>, count: usize) -> Vec<Arrival> {
        wait_for(&format!("{count} arrivals by {}", self.channel), || {
            lines.extend(engine.take_lines());
            let arrivals: Vec<Arrival> = match &self.peer {
                Some(peer) => peer.records().iter().filter_map(|record| self.arrival(record)).collect(),
                None => printed(lines),
            };
            (arrivals.len() >= count).then_some(arrivals)
        })
        .unwrap()
    }

    /// Returns the message of a record; `None`: it is a request for a token.
    fn arrival(&self, record: &Value) -> Option<Arrival> {
        if record["path"] == "/token" {
            return None;
        }
        let key = match record["headers"].as_array() {
            Some(headers) => text(&headers.iter().find(|header| header[0] == "Message-ID").unwrap()[1]),
            None => key(record),
        };
        Some(Arrival { recipient: (self.addressee)(record), key })
    }
}

/// One message at its recipient.
#[derive(Debug)]
pub struct Arrival {
    /// The recipient.
    pub recipient: String,
    /// The idempotency key. It must be unique.
    pub key: String,
}

/// Returns the messages in printed lines. A line names user and product, and each product drops once.
fn printed(lines: &[String]) -> Vec<Arrival> {
    let told = lines.iter().filter_map(|line| Some((line.split_once(" told about ")?.0, line)));
    told.map(|(user, line)| Arrival { recipient: user.to_owned(), key: line.clone() }).collect()
}

/// Checks that every user was reached once for each product, each time with another key.
pub fn check_each_reached_once(arrivals: &[Arrival], users: usize, products: usize) {
    assert_eq!(arrivals.len(), products * users, "messages");
    let keys: BTreeSet<&String> = arrivals.iter().map(|arrival| &arrival.key).collect();
    assert_eq!(keys.len(), arrivals.len(), "no message has the key of another");
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for arrival in arrivals {
        *counts.entry(&arrival.recipient).or_default() += 1;
    }
    assert_eq!(counts.len(), users, "{counts:?}");
    assert!(counts.values().all(|count| *count == products), "{products} products: {counts:?}");
}

/// Writes a file with the CA certificates of all their servers.
pub fn authorities<'a>(providers: impl IntoIterator<Item = &'a Provider>) -> PathBuf {
    let files: Vec<&str> = providers.into_iter().filter_map(Provider::ca_file).collect();
    let all: String = files.iter().map(|file| std::fs::read_to_string(file).unwrap()).collect();
    let path = Path::new(files[0]).with_file_name("authorities.pem");
    std::fs::write(&path, all).unwrap();
    path
}

/// Returns the shipped plugin with a custom section, so that its digest differs.
pub fn marked(channel: &str, number: usize) -> Vec<u8> {
    let name = format!("swap{number}");
    let length = u8::try_from(name.len()).unwrap();
    let mut wasm = std::fs::read(shipped(channel)).unwrap();
    wasm.extend([0, length + 1, length]);
    wasm.extend(name.as_bytes());
    wasm
}

/// The console, which prints lines on standard output.
pub fn console() -> Provider {
    Provider {
        channel: "channel-console",
        peer: None,
        sidecar: String::new(),
        environment: Vec::new(),
        address: |_, name| name.to_owned(),
        addressee: |_| String::new(),
    }
}

/// Webhooks with a bearer token.
pub fn webhook() -> Provider {
    let peer = Peer::http().unwrap();
    let sidecar = format!(
        r#"
        hosts = ["{host}"]
        [settings]
        credential = "hook"
        [credentials.hook]
        hosts = ["{host}"]
        scheme = "bearer"
        token = {{ env = "HOOK_TOKEN" }}
        "#,
        host = peer.host()
    );
    Provider {
        channel: "channel-webhook",
        peer: Some(peer),
        sidecar,
        environment: vec![("HOOK_TOKEN", HOOK_TOKEN.into())],
        address: |provider, name| format!("http://{}/ok/{name}", provider.peer().host()),
        addressee: |record| text(&record["path"]),
    }
}

/// Mail over STARTTLS and AUTH.
pub fn email() -> Provider {
    let peer = Peer::smtp(&["--auth", &format!("shop:{SMTP_PASSWORD}")]).unwrap();
    let sidecar = format!(
        r#"
        [mail]
        from = "Price drops <alerts@shop.test>"
        host = "localhost"
        port = {}
        username = "shop"
        password = {{ env = "SMTP_PASSWORD" }}
        ca_file = {}
        "#,
        peer.port, peer.hello["ca"],
    );
    Provider {
        channel: "channel-email",
        peer: Some(peer),
        sidecar,
        environment: vec![("SMTP_PASSWORD", SMTP_PASSWORD.into())],
        address: |_, name| format!("{name}@example.test"),
        addressee: |record| text(&record["to"][0]),
    }
}

/// Incoming webhooks of Slack; the address is the secret.
pub fn slack() -> Provider {
    let peer = Peer::http().unwrap();
    Provider {
        channel: "channel-slack",
        sidecar: format!("hosts = [\"{}\"]\n", peer.host()),
        peer: Some(peer),
        environment: Vec::new(),
        address: |provider, name| format!("http://{}/ok/{name}", provider.peer().host()),
        addressee: |record| text(&record["path"]),
    }
}

/// Topics of an ntfy server that requires a token.
pub fn ntfy() -> Provider {
    let peer = Peer::http().unwrap();
    let sidecar = format!(
        r#"
        hosts = ["{host}"]
        [settings]
        server = "http://{host}"
        credential = "ntfy"
        [credentials.ntfy]
        hosts = ["{host}"]
        scheme = "bearer"
        token = {{ env = "NTFY_TOKEN" }}
        "#,
        host = peer.host()
    );
    Provider {
        channel: "channel-ntfy",
        peer: Some(peer),
        sidecar,
        environment: vec![("NTFY_TOKEN", NTFY_TOKEN.into())],
        address: |_, name| name.to_owned(),
        addressee: |record| text(&body(record)["topic"]),
    }
}

/// Text messages by Twilio.
pub fn sms() -> Provider {
    let peer = Peer::twilio().unwrap();
    let sidecar = format!(
        r#"
        hosts = ["{host}"]
        [settings]
        account-sid = {account}
        base-url = "http://{host}"
        credential = "twilio"
        senders = ["+49=Shop", "*=+15005550006"]
        [credentials.twilio]
        hosts = ["{host}"]
        scheme = "basic"
        username = {account}
        password = {{ env = "TWILIO_AUTH_TOKEN" }}
        "#,
        host = peer.host(),
        account = peer.hello["account"],
    );
    Provider {
        channel: "channel-sms",
        environment: vec![("TWILIO_AUTH_TOKEN", text(&peer.hello["token"]))],
        peer: Some(peer),
        sidecar,
        // The user names of these tests differ only by a number at the end.
        address: |_, name| {
            let digits: String = name.chars().filter(char::is_ascii_digit).collect();
            format!("+49151{digits:0>7}")
        },
        addressee: |record| text(&record["form"]["To"]),
    }
}

/// Firebase Cloud Messaging; the user's name is the device token.
pub fn fcm() -> Provider {
    let peer = Peer::fcm(&[]).unwrap();
    let sidecar = format!(
        r#"
        hosts = ["{host}"]
        [settings]
        project = {project}
        base-url = "http://{host}"
        credential = "fcm"
        [credentials.fcm]
        hosts = ["{host}"]
        scheme = "service-account"
        key = {{ file = {key} }}
        scopes = ["https://www.googleapis.com/auth/firebase.messaging"]
        "#,
        host = peer.host(),
        project = peer.hello["project"],
        key = peer.hello["key"],
    );
    Provider {
        channel: "channel-fcm",
        peer: Some(peer),
        sidecar,
        environment: Vec::new(),
        address: |_, name| name.to_owned(),
        addressee: |record| text(&body(record)["message"]["token"]),
    }
}

/// Apple's push service.
pub fn apns() -> Provider {
    let peer = Peer::apns().unwrap();
    let sidecar = format!(
        r#"
        hosts = ["{host}"]
        [settings]
        topic = {topic}
        base-url = "https://{host}"
        credential = "apns"
        [credentials.apns]
        hosts = ["{host}"]
        scheme = "apns"
        key = {{ file = {key} }}
        key_id = {key_id}
        team_id = {team_id}
        "#,
        host = peer.host(),
        topic = peer.hello["topic"],
        key = peer.hello["key"],
        key_id = peer.hello["keyId"],
        team_id = peer.hello["teamId"],
    );
    Provider {
        channel: "channel-apns",
        peer: Some(peer),
        sidecar,
        environment: Vec::new(),
        address: |_, name| device(name),
        addressee: |record| text(&record["device"]),
    }
}

/// Returns a device token: a name of hexadecimal digits becomes its prefix, any other name is
/// encoded as hexadecimal.
fn device(name: &str) -> String {
    let is_hex = name.bytes().all(|byte| byte.is_ascii_hexdigit());
    let begin =
        if is_hex { name.to_owned() } else { name.bytes().map(|byte| format!("{byte:02x}")).collect() };
    format!("{begin:0<64}")
}

/// Web push, with a subscription of each of these names.
pub fn webpush(names: &[&str]) -> Provider {
    webpush_at(Peer::push(names).unwrap())
}

/// The push service of a real browser, where users have no names.
pub fn autopush() -> Provider {
    webpush_at(Peer::autopush().unwrap())
}

fn webpush_at(peer: Peer) -> Provider {
    let sidecar = format!(
        r#"
        hosts = ["{host}"]
        [settings]
        credential = "vapid"
        [credentials.vapid]
        hosts = ["{host}"]
        scheme = "vapid"
        private_key = {{ env = "VAPID_PRIVATE_KEY" }}
        public_key = {public}
        subject = "mailto:ops@shop.test"
        "#,
        host = peer.host(),
        public = peer.hello["vapid"]["public"],
    );
    Provider {
        channel: "channel-webpush",
        environment: vec![("VAPID_PRIVATE_KEY", text(&peer.hello["vapid"]["private"]))],
        peer: Some(peer),
        sidecar,
        address: |provider, name| provider.peer().hello["subscriptions"][name].to_string(),
        addressee: |record| text(&record["name"]),
    }
}

/// Returns a JSON value that is a text.
pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

/// Returns the JSON body of a record.
pub fn body(record: &Value) -> Value {
    serde_json::from_str(&text(&record["body"])).unwrap()
}

/// Returns the header by which a provider recognizes a repeated request.
pub fn key(record: &Value) -> String {
    text(&record["headers"]["idempotency-key"])
}

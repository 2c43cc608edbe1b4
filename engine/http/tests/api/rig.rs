//! A served API, and a client of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use pricedrop_http::{Api, Options, bind};
use pricedrop_memory::MemoryWatches;
use pricedrop_model::Rules;
use pricedrop_testing::clock::TestClock;
use pricedrop_testing::dispatch::Stores;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::fakes::{Fakes, Watches};

/// The wall time in all these tests, epoch milliseconds.
pub const NOW: i64 = 1_700_000_000_000;

/// An API that is served until this value is dropped.
pub struct Served {
    pub address: SocketAddr,
    pub fakes: Arc<Fakes>,
    pub stores: Arc<Stores>,
    _stop: oneshot::Sender<()>,
}

/// Returns options with small limits and a free port.
pub fn options() -> Options {
    Options {
        listen: "127.0.0.1:0".into(),
        max_body: 400,
        body_entries: 4,
        page_entries: 3,
        ..Options::default()
    }
}

pub async fn served() -> Served {
    serve(options(), Rules::default()).await
}

pub async fn serve(options: Options, rules: Rules) -> Served {
    let (fakes, stores) = (Arc::new(Fakes::default()), Arc::new(Stores::default()));
    let bound = bind(options).await.unwrap();
    let address = bound.address();
    let (stop, stopped) = oneshot::channel::<()>();
    let api = api(fakes.clone(), stores.clone(), rules);
    tokio::spawn(bound.serve(api, async {
        // An error means that the test has ended; serving ends then as well.
        let _ = stopped.await;
    }));
    Served { address, fakes, stores, _stop: stop }
}

fn api(fakes: Arc<Fakes>, stores: Arc<Stores>, rules: Rules) -> Api {
    let clock = Arc::new(TestClock::at(NOW));
    let inner = MemoryWatches::new(clock.clone(), None, usize::MAX);
    let mut metrics = Registry::with_prefix("pricedrop");
    metrics.register("drops", "Drops", Counter::<u64>::default());
    Api {
        clock,
        rules,
        intake: fakes.clone(),
        watches: Arc::new(Watches { inner, fakes: fakes.clone() }),
        recipients: stores.clone(),
        leases: stores.clone(),
        retries: stores.clone(),
        dead_letters: stores.clone(),
        prices: stores,
        outbox: fakes.clone(),
        engine: fakes,
        metrics: Arc::new(metrics),
    }
}

/// A response.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    /// The lines of the head, with lower-case names.
    head: Vec<String>,
    pub text: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {:?}", self.text))
    }

    /// Checks for status 200, and returns the body.
    pub fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json()
    }

    /// Returns status, error and place of a problem. Checks that it has no members but these and a remedy.
    pub fn problem(&self) -> (u16, String, Option<String>) {
        let problem: pricedrop_http::ProblemBody = serde_json::from_str(&self.text).unwrap();
        let known = |name: &str| ["error", "where", "remedy"].contains(&name);
        assert!(self.json().as_object().unwrap().keys().all(|name| known(name)), "{}", self.text);
        assert_eq!(self.header("content-type"), Some("application/json"));
        (self.status, problem.error, problem.place)
    }

    pub fn remedy(&self) -> String {
        self.json()["remedy"].as_str().unwrap_or_default().to_owned()
    }
}

impl Served {
    /// Sends a request with these header lines; `request` is a method and a path.
    pub async fn ask_with(&self, head: &[&str], request: &str, body: &str) -> Reply {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let mut text = format!("{request} HTTP/1.1\r\nconnection: close\r\ncontent-length: {length}\r\n");
        head.iter().for_each(|line| text.extend([line, "\r\n"]));
        text.extend(["\r\n", body]);
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        reply(&String::from_utf8(answer).unwrap())
    }

    pub async fn ask(&self, request: &str, body: &str) -> Reply {
        self.ask_with(&["host: localhost"], request, body).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.ask(&format!("GET {path}"), "").await
    }

    /// Makes all ports fail, or work again.
    pub fn set_away(&self, away: bool) {
        self.fakes.away.store(away, SeqCst);
        self.stores.set_away(away);
    }
}

fn reply(answer: &str) -> Reply {
    let (head, text) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    Reply { status, head: head.lines().map(str::to_owned).collect(), text: text.to_owned() }
}

/// Sends each of these requests (method and path, body) and expects a problem with this status,
/// error and place; the place is empty if there is none.
pub async fn refused(served: &Served, cases: &[(&str, &str, u16, &str, &str)]) {
    for (request, body, status, error, place) in cases {
        let reply = served.ask(request, body).await;
        let place = Some(*place).filter(|place| !place.is_empty()).map(str::to_owned);
        assert_eq!(reply.problem(), (*status, (*error).to_owned(), place), "{request} {body}");
    }
}

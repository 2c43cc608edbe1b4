//! The dispatcher over the embedded store and the real sender: it prints lines, and sends
//! requests to a local server. The tests print deliveries a second.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pricedrop_embedded::{Embedded, Options as StoreOptions};
use pricedrop_model::dispatch::{Access, DeadLetters, Outgoing, Recipient, Recipients, RetryQueue};
use pricedrop_model::fan_out::ToldList;
use pricedrop_model::ports::{Commit, Committer};
use pricedrop_model::time::SystemClock;
use pricedrop_model::{
    Currency, EventTime, FanOutBlock, Partition, Position, Price, Priced, ProductId, UserId,
};
use pricedrop_outbound::{Options as OutboundOptions, Outbound};
use pricedrop_pipeline::dispatcher::{Dispatcher, Keys, Metrics, Options};
use pricedrop_testing::channel::{FakeChannel, FakePlugins, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

const LINE: &str = "channel-line";
const WEB: &str = "channel-web";
const PATIENCE: Duration = Duration::from_secs(60);

/// Replaces the standard output of the engine.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Output {
    fn lines(&self) -> Vec<String> {
        let mut lines: Vec<_> =
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

/// How often each idempotency key was requested.
type Asked = Arc<Mutex<HashMap<String, u32>>>;

/// Serves requests. The first request of every tenth key fails.
async fn serve(listener: TcpListener, asked: Asked) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let asked = asked.clone();
        tokio::spawn(async move {
            let mut text = Vec::new();
            while stream.read_buf(&mut text).await.is_ok_and(|read| read > 0) {
                let Some(end) = text.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
                let head = String::from_utf8_lossy(&text[..end]).to_ascii_lowercase();
                let header = |name: &str| {
                    head.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim().to_owned())
                };
                let body: usize = header("content-length:").map_or(0, |length| length.parse().unwrap());
                if text.len() < end + 4 + body {
                    continue;
                }
                text.drain(..end + 4 + body);
                let key = header("idempotency-key:").unwrap();
                let fails = key.ends_with('7');
                let times = {
                    let mut asked = asked.lock().unwrap();
                    let times = asked.entry(key).or_default();
                    *times += 1;
                    *times
                };
                let answer: &[u8] = match fails && times == 1 {
                    true => b"HTTP/1.1 429 Slow\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n",
                    false => b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
                };
                stream.write_all(answer).await.unwrap();
            }
        });
    }
}

/// Writes one fan-out to this many users into the outbox.
async fn fan_out(embedded: &Embedded, name: &str, users: u32, offset: i64) {
    let mut told = ToldList::default();
    for user in 0..users {
        told.push(&format!("{name}{user}"), Price::new(80, 0).unwrap());
    }
    let priced = Priced {
        price: Price::new(7990, 2).unwrap(),
        position: Position { partition: Partition(0), offset },
        original: None,
        event_time: EventTime(0),
        occurred_at: None,
        title: None,
        url: None,
    };
    let product = ProductId::new("P7").unwrap();
    let block = FanOutBlock { product, currency: Currency::USD, priced, previous: None, told };
    let mut committer = embedded.committer();
    committer.restore().await.unwrap();
    let offsets = vec![(Partition(0), offset + 1)];
    committer.commit(Commit { fan_outs: vec![block], offsets, ..Commit::default() }).await.unwrap();
}

/// Runs a dispatcher until this many are delivered by a channel. Returns the time it took.
async fn dispatch(
    embedded: &Embedded,
    plugins: &Arc<FakePlugins>,
    out: &Output,
    channel: &str,
    most: u64,
) -> Duration {
    let metrics = Arc::new(Metrics::default());
    let dispatcher = Dispatcher {
        options: Options {
            default_channels: vec![LINE.into()],
            backoff_initial_ms: 50,
            ..Options::default()
        },
        keys: Keys::default(),
        log: Box::new(embedded.notifications("dispatcher")),
        recipients: Arc::new(embedded.recipients()),
        leases: Arc::new(embedded.leases()),
        retries: Arc::new(embedded.retries()),
        dead_letters: Arc::new(embedded.dead_letters()),
        prices: Arc::new(embedded.prices()),
        plugins: plugins.clone(),
        sender: Arc::new(Outbound::with_output(OutboundOptions::default(), Box::new(out.clone())).unwrap()),
        clock: Arc::new(SystemClock),
        metrics: metrics.clone(),
    };
    let (stop, stopped) = oneshot::channel::<()>();
    let started = Instant::now();
    let running = tokio::spawn(dispatcher.run(async {
        let _ = stopped.await;
    }));
    let delivered = || metrics.channel(channel).delivered.get();
    while delivered() < most {
        assert!(started.elapsed() < PATIENCE, "{} of {most} delivered", delivered());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let took = started.elapsed();
    let _ = stop.send(());
    running.await.unwrap().unwrap();
    took
}

fn report(what: &str, count: u32, took: Duration) {
    println!("{what}: {count} deliveries in {took:.1?}, {:.0}/s", f64::from(count) / took.as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_is_written_once_also_by_the_next_process() {
    const USERS: u32 = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let (plugins, out) = (Arc::new(FakePlugins::default()), Output::default());
    plugins.set(
        LINE,
        FakeChannel {
            access: Access::default(),
            render: Box::new(|delivery| Ok(Ok(Outgoing::Line(delivery.to.user_id.to_string())))),
            ..FakeChannel::default()
        },
    );
    let embedded = StoreOptions::new(folder.path()).build().unwrap();
    fan_out(&embedded, "u", USERS, 0).await;
    let took = dispatch(&embedded, &plugins, &out, LINE, u64::from(USERS)).await;
    report("lines", USERS, took);
    drop(embedded);

    let embedded = StoreOptions::new(folder.path()).build().unwrap();
    fan_out(&embedded, "v", 10, 1).await;
    dispatch(&embedded, &plugins, &out, LINE, 10).await;
    let lines = out.lines();
    let mut expected: Vec<_> =
        (0..USERS).map(|n| format!("u{n}")).chain((0..10).map(|n| format!("v{n}"))).collect();
    expected.sort();
    assert!(lines == expected, "{} lines for {} users", lines.len(), expected.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_arrives_and_what_failed_is_tried_again_under_its_key() {
    const USERS: u32 = 10_000;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Asked::default();
    tokio::spawn(serve(listener, asked.clone()));
    let folder = tempfile::tempdir().unwrap();
    let embedded = StoreOptions::new(folder.path()).build().unwrap();
    let recipient = |n: u32| Recipient {
        user_id: UserId::new(&format!("u{n}")).unwrap(),
        channel: WEB.into(),
        address: format!("http://{address}/{n}"),
        locale: None,
        attributes: Vec::new(),
    };
    embedded.recipients().put((0..USERS).map(recipient).collect()).await.unwrap();
    fan_out(&embedded, "u", USERS, 0).await;
    let plugins = Arc::new(FakePlugins::default());
    plugins.set(
        WEB,
        FakeChannel {
            access: Access { hosts: vec![address.to_string()], ..Access::default() },
            render: Box::new(|delivery| Ok(Ok(post(&delivery.to.address, &delivery.key)))),
            ..FakeChannel::default()
        },
    );
    let took = dispatch(&embedded, &plugins, &Output::default(), WEB, u64::from(USERS)).await;
    report("requests, a tenth of them twice", USERS, took);
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.len(), USERS as usize);
    assert!(asked.iter().all(|(key, times)| *times == if key.ends_with('7') { 2 } else { 1 }));
    assert_eq!(embedded.retries().waiting().await.unwrap(), []);
    assert_eq!(embedded.dead_letters().list(None, 1).await.unwrap(), []);
}

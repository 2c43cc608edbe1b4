//! A dispatcher over in-memory stores that can be started, stopped and killed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pricedrop_model::Notification;
use pricedrop_model::dispatch::{NotificationLog, Recipient, Recipients, Reply, SendError};
use pricedrop_pipeline::dispatcher::{Dispatcher, Error, Keys, Metrics, Options};
use pricedrop_testing::channel::{FakeChannel, FakePlugins, FakeSender, Sent};
use pricedrop_testing::clock::TestClock;
use pricedrop_testing::dispatch::Stores;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// The default channel, for users without an address.
pub const CHANNEL: &str = "channel-fake";
/// Longer than any lease of these tests, in milliseconds.
pub const LEASE_MS: i64 = 120_000;
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Rig {
    pub stores: Arc<Stores>,
    pub plugins: Arc<FakePlugins>,
    pub sender: Arc<FakeSender>,
    pub clock: Arc<TestClock>,
    pub metrics: Arc<Metrics>,
    runtime: Runtime,
}

/// A dispatcher in a runtime of its own, so that it can be killed.
pub struct Running {
    runtime: Runtime,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<Result<(), Error>>,
}

impl Rig {
    pub fn new(answer: impl Fn(&Sent) -> Result<Reply, SendError> + Send + Sync + 'static) -> Rig {
        let rig = Rig {
            stores: Arc::default(),
            plugins: Arc::default(),
            sender: Arc::new(FakeSender::new(answer)),
            clock: Arc::new(TestClock::at(1_700_000_000_000)),
            metrics: Arc::default(),
            runtime: Runtime::new().unwrap(),
        };
        rig.channel(FakeChannel::default());
        rig
    }

    pub fn options() -> Options {
        Options { default_channels: vec![CHANNEL.into()], poll_ms: 5, ..Options::default() }
    }

    /// Replaces the channel.
    pub fn channel(&self, channel: FakeChannel) {
        self.plugins.set(CHANNEL, channel);
    }

    pub fn start(&self) -> Running {
        self.start_with(Rig::options())
    }

    pub fn start_with(&self, options: Options) -> Running {
        self.start_over(self.stores.reader(), options)
    }

    /// Starts another dispatcher of the group, which shares everything but the log's partitions.
    pub fn start_over(&self, log: Box<dyn NotificationLog>, options: Options) -> Running {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let dispatcher = Dispatcher {
            options,
            keys: Keys::default(),
            log,
            recipients: self.stores.clone(),
            leases: self.stores.clone(),
            retries: self.stores.clone(),
            dead_letters: self.stores.clone(),
            prices: self.stores.clone(),
            plugins: self.plugins.clone(),
            sender: self.sender.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
        };
        let (stop, stopped) = oneshot::channel();
        let ended = runtime.spawn(async move {
            dispatcher
                .run(async {
                    let _ = stopped.await;
                })
                .await
        });
        Running { runtime, stop, ended }
    }

    /// Polls until the condition holds; fails with these words if it does not in time.
    pub fn until(&self, what: &str, mut holds: impl FnMut(&Rig) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            let (retries, dead) = (self.stores.retries(), self.stores.dead());
            assert!(Instant::now() < deadline, "waited for: {what}; retries {retries:#?} dead {dead:#?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub async fn stores_recipients(&self, recipients: &[Recipient]) {
        Recipients::put(&*self.stores, recipients.to_vec()).await.unwrap();
    }

    pub fn delivered(&self) -> u64 {
        self.metrics.channel(CHANNEL).delivered.get()
    }

    pub fn obsolete(&self) -> u64 {
        self.metrics.channel(CHANNEL).obsolete.get()
    }
}

impl Running {
    /// Shuts down in order.
    pub fn stop(self) -> Result<(), Error> {
        let _ = self.stop.send(());
        self.runtime.block_on(self.ended).unwrap()
    }

    /// Ends at once, as a crash would.
    pub fn kill(self) {
        self.runtime.shutdown_background();
    }
}

/// Returns the notification of this number to this user: price 79.90, threshold 80.
pub fn notification(number: u32, user: &str) -> Notification {
    serde_json::from_str(&format!(
        r#"{{"userId":"{user}","productId":"P-{user}","newPrice":79.90,
            "id":"00000000-0000-8000-8000-{number:012}","watchPrice":80,"previousPrice":95,"currency":"USD"}}"#
    ))
    .unwrap()
}

/// Returns the delivery key of that notification to this address.
pub fn key(number: u32, address: &str) -> String {
    format!("00000000-0000-8000-8000-{number:012}:{CHANNEL}:{}", Keys::default().address(address))
}

pub fn recipient(user: &str, address: &str) -> Recipient {
    Recipient {
        user_id: pricedrop_model::UserId::new(user).unwrap(),
        channel: CHANNEL.into(),
        address: address.into(),
        locale: None,
        attributes: Vec::new(),
    }
}

//! Channels and senders that do as a test says.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use pricedrop_model::dispatch::{
    Access, Channel, Delivery, HttpRequest, Method, Outgoing, Parcel, Refusal, Reply, SendError, Sender,
    Verdict,
};
use pricedrop_model::plugin::{self, Bucketing, Plugins, Throttling};

type Render = dyn Fn(&Delivery) -> Result<Result<Outgoing, Refusal>, plugin::Error> + Send + Sync;
type Judge = dyn Fn(&Delivery, &Reply, u32) -> Result<Verdict, plugin::Error> + Send + Sync;
type Answer = dyn Fn(&Sent) -> Result<Reply, SendError> + Send + Sync;

/// A channel made of closures. By default it posts its delivery's key to
/// `https://provider.test/` and leaves judging to the host.
pub struct FakeChannel {
    /// What it may reach.
    pub access: Access,
    /// What it renders.
    pub render: Box<Render>,
    /// How it judges.
    pub judge: Box<Judge>,
}

impl Default for FakeChannel {
    fn default() -> FakeChannel {
        let access = Access { hosts: vec!["provider.test".into()], ..Access::default() };
        FakeChannel {
            access,
            render: Box::new(|delivery| Ok(Ok(post("https://provider.test/", &delivery.key)))),
            judge: Box::new(|_, _, _| Ok(Verdict::Standard)),
        }
    }
}

/// A request with this body.
pub fn post(url: &str, body: &str) -> Outgoing {
    Outgoing::Http(HttpRequest {
        method: Method::Post,
        url: url.to_owned(),
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
        credential: None,
    })
}

/// An HTTP answer without a body.
pub fn http(status: u16, headers: &[(&str, &str)]) -> Reply {
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Reply::Http { status, headers, body: String::new(), truncated: false }
}

/// A plugin's breakdown.
pub fn trap(function: &'static str) -> plugin::Error {
    plugin::Error { plugin: "fake@1".into(), function, reason: "it trapped".into() }
}

impl Channel for FakeChannel {
    fn name(&self) -> &str {
        "fake@1"
    }

    fn access(&self) -> &Access {
        &self.access
    }

    fn render(&self, deliveries: &[Delivery]) -> Vec<Result<Result<Outgoing, Refusal>, plugin::Error>> {
        deliveries.iter().map(&self.render).collect()
    }

    fn judge(&self, delivery: &Delivery, reply: &Reply, step: u32) -> Result<Verdict, plugin::Error> {
        (self.judge)(delivery, reply, step)
    }
}

/// Channels by name, exchangeable at any time.
#[derive(Default)]
pub struct FakePlugins(Mutex<HashMap<String, Arc<dyn Channel>>>);

impl FakePlugins {
    /// Puts a channel in place.
    pub fn set(&self, name: &str, channel: FakeChannel) {
        let mut channels = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        channels.insert(name.to_owned(), Arc::new(channel));
    }
}

impl Plugins for FakePlugins {
    fn bucketing(&self) -> Option<Arc<dyn Bucketing>> {
        None
    }

    fn throttling(&self) -> Option<Arc<dyn Throttling>> {
        None
    }

    fn channel(&self, name: &str) -> Option<Arc<dyn Channel>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The channel.
    pub channel: String,
    /// The addressee's address.
    pub address: String,
    /// The idempotency key.
    pub key: String,
    /// The message.
    pub outgoing: Outgoing,
}

/// Records what is sent and answers as the test says.
pub struct FakeSender {
    sent: Mutex<Vec<Sent>>,
    answer: Mutex<Arc<Answer>>,
}

impl FakeSender {
    /// Answers with this.
    pub fn new(answer: impl Fn(&Sent) -> Result<Reply, SendError> + Send + Sync + 'static) -> FakeSender {
        FakeSender { sent: Mutex::default(), answer: Mutex::new(Arc::new(answer)) }
    }

    /// Answers with this from now on.
    pub fn answer(&self, answer: impl Fn(&Sent) -> Result<Reply, SendError> + Send + Sync + 'static) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(answer);
    }

    /// All that was sent, in order.
    pub fn sent(&self) -> Vec<Sent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The reply that never comes.
pub const NEVER: u16 = 0;

#[async_trait]
impl Sender for FakeSender {
    async fn send(&self, parcel: Parcel<'_>) -> Result<Reply, SendError> {
        let sent = Sent {
            channel: parcel.channel.to_owned(),
            address: parcel.to.address.clone(),
            key: parcel.idempotency_key.to_owned(),
            outgoing: parcel.outgoing.clone(),
        };
        let answer = Arc::clone(&self.answer.lock().unwrap_or_else(PoisonError::into_inner));
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).push(sent.clone());
        match answer(&sent) {
            Ok(Reply::Smtp(NEVER, _)) => std::future::pending().await,
            reply => reply,
        }
    }
}

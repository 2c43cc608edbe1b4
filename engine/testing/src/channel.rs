//! Fake channels, plugins and senders whose behaviour a test chooses.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use pricedrop_model::dispatch::{
    Access, Answer, CallbackRequest, Channel, Classification, HttpRequest, Message, Method, Outgoing,
    Received, RenderError, Reply, SendError, SendRequest, Sender,
};
use pricedrop_model::plugin::{self, Bucketing, Plugins, Throttling};
use pricedrop_model::sync::lock;

type Render = dyn Fn(&Message) -> Result<Result<Outgoing, RenderError>, plugin::Error> + Send + Sync;
type Classify = dyn Fn(&Message, &Reply, u32) -> Result<Classification, plugin::Error> + Send + Sync;
type Respond = dyn Fn(&Sent) -> Result<Reply, SendError> + Send + Sync;

/// A channel made of closures. By default it posts the delivery key to `https://provider.test/`,
/// and lets the host's table classify replies.
pub struct FakeChannel {
    /// The hosts it may reach.
    pub access: Access,
    /// Renders a message.
    pub render: Box<Render>,
    /// Classifies a reply.
    pub classify: Box<Classify>,
}

impl Default for FakeChannel {
    fn default() -> FakeChannel {
        let access = Access { hosts: vec!["provider.test".into()], ..Access::default() };
        FakeChannel {
            access,
            render: Box::new(|message| Ok(Ok(post("https://provider.test/", &message.key)))),
            classify: Box::new(|_, _, _| Ok(Classification::Standard)),
        }
    }
}

/// Returns a POST request with this body.
pub fn post(url: &str, body: &str) -> Outgoing {
    Outgoing::Http(HttpRequest {
        method: Method::Post,
        url: url.to_owned(),
        headers: Vec::new(),
        body: body.as_bytes().to_vec(),
        credential: None,
    })
}

/// Returns an HTTP response without a body.
pub fn http(status: u16, headers: &[(&str, &str)]) -> Reply {
    let headers = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    Reply::Http { status, headers, body: String::new(), truncated: false }
}

/// Returns the error of a plugin that trapped.
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

    fn address_kind(&self) -> &str {
        "fake"
    }

    /// Trims each address. An empty one is refused.
    fn normalize(&self, addresses: &[String]) -> Vec<Result<Result<String, String>, plugin::Error>> {
        let one = |address: &String| match address.trim() {
            "" => Err("the address is empty".to_owned()),
            address => Ok(address.to_owned()),
        };
        addresses.iter().map(|address| Ok(one(address))).collect()
    }

    fn render(&self, messages: &[Message]) -> Vec<Result<Result<Outgoing, RenderError>, plugin::Error>> {
        messages.iter().map(&self.render).collect()
    }

    fn classify(&self, answers: &[Answer<'_>]) -> Vec<Result<Classification, plugin::Error>> {
        answers.iter().map(|answer| (self.classify)(answer.message, answer.reply, answer.step)).collect()
    }

    fn receive(&self, _request: &CallbackRequest) -> Result<Result<Received, String>, plugin::Error> {
        Err(trap("receive"))
    }
}

/// Channels by name. A test can replace them at any time.
#[derive(Default)]
pub struct FakePlugins(Mutex<HashMap<String, Arc<dyn Channel>>>);

impl FakePlugins {
    /// Adds or replaces a channel.
    pub fn set(&self, name: &str, channel: FakeChannel) {
        let mut channels = lock(&self.0);
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
        lock(&self.0).get(name).cloned()
    }
}

/// A request that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The channel.
    pub channel: String,
    /// The recipient's address.
    pub address: String,
    /// The idempotency key.
    pub key: String,
    /// What was sent.
    pub outgoing: Outgoing,
}

/// A sender that records what it sends, and replies as the test chooses.
pub struct FakeSender {
    sent: Mutex<Vec<Sent>>,
    answer: Mutex<Arc<Respond>>,
}

impl FakeSender {
    /// Creates a sender that replies with the result of `answer`.
    pub fn new(answer: impl Fn(&Sent) -> Result<Reply, SendError> + Send + Sync + 'static) -> FakeSender {
        FakeSender { sent: Mutex::default(), answer: Mutex::new(Arc::new(answer)) }
    }

    /// From now on, replies with the result of `answer`.
    pub fn answer(&self, answer: impl Fn(&Sent) -> Result<Reply, SendError> + Send + Sync + 'static) {
        *lock(&self.answer) = Arc::new(answer);
    }

    /// Returns everything that was sent, in order.
    pub fn sent(&self) -> Vec<Sent> {
        lock(&self.sent).clone()
    }
}

/// If the test replies with this SMTP code, the call to `send` never returns.
pub const NEVER: u16 = 0;

#[async_trait]
impl Sender for FakeSender {
    async fn send(&self, request: SendRequest<'_>) -> Result<Reply, SendError> {
        let sent = Sent {
            channel: request.channel.to_owned(),
            address: request.to.address.clone(),
            key: request.idempotency_key.to_owned(),
            outgoing: request.outgoing.clone(),
        };
        let answer = Arc::clone(&lock(&self.answer));
        lock(&self.sent).push(sent.clone());
        match answer(&sent) {
            Ok(Reply::Smtp(NEVER, _)) => std::future::pending().await,
            reply => reply,
        }
    }
}

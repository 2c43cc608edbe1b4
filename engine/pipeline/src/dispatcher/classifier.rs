//! Asks channel plugins what the replies of providers mean. Replies that wait for a plugin call
//! are batched, up to [`CLASSIFY_BATCH`] per call.

use std::sync::Arc;

use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{Answer, Channel, Classification, Message, Reply};
use pricedrop_model::plugin;
use tokio::sync::{mpsc, oneshot};

use super::classification::standard;
use super::options::CLASSIFY_BATCH;
use super::shared::Shared;

/// A handle of the task that classifies replies of one channel.
#[derive(Clone)]
pub(super) struct Classifier(mpsc::UnboundedSender<PendingReply>);

struct PendingReply {
    channel: Arc<dyn Channel>,
    message: Arc<Message>,
    reply: Reply,
    step: u32,
    answer: oneshot::Sender<Classification>,
}

impl Classifier {
    /// Starts the task; it ends when the last handle is dropped.
    pub(super) fn start(shared: Arc<Shared>) -> Classifier {
        let (replies, inbox) = mpsc::unbounded_channel();
        tokio::spawn(classify(shared, inbox));
        Classifier(replies)
    }

    /// Returns the plugin's classification of a reply. If the plugin fails or says `Standard`, the
    /// one of the standard table.
    pub(super) async fn classify(
        &self,
        channel: &Arc<dyn Channel>,
        message: &Arc<Message>,
        reply: Reply,
        step: u32,
        now: WallTime,
    ) -> Classification {
        let by_table = standard(&reply, now);
        let (answer, classification) = oneshot::channel();
        let pending =
            PendingReply { channel: Arc::clone(channel), message: Arc::clone(message), reply, step, answer };
        let is_sent = self.0.send(pending).is_ok();
        match if is_sent { classification.await.ok() } else { None } {
            None | Some(Classification::Standard) => by_table,
            Some(classification) => classification,
        }
    }
}

/// Waits for a permit to call a plugin, then takes all replies that arrived meanwhile.
async fn classify(shared: Arc<Shared>, mut inbox: mpsc::UnboundedReceiver<PendingReply>) {
    while let Some(first) = inbox.recv().await {
        let Some(permit) = shared.plugin_permit().await else { return };
        let mut replies = vec![first];
        while replies.len() < CLASSIFY_BATCH {
            let Ok(pending) = inbox.try_recv() else { break };
            replies.push(pending);
        }
        let shared = Arc::clone(&shared);
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            // During a plugin swap the messages may come from two generations; each classifies its own.
            while let Some(first) = replies.first().map(|pending| Arc::clone(&pending.channel)) {
                let same = |pending: &mut PendingReply| Arc::ptr_eq(&pending.channel, &first);
                let of_one: Vec<PendingReply> = replies.extract_if(.., same).collect();
                classify_batch(&shared, &*first, of_one);
            }
        });
    }
}

/// Asks one plugin about its replies. If it fails, the request is dropped unanswered, and the
/// caller uses the standard table.
fn classify_batch(shared: &Shared, channel: &dyn Channel, replies: Vec<PendingReply>) {
    let answers: Vec<Answer<'_>> = replies
        .iter()
        .map(|pending| Answer { message: &pending.message, reply: &pending.reply, step: pending.step })
        .collect();
    let classifications = channel.classify(&answers);
    for (pending, classification) in replies.into_iter().zip(classifications) {
        match classification {
            // The receiver is gone if the attempt was cancelled.
            Ok(classification) => drop(pending.answer.send(classification)),
            Err(error) => plugin_failed(shared, &pending.message, &error),
        }
    }
}

fn plugin_failed(shared: &Shared, message: &Message, error: &plugin::Error) {
    tracing::warn!(%error, key = message.key, "the plugin did not classify the reply; the standard table is used");
    shared.metrics.channel(&message.to.channel).plugin_failures.inc();
}

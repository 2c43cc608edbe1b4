//! Asks channel plugins what the replies of providers mean. Replies that wait for a plugin call
//! are batched, up to [`CLASSIFY`] per call.

use std::sync::Arc;

use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{Answer, Channel, Classification, Message, Reply};
use pricedrop_model::plugin;
use tokio::sync::{mpsc, oneshot};

use super::classification::standard;
use super::options::CLASSIFY;
use super::shared::Shared;

/// A handle of the task that classifies replies of one channel.
#[derive(Clone)]
pub(super) struct Classifier(mpsc::UnboundedSender<Question>);

struct Question {
    channel: Arc<dyn Channel>,
    message: Arc<Message>,
    reply: Reply,
    step: u32,
    answer: oneshot::Sender<Classification>,
}

impl Classifier {
    /// Starts the task; it ends when the last handle is dropped.
    pub(super) fn start(shared: Arc<Shared>) -> Classifier {
        let (questions, inbox) = mpsc::unbounded_channel();
        tokio::spawn(classify(shared, inbox));
        Classifier(questions)
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
        let question =
            Question { channel: Arc::clone(channel), message: Arc::clone(message), reply, step, answer };
        let asked = self.0.send(question).is_ok();
        match if asked { classification.await.ok() } else { None } {
            None | Some(Classification::Standard) => by_table,
            Some(classification) => classification,
        }
    }
}

/// Waits for a permit to call a plugin, then takes all replies that arrived meanwhile.
async fn classify(shared: Arc<Shared>, mut inbox: mpsc::UnboundedReceiver<Question>) {
    while let Some(first) = inbox.recv().await {
        let Some(slot) = shared.plugin_slot().await else { return };
        let mut questions = vec![first];
        while questions.len() < CLASSIFY {
            let Ok(question) = inbox.try_recv() else { break };
            questions.push(question);
        }
        let shared = Arc::clone(&shared);
        tokio::task::spawn_blocking(move || {
            let _slot = slot;
            // During a plugin swap the messages may come from two generations; each classifies its own.
            while let Some(first) = questions.first().map(|question| Arc::clone(&question.channel)) {
                let same = |question: &mut Question| Arc::ptr_eq(&question.channel, &first);
                let of_one: Vec<Question> = questions.extract_if(.., same).collect();
                ask(&shared, &*first, of_one);
            }
        });
    }
}

/// Asks one plugin about its replies. If it fails, the question is dropped unanswered, and the
/// caller uses the standard table.
fn ask(shared: &Shared, channel: &dyn Channel, questions: Vec<Question>) {
    let answers: Vec<Answer<'_>> = questions
        .iter()
        .map(|question| Answer { message: &question.message, reply: &question.reply, step: question.step })
        .collect();
    let classifications = channel.classify(&answers);
    for (question, classification) in questions.into_iter().zip(classifications) {
        match classification {
            // The receiver is gone if the attempt was cancelled.
            Ok(classification) => drop(question.answer.send(classification)),
            Err(error) => no_answer(shared, &question.message, &error),
        }
    }
}

fn no_answer(shared: &Shared, message: &Message, error: &plugin::Error) {
    tracing::warn!(%error, key = message.key, "the reply is classified by the standard table");
    shared.metrics.channel(&message.to.channel).plugin_failures.inc();
}

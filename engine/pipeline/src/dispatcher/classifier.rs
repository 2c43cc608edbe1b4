//! Asks channel plugins what replies mean, as many at a time as wait.

use std::sync::Arc;

use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{Answer, Channel, Classification, Message, Reply};
use pricedrop_model::plugin;
use tokio::sync::{mpsc, oneshot};

use super::classification::standard;
use super::options::CLASSIFY;
use super::shared::Shared;

/// The way to the classifying task of one channel.
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
    /// Starts classifying; it ends with the last of these handles.
    pub(super) fn start(shared: Arc<Shared>) -> Classifier {
        let (questions, inbox) = mpsc::unbounded_channel();
        tokio::spawn(classify(shared, inbox));
        Classifier(questions)
    }

    /// What a reply means: as the plugin says, else by the host's table.
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

/// Waits for a free call first, then takes all that have come up meanwhile.
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
            // Two generations of a plugin may have rendered during a swap.
            while let Some(first) = questions.first().map(|question| Arc::clone(&question.channel)) {
                let same = |question: &mut Question| Arc::ptr_eq(&question.channel, &first);
                let of_one: Vec<Question> = questions.extract_if(.., same).collect();
                ask(&shared, &*first, of_one);
            }
        });
    }
}

/// Asks one plugin about its replies. Where it gives no answer, nothing is
/// answered here, and the host's table counts.
fn ask(shared: &Shared, channel: &dyn Channel, questions: Vec<Question>) {
    let answers: Vec<Answer<'_>> = questions
        .iter()
        .map(|question| Answer { message: &question.message, reply: &question.reply, step: question.step })
        .collect();
    let classifications = channel.classify(&answers);
    for (question, classification) in questions.into_iter().zip(classifications) {
        match classification {
            // Nobody waits for the classification of an attempt that was given up.
            Ok(classification) => drop(question.answer.send(classification)),
            Err(error) => no_answer(shared, &question.message, &error),
        }
    }
}

fn no_answer(shared: &Shared, message: &Message, error: &plugin::Error) {
    tracing::warn!(%error, key = message.key, "the reply is classified by the standard table");
    shared.metrics.channel(&message.to.channel).plugin_failures.inc();
}

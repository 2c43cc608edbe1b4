//! Asks plugins what replies mean, as many at a time as wait.

use std::sync::Arc;

use pricedrop_model::WallTime;
use pricedrop_model::dispatch::{Channel, Delivery, Reply, Verdict};
use tokio::sync::{mpsc, oneshot};

use super::counters::count;
use super::options::JUDGE;
use super::shared::Shared;
use super::verdict::standard;

/// The way to the judging task of one lane.
#[derive(Clone)]
pub(super) struct Judge(mpsc::UnboundedSender<Question>);

struct Question {
    channel: Arc<dyn Channel>,
    delivery: Arc<Delivery>,
    reply: Reply,
    step: u32,
    answer: oneshot::Sender<Option<Verdict>>,
}

impl Judge {
    /// Starts judging; it ends with the last of these handles.
    pub(super) fn start(shared: Arc<Shared>) -> Judge {
        let (questions, inbox) = mpsc::unbounded_channel();
        tokio::spawn(judge(shared, inbox));
        Judge(questions)
    }

    /// What a reply means: as the plugin says, else by the host's table.
    pub(super) async fn verdict(
        &self,
        channel: &Arc<dyn Channel>,
        delivery: &Arc<Delivery>,
        reply: Reply,
        step: u32,
        now: WallTime,
    ) -> Verdict {
        let (answer, verdict) = oneshot::channel();
        let question = Question {
            channel: Arc::clone(channel),
            delivery: Arc::clone(delivery),
            reply: reply.clone(),
            step,
            answer,
        };
        let asked = self.0.send(question).is_ok();
        match if asked { verdict.await.ok().flatten() } else { None } {
            None | Some(Verdict::Standard) => standard(&reply, now),
            Some(verdict) => verdict,
        }
    }
}

/// Waits for a free call first, then takes all that have come up meanwhile.
async fn judge(shared: Arc<Shared>, mut inbox: mpsc::UnboundedReceiver<Question>) {
    while let Some(first) = inbox.recv().await {
        let Some(slot) = shared.plugin_slot().await else { return };
        let mut questions = vec![first];
        while questions.len() < JUDGE {
            let Ok(question) = inbox.try_recv() else { break };
            questions.push(question);
        }
        let shared = Arc::clone(&shared);
        tokio::task::spawn_blocking(move || {
            let _slot = slot;
            questions.into_iter().for_each(|question| question.settle(&shared));
        });
    }
}

impl Question {
    fn settle(self, shared: &Shared) {
        let verdict = self.channel.judge(&self.delivery, &self.reply, self.step);
        if let Err(error) = &verdict {
            tracing::warn!(%error, "the reply is judged by the standard table");
            count(&shared.counters.channel(&self.delivery.to.channel).plugin_failures);
        }
        // Nobody waits for the verdict of an attempt that was given up.
        let _ = self.answer.send(verdict.ok());
    }
}

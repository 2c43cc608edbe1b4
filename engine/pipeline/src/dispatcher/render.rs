//! Calls a channel plugin to render messages.
//!
//! Invariant: a message that makes the plugin fail does not affect the others of its batch.

use std::sync::Arc;

use pricedrop_model::dispatch::{Channel, Message, Outgoing, RenderError};
use pricedrop_model::plugin;

use super::shared::Shared;

type Rendered = Result<Result<Outgoing, RenderError>, plugin::Error>;

/// Returns the messages and one answer per message, in order. If the call for the whole batch
/// fails, each message is rendered by a call of its own.
pub(super) async fn render(
    shared: &Shared,
    channel: &Arc<dyn Channel>,
    messages: Vec<Message>,
) -> (Vec<Message>, Vec<Rendered>) {
    let messages = Arc::new(messages);
    let answers = match call_render(shared, channel, &messages, 0..messages.len()).await {
        Ok(answers) => answers,
        Err(_) => {
            let mut answers = Vec::with_capacity(messages.len());
            for at in 0..messages.len() {
                let answer = call_render(shared, channel, &messages, at..at + 1).await;
                answers.push(answer.and_then(|mut answers| answers.remove(0)));
            }
            answers
        }
    };
    (Arc::unwrap_or_clone(messages), answers)
}

async fn call_render(
    shared: &Shared,
    channel: &Arc<dyn Channel>,
    messages: &Arc<Vec<Message>>,
    range: std::ops::Range<usize>,
) -> Result<Vec<Rendered>, plugin::Error> {
    let expected = range.len();
    let (called, batch) = (Arc::clone(channel), Arc::clone(messages));
    let answers = shared.call_plugin(move || called.render(&batch[range])).await;
    let breach = |reason: String| plugin::Error { plugin: channel.name().into(), function: "render", reason };
    let answers = answers.ok_or_else(|| breach("the plugin call panicked".into()))?;
    match answers.len() == expected {
        true => Ok(answers),
        false => {
            Err(breach(format!("the plugin returned {} answers for {expected} messages", answers.len())))
        }
    }
}

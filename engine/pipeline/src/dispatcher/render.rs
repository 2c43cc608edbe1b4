//! Asks a channel what to send. One bad delivery never takes its batch along.

use std::sync::Arc;

use pricedrop_model::dispatch::{Channel, Delivery, Outgoing, Refusal};
use pricedrop_model::plugin;

use super::shared::Shared;

type Rendered = Result<Result<Outgoing, Refusal>, plugin::Error>;

/// One answer per delivery, in order. A channel that breaks down over the batch
/// is asked about each delivery alone.
pub(super) async fn render(
    shared: &Shared,
    channel: &Arc<dyn Channel>,
    deliveries: Vec<Delivery>,
) -> (Vec<Delivery>, Vec<Rendered>) {
    let deliveries = Arc::new(deliveries);
    let answers = match ask(shared, channel, &deliveries, 0..deliveries.len()).await {
        Ok(answers) => answers,
        Err(_) => {
            let mut answers = Vec::with_capacity(deliveries.len());
            for at in 0..deliveries.len() {
                let alone = ask(shared, channel, &deliveries, at..at + 1).await;
                answers.push(alone.and_then(|mut answers| answers.remove(0)));
            }
            answers
        }
    };
    (Arc::unwrap_or_clone(deliveries), answers)
}

async fn ask(
    shared: &Shared,
    channel: &Arc<dyn Channel>,
    deliveries: &Arc<Vec<Delivery>>,
    range: std::ops::Range<usize>,
) -> Result<Vec<Rendered>, plugin::Error> {
    let expected = range.len();
    let (called, asked) = (Arc::clone(channel), Arc::clone(deliveries));
    let answers = shared.call_plugin(move || called.render(&asked[range])).await;
    let breach = |reason: String| plugin::Error { plugin: channel.name().into(), function: "render", reason };
    let answers = answers.ok_or_else(|| breach("it panicked".into()))?;
    match answers.len() == expected {
        true => Ok(answers),
        false => Err(breach(format!("{} answers to {expected} deliveries", answers.len()))),
    }
}

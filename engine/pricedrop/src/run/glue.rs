//! The embedded adapters in the shapes that the API and the dispatcher ask for.

use std::sync::Arc;

use async_trait::async_trait;
use pricedrop_adapters::embedded::{self, Embedded, PostError, PostedRecord};
use pricedrop_adapters::outbound::Outbound;
use pricedrop_http::{Api, IntakeError, NewRecord, Outbox, Posted, PriceIntake};
use pricedrop_model::Clock;
use pricedrop_model::plugin::Plugins;
use pricedrop_model::seams::Error;
use pricedrop_pipeline::dispatcher;

use super::engine::Status;
use crate::config::Config;
use crate::report::Stopped;

/// The input.
struct Intake(embedded::PriceIntake);

#[async_trait]
impl PriceIntake for Intake {
    async fn post(&self, records: Vec<NewRecord>, offset: Option<i64>) -> Result<Vec<Posted>, IntakeError> {
        let records = records.into_iter().map(|NewRecord { key, value }| PostedRecord { key, value });
        let posted = self.0.post(records.collect(), offset).await.map_err(in_words)?;
        let posted = posted.into_iter().map(|(position, posted)| Posted {
            offset: position.offset,
            outcome: match posted {
                embedded::Posted::Now(outcome) => Some(outcome),
                embedded::Posted::Already => None,
            },
        });
        Ok(posted.collect())
    }
}

fn in_words(error: PostError) -> IntakeError {
    let text = error.to_string();
    match error {
        PostError::Gap { expected } => IntakeError::Gap { next: expected },
        PostError::Busy | PostError::Unavailable(_) | PostError::Closed => IntakeError::NotTaken(text),
        PostError::Unknown { .. } => IntakeError::Unknown(text),
    }
}

/// What was told.
struct Told(Embedded);

#[async_trait]
impl Outbox for Told {
    async fn read(&self, from: i64, most: usize) -> Result<(Vec<u8>, i64), Error> {
        let mut lines = Vec::new();
        let next = self.0.render_outbox(from, most, &mut lines)?;
        Ok((lines, next))
    }
}

/// The API over the embedded store.
pub fn api(
    config: &Config,
    store: &Embedded,
    intake: &embedded::PriceIntake,
    clock: Arc<dyn Clock>,
    status: Status,
) -> Api {
    Api {
        clock,
        rules: config.rules(),
        intake: Arc::new(Intake(intake.clone())),
        watches: Arc::new(store.watches()),
        recipients: Arc::new(store.recipients()),
        leases: Arc::new(store.leases()),
        retries: Arc::new(store.retries()),
        dead_letters: Arc::new(store.dead_letters()),
        prices: Arc::new(store.prices()),
        outbox: Arc::new(Told(store.clone())),
        engine: Arc::new(status),
    }
}

/// The name under which the dispatcher's place in the outbox is kept.
const DISPATCHER: &str = "dispatcher";

/// The dispatcher over the embedded store.
///
/// # Errors
/// Nothing can be sent at all.
pub fn dispatcher(
    config: &Config,
    store: &Embedded,
    plugins: Arc<dyn Plugins>,
    counters: Arc<dispatcher::Counters>,
    clock: Arc<dyn Clock>,
) -> Result<dispatcher::Dispatcher, Stopped> {
    let sender = Outbound::new(config.outbound());
    let sender = sender.map_err(|error| Stopped::usage(error, "mend dispatch.ca_file"))?;
    Ok(dispatcher::Dispatcher {
        options: config.dispatcher(),
        log: Box::new(store.notifications(DISPATCHER)),
        recipients: Arc::new(store.recipients()),
        leases: Arc::new(store.leases()),
        retries: Arc::new(store.retries()),
        dead_letters: Arc::new(store.dead_letters()),
        prices: Arc::new(store.prices()),
        plugins,
        sender: Arc::new(sender),
        clock,
        counters,
    })
}

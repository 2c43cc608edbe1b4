//! `/v1/dlq`: lists dead letters, returns one, and replays one.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bytes::Bytes;
use pricedrop_model::dispatch::{DeadLetter, DeadLetterId, DeadLetterIdError, DeadWhat};
use pricedrop_model::intake::{NewRecord, Posted};
use pricedrop_model::ports::Outcome;
use pricedrop_pipeline::dispatcher::{self, ReplayError};
use serde::{Deserialize, Serialize};

use crate::api::Api;
use crate::pages::{PathParams, QueryParams, page_entries};
use crate::problem::{Problem, Result};
use crate::state::AppState;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    after: Option<DeadLetterId>,
    limit: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page {
    dead_letters: Vec<DeadLetter>,
    next: Option<DeadLetterId>,
}

/// Lists a page of dead letters in the order of ids: by topic, partition and offset.
pub(crate) async fn list(
    State(state): State<AppState>,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<Json<Page>> {
    let most = page_entries(&state, query.limit)?;
    let dead_letters = state.api.dead_letters.list(query.after.as_ref(), most).await?;
    let next = dead_letters.last().filter(|_| dead_letters.len() == most).map(|letter| letter.id.clone());
    Ok(Json(Page { dead_letters, next }))
}

/// The parts of an id in the path: topic, partition, offset.
type Parts = (String, String, String);

fn read_id((topic, partition, offset): &Parts) -> Result<DeadLetterId> {
    let id = format!("{topic}/{partition}/{offset}").parse();
    id.map_err(|error: DeadLetterIdError| Problem::bad(error.to_string()).at("the path"))
}

/// Returns one dead letter, or 404.
pub(crate) async fn show(
    State(state): State<AppState>,
    PathParams(parts): PathParams<Parts>,
) -> Result<Json<DeadLetter>> {
    find(&state, &read_id(&parts)?).await.map(Json)
}

/// The answer to a replay.
#[derive(Serialize)]
pub(crate) struct Replayed {
    replayed: DeadLetterId,
    /// What was done, as text.
    outcome: String,
}

/// Replays a dead letter: queues its delivery or posts its update again, then removes it from the
/// list. After a crash in between it is still listed and may be replayed again: a delivery has the
/// same key, and an update notifies nobody twice unless another price came in between.
pub(crate) async fn replay(
    State(state): State<AppState>,
    PathParams(parts): PathParams<Parts>,
) -> Result<Json<Replayed>> {
    let id = read_id(&parts)?;
    let letter = find(&state, &id).await?;
    let outcome = match &letter.what {
        DeadWhat::Delivery { retry, .. } => {
            replay_delivery(&state, &letter).await?;
            format!("queued for {} on {}", retry.to.user_id, retry.to.channel)
        }
        DeadWhat::Notification { .. } => {
            let error = "the record is not a valid notification, so there is nothing to send".to_owned();
            return Err(Problem::new(StatusCode::CONFLICT, error)
                .remedy("correct the producer, and let it write the notification again"));
        }
        DeadWhat::Update { truncated: Some(bytes), .. } => {
            let error = format!("the update had {bytes} bytes, of which only the first part was stored");
            return Err(Problem::new(StatusCode::CONFLICT, error).remedy("send a shorter update"));
        }
        DeadWhat::Update { key, value, .. } => {
            let outcome = replay_update(&state, key.clone(), value.clone()).await?;
            state.api.dead_letters.remove(&id).await?;
            outcome
        }
    };
    Ok(Json(Replayed { replayed: id, outcome }))
}

async fn find(state: &AppState, id: &DeadLetterId) -> Result<DeadLetter> {
    let missing = || Problem::new(StatusCode::NOT_FOUND, format!("there is no dead letter {id}"));
    state.api.dead_letters.get(id).await?.ok_or_else(missing)
}

async fn replay_delivery(state: &AppState, letter: &DeadLetter) -> Result<()> {
    let Api { leases, retries, dead_letters, clock, .. } = &state.api;
    let replayed = dispatcher::replay(letter, &**leases, &**retries, &**dead_letters, clock.now()).await;
    replayed.map_err(|error| match error {
        ReplayError::Store(error) => error.into(),
        ReplayError::NotADelivery(_) => Problem::new(StatusCode::CONFLICT, error.to_string()),
    })
}

async fn replay_update(state: &AppState, key: Option<String>, value: Option<String>) -> Result<String> {
    let record = NewRecord { key: key.map(Bytes::from), value: value.map(Bytes::from) };
    let posted = state.api.intake.post(vec![record], None).await?;
    Ok(match posted.into_iter().next() {
        Some(Posted::Decided(_, Outcome::Dead(reason))) => {
            format!("the record is still invalid and became a new dead letter: {reason}")
        }
        Some(Posted::Decided(_, Outcome::Drop { told, .. })) => {
            format!("the update is a drop; {told} users are notified")
        }
        Some(Posted::Decided(..)) => "the update is accepted and is no drop".into(),
        Some(Posted::Queued(position)) => {
            format!("written at offset {} of partition {}", position.offset, position.partition.0)
        }
        Some(Posted::Already(_)) | None => "the update is accepted".into(),
    })
}

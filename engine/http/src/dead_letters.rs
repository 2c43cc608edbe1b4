//! `/v1/dead-letters`: what died, and bringing it back.

use axum::Json;
use axum::extract::State as From;
use axum::http::StatusCode;
use bytes::Bytes;
use pricedrop_model::dispatch::{DeadItem, DeadWhat};
use pricedrop_model::intake::{NewRecord, Posted};
use pricedrop_model::ports::Outcome;
use pricedrop_pipeline::dispatcher::{self, ReplayError};
use serde::{Deserialize, Serialize};

use crate::api::Api;
use crate::pages::{Asked, Named, page_entries};
use crate::problem::{Answer, Refusal};
use crate::state::State;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    after: Option<i64>,
    limit: Option<usize>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Page {
    dead_letters: Vec<DeadItem>,
    next: Option<i64>,
}

/// A page in order of number.
pub(crate) async fn list(From(state): From<State>, Asked(query): Asked<ListQuery>) -> Answer<Json<Page>> {
    let most = page_entries(&state, query.limit)?;
    let dead_letters = state.api.dead_letters.list(query.after, most).await?;
    let next = dead_letters.last().filter(|_| dead_letters.len() == most).map(|item| item.number);
    Ok(Json(Page { dead_letters, next }))
}

/// One item.
pub(crate) async fn show(From(state): From<State>, Named(number): Named<i64>) -> Answer<Json<DeadItem>> {
    find(&state, number).await.map(Json)
}

/// What became of a replay.
#[derive(Serialize)]
pub(crate) struct Replayed {
    replayed: i64,
    /// In words.
    outcome: String,
}

/// Puts an item back to where it came from, then takes it off the list. When
/// the engine dies between the two it is there still: an update posted again
/// tells nobody twice while no other price came in between, a delivery keeps its
/// key.
pub(crate) async fn replay(From(state): From<State>, Named(number): Named<i64>) -> Answer<Json<Replayed>> {
    let item = find(&state, number).await?;
    let outcome = match &item.what {
        DeadWhat::Delivery { retry, .. } => {
            replay_delivery(&state, &item).await?;
            format!("queued for {} on {}", retry.to.user_id, retry.to.channel)
        }
        DeadWhat::Notification { .. } => {
            let error = "it was no notification, and there is nothing to send".to_owned();
            return Err(Refusal::new(StatusCode::CONFLICT, error).remedy("let its producer write it again"));
        }
        DeadWhat::Update { truncated: Some(bytes), .. } => {
            let error = format!("the update had {bytes} bytes, and only its beginning was kept");
            return Err(Refusal::new(StatusCode::CONFLICT, error).remedy("send a shorter update"));
        }
        DeadWhat::Update { key, value, .. } => {
            let outcome = replay_update(&state, key.clone(), value.clone()).await?;
            state.api.dead_letters.remove(number).await?;
            outcome
        }
    };
    Ok(Json(Replayed { replayed: number, outcome }))
}

async fn find(state: &State, number: i64) -> Answer<DeadItem> {
    let missing = || Refusal::new(StatusCode::NOT_FOUND, format!("there is no dead letter {number}"));
    state.api.dead_letters.get(number).await?.ok_or_else(missing)
}

async fn replay_delivery(state: &State, item: &DeadItem) -> Answer<()> {
    let Api { leases, retries, dead_letters, clock, .. } = &state.api;
    let replayed = dispatcher::replay(item, &**leases, &**retries, &**dead_letters, clock.now()).await;
    replayed.map_err(|error| match error {
        ReplayError::Store(error) => error.into(),
        ReplayError::NotADelivery(_) => Refusal::new(StatusCode::CONFLICT, error.to_string()),
    })
}

async fn replay_update(state: &State, key: Option<String>, value: Option<String>) -> Answer<String> {
    let record = NewRecord { key: key.map(Bytes::from), value: value.map(Bytes::from) };
    let posted = state.api.intake.post(vec![record], None).await?;
    Ok(match posted.into_iter().next() {
        Some(Posted::Decided(_, Outcome::Dead(reason))) => {
            format!("it is still no update, and a new dead letter: {reason}")
        }
        Some(Posted::Decided(_, Outcome::Drop { told, .. })) => format!("a drop, {told} told"),
        Some(Posted::Decided(..)) => "taken, no drop".into(),
        Some(Posted::Queued(position)) => {
            format!("written at offset {} of partition {}", position.offset, position.partition.0)
        }
        Some(Posted::Already(_)) | None => "taken".into(),
    })
}

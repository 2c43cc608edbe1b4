//! `/v1/prices`: posts updates, forgets products, returns current prices.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use bytes::Bytes;
use pricedrop_model::intake::{NewRecord, Posted};
use pricedrop_model::ports::Outcome;
use pricedrop_model::{Currency, Floor, Price, ProductId, WallTime};
use serde::{Deserialize, Serialize};

use crate::body::{Body, Entries, LineError};
use crate::pages::{PathParams, QueryParams};
use crate::problem::{Problem, Result};
use crate::state::AppState;

/// Maximum number of errors that an answer lists. Every line with an error becomes a dead letter.
const MAX_LISTED_ERRORS: usize = 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PostQuery {
    offset: Option<i64>,
}

/// The answer to a post: its records by outcome.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Summary {
    records: u64,
    evaluated: u64,
    drops: u64,
    told: u64,
    deduplicated: u64,
    stale: u64,
    held: u64,
    skipped: u64,
    forgotten: u64,
    dead: u64,
    already: u64,
    /// Records that are durable in the input, to be decided by the owner of their partition.
    #[serde(skip_serializing_if = "is_zero")]
    queued: u64,
    /// The offset of the first record, if the input has only one partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    /// The offset after the last record, if the input has only one partition.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<LineError>,
}

/// Returns the offset of a record; `None` if the input may have several partitions.
fn offset(posted: &Posted) -> Option<i64> {
    match posted {
        Posted::Decided(position, _) | Posted::Already(position) => Some(position.offset),
        Posted::Queued(_) => None,
    }
}

impl Summary {
    fn of(posted: Vec<Posted>, lines: &[usize]) -> Summary {
        let mut summary = Summary {
            records: posted.len() as u64,
            offset: posted.first().map_or(Some(0), offset),
            next: posted.last().map_or(Some(0), |last| offset(last).map(|offset| offset + 1)),
            ..Summary::default()
        };
        for (posted, line) in posted.into_iter().zip(lines) {
            match posted {
                Posted::Decided(_, outcome) => summary.count(*line, outcome),
                Posted::Already(_) => summary.already += 1,
                Posted::Queued(_) => summary.queued += 1,
            }
        }
        summary
    }

    fn count(&mut self, line: usize, outcome: Outcome) {
        match outcome {
            Outcome::Dead(reason) => {
                self.dead += 1;
                if self.errors.len() < MAX_LISTED_ERRORS {
                    self.errors.push(LineError { line, reason });
                }
            }
            Outcome::Tombstone => self.forgotten += 1,
            Outcome::Stale => self.stale += 1,
            Outcome::Held => self.held += 1,
            Outcome::Skipped => self.skipped += 1,
            Outcome::NotLower => self.evaluated += 1,
            Outcome::Drop { told, told_before } => {
                self.evaluated += 1;
                self.drops += 1;
                self.told += told;
                self.deduplicated += u64::from(told_before);
            }
        }
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Posts updates. Answers when all of them are durable, and, if this engine decides them, decided
/// and committed.
pub(crate) async fn post(
    State(state): State<AppState>,
    QueryParams(query): QueryParams<PostQuery>,
    Body(body): Body,
) -> Result<Json<Summary>> {
    let Entries { entries, single } = Entries::of(&body, state.options.body_entries)?;
    let lines: Vec<usize> = entries.iter().map(|entry| entry.line).collect();
    let records = entries.into_iter().map(|entry| NewRecord { key: None, value: Some(entry.bytes) });
    let summary = submit(&state, records.collect(), &lines, query.offset).await?;
    match (single, summary.errors.first()) {
        (true, Some(error)) => Err(Problem::bad(error.reason.clone()).at("the body").remedy(
            "the record is stored as a dead letter (see `pricedrop dlq list`); correct it and send it again",
        )),
        _ => Ok(Json(summary)),
    }
}

/// Posts a tombstone: the engine forgets the prices of a product, but not its watches.
pub(crate) async fn forget(
    State(state): State<AppState>,
    PathParams(product): PathParams<String>,
    QueryParams(query): QueryParams<PostQuery>,
) -> Result<Json<Summary>> {
    let product = ProductId::new(&product).map_err(|error| Problem::bad(error.to_string()).at("the path"))?;
    let key = Some(Bytes::copy_from_slice(product.as_str().as_bytes()));
    submit(&state, vec![NewRecord { key, value: None }], &[1], query.offset).await.map(Json)
}

async fn submit(
    state: &AppState,
    records: Vec<NewRecord>,
    lines: &[usize],
    offset: Option<i64>,
) -> Result<Summary> {
    if offset.is_some_and(|offset| offset < 0) {
        return Err(Problem::bad("offset must be 0 or more").at("offset"));
    }
    let posted = state.api.intake.post(records, offset).await?;
    Ok(Summary::of(posted, lines))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CurrentQuery {
    currency: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CurrentPrice {
    product_id: ProductId,
    currency: Currency,
    price: Price,
    evaluated_at: WallTime,
    /// `{"drop": p}`: `crossing` and `once` watches at or above p have fired. `{"rise": q}`: those at
    /// or above q / (1 + hysteresis). `null`: none has.
    floor: Option<FloorView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum FloorView {
    Drop(Price),
    Rise(Price),
}

/// Returns the last evaluated price of a product in one currency, or 404.
pub(crate) async fn current(
    State(state): State<AppState>,
    PathParams(product): PathParams<String>,
    QueryParams(query): QueryParams<CurrentQuery>,
) -> Result<Json<CurrentPrice>> {
    let product_id =
        ProductId::new(&product).map_err(|error| Problem::bad(error.to_string()).at("the path"))?;
    let parsed = query.currency.as_deref().map(Currency::new).transpose();
    let currency = parsed
        .map_err(|error| Problem::bad(error.to_string()).at("currency"))?
        .unwrap_or(state.api.rules.currency);
    let Some((evaluated, floor)) = state.api.prices.of(&product_id, currency).await? else {
        let error = format!("no price of {product_id} in {currency} was evaluated yet");
        return Err(Problem::new(StatusCode::NOT_FOUND, error));
    };
    let floor = match floor {
        Floor::Infinite => None,
        Floor::Drop(price) => Some(FloorView::Drop(price)),
        Floor::Rise(price) => Some(FloorView::Rise(price)),
    };
    let price = evaluated.price;
    Ok(Json(CurrentPrice { product_id, currency, price, evaluated_at: evaluated.at, floor }))
}

//! `/livez`, `/readyz`, `/metrics`, `/v1/plugins` and `/v1/buckets`: the state of the engine.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use pricedrop_model::ProductId;
use pricedrop_model::engine::{Buckets, BucketsError, Migrated};
use pricedrop_model::health::{Reason, Severity};
use pricedrop_model::migration::Repaired;
use pricedrop_model::plugin::Status;
use serde::{Deserialize, Serialize};

use crate::metrics::Format;
use crate::pages::QueryParams;
use crate::problem::{Problem, Result};
use crate::state::AppState;

/// `/livez`: says only that the process answers.
pub(crate) async fn alive() -> &'static str {
    "alive\n"
}

#[derive(Serialize)]
pub(crate) struct Readiness {
    ready: bool,
    reasons: Vec<Reason>,
}

/// `/readyz`: lists the reasons for trouble. 503 if one of them is an error, else 200.
pub(crate) async fn ready(State(state): State<AppState>) -> impl IntoResponse {
    let reasons = state.api.engine.reasons().await;
    let ready = reasons.iter().all(|reason| reason.severity != Severity::Error);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, reasons }))
}

/// Returns the plugins that are loaded.
pub(crate) async fn plugins(State(state): State<AppState>) -> Json<Status> {
    Json(state.api.engine.plugins().await)
}

/// Returns the active bucketing policy and the staged one.
pub(crate) async fn buckets(State(state): State<AppState>) -> Result<Json<Buckets>> {
    Ok(Json(state.api.engine.buckets().await?))
}

/// Rebuilds the bucket indexes by the staged policy, and makes it active.
pub(crate) async fn migrate(State(state): State<AppState>) -> Result<Json<Migrated>> {
    buckets_result(state.api.engine.migrate_buckets().await)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RepairQuery {
    product: Option<String>,
}

/// Rebuilds the buckets of a product, or of all large products, from their watches.
pub(crate) async fn repair(
    State(state): State<AppState>,
    QueryParams(query): QueryParams<RepairQuery>,
) -> Result<Json<Repaired>> {
    let product = query.product.as_deref().map(ProductId::new).transpose();
    let product = product.map_err(|error| Problem::bad(error.to_string()).at("product"))?;
    buckets_result(state.api.engine.repair_buckets(product).await)
}

/// Converts the result of a migration or repair; a refused one is answered with 409.
fn buckets_result<T>(done: Result<T, BucketsError>) -> Result<Json<T>> {
    match done {
        Ok(done) => Ok(Json(done)),
        Err(BucketsError::Refused(why)) => Err(Problem::new(StatusCode::CONFLICT, why)),
        Err(BucketsError::Store(error)) => Err(error.into()),
    }
}

/// `/metrics`: in the format of OpenMetrics if the client accepts it, else in that of Prometheus.
pub(crate) async fn metrics(State(state): State<AppState>, headers: HeaderMap) -> impl IntoResponse {
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::of(accepted);
    ([(header::CONTENT_TYPE, format.content_type())], format.render(&state.api.metrics))
}

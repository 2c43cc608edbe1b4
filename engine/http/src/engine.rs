//! Health, plugins, buckets, metrics.

use axum::Json;
use axum::extract::State as From;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use serde::Serialize;
use serde_json::Value;

use crate::metrics;
use crate::problem::{Answer, Refusal};
use crate::seams::{MigrateError, Reason, Severity};
use crate::server::State;

/// The process answers; nothing more.
pub(crate) async fn alive() -> &'static str {
    "alive\n"
}

#[derive(Serialize)]
pub(crate) struct Readiness {
    ready: bool,
    reasons: Vec<Reason>,
}

/// 503 with the reasons when the engine does not do its work.
pub(crate) async fn ready(From(state): From<State>) -> impl IntoResponse {
    let reasons = state.api.engine.reasons().await;
    let ready = reasons.iter().all(|reason| reason.severity != Severity::Error);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, reasons }))
}

/// What the plugin host has loaded.
pub(crate) async fn plugins(From(state): From<State>) -> Json<Value> {
    Json(state.api.engine.plugins().await)
}

/// The active bucketing policy and the staged one.
pub(crate) async fn buckets(From(state): From<State>) -> Answer<Json<Value>> {
    Ok(Json(state.api.engine.buckets().await?))
}

/// Makes the staged policy active.
pub(crate) async fn migrate(From(state): From<State>) -> Answer<Json<Value>> {
    match state.api.engine.migrate_buckets().await {
        Ok(done) => Ok(Json(done)),
        Err(MigrateError::Refused(why)) => Err(Refusal::new(StatusCode::CONFLICT, why)),
        Err(MigrateError::Store(error)) => Err(error.into()),
    }
}

/// In the text format of OpenMetrics.
pub(crate) async fn metrics(From(state): From<State>) -> impl IntoResponse {
    let text = metrics::render(state.api.engine.measures().await);
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
}

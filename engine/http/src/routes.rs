//! The list of all routes.

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware;
use axum::routing::{delete, get, post};

use crate::problem::Problem;
use crate::state::AppState;
use crate::{dlq, engine, guard, notifications, prices, recipients, watches};

/// Builds the router. Every request passes the guard first.
pub(crate) fn router(state: AppState) -> Router {
    Router::new()
        .route("/v1/prices", post(prices::post))
        .route("/v1/prices/{product}", delete(prices::forget).get(prices::current))
        .route("/v1/watches", get(watches::list).put(watches::put).delete(watches::delete))
        .route("/v1/recipients", get(recipients::list).put(recipients::put).delete(recipients::delete))
        .route("/v1/notifications", get(notifications::list))
        .route("/v1/dlq", get(dlq::list))
        .route("/v1/dlq/{topic}/{partition}/{offset}", get(dlq::show))
        .route("/v1/dlq/{topic}/{partition}/{offset}/replay", post(dlq::replay))
        .route("/v1/plugins", get(engine::plugins))
        .route("/v1/buckets", get(engine::buckets))
        .route("/v1/buckets/repair", post(engine::repair))
        .route("/v1/buckets/migrate", post(engine::migrate))
        .route("/livez", get(engine::alive))
        .route("/readyz", get(engine::ready))
        .route("/metrics", get(engine::metrics))
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(middleware::from_fn_with_state(state.clone(), guard::guard))
        .with_state(state)
}

async fn unknown(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("unknown path {}", uri.path()))
        .remedy("docs/http.md lists all paths")
}

async fn not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{} does not support the method {method}", uri.path()),
    )
    .remedy("docs/http.md lists the methods of each path")
}

//! `/v1/notifications`: what was told, as JSON lines.

use axum::extract::State as From;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use serde::Deserialize;

use crate::pages::{Asked, page_entries};
use crate::problem::{Answer, Refusal};
use crate::server::State;

/// The offset to ask from next.
pub(crate) const NEXT_OFFSET: HeaderName = HeaderName::from_static("pricedrop-next-offset");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    from: Option<i64>,
    limit: Option<usize>,
}

/// A page of notifications from an offset on, one a line.
pub(crate) async fn list(
    From(state): From<State>,
    Asked(query): Asked<ListQuery>,
) -> Answer<impl IntoResponse> {
    let most = page_entries(&state, query.limit)?;
    let from = query.from.unwrap_or(0);
    if from < 0 {
        return Err(Refusal::bad("from must be 0 or more").at("from"));
    }
    let (lines, next) = state.api.outbox.read(from, most).await?;
    let headers =
        [(header::CONTENT_TYPE, "application/x-ndjson".to_owned()), (NEXT_OFFSET, next.to_string())];
    Ok((headers, lines))
}

//! `/v1/notifications`: lists committed notifications as JSON lines.

use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::IntoResponse;
use pricedrop_model::Partition;
use serde::Deserialize;

use crate::pages::{QueryParams, page_entries};
use crate::problem::{Problem, Result};
use crate::state::AppState;

/// The header with the offset of the next page.
pub(crate) const NEXT_OFFSET: HeaderName = HeaderName::from_static("pricedrop-next-offset");

/// The header with the number of partitions.
pub(crate) const PARTITIONS: HeaderName = HeaderName::from_static("pricedrop-partitions");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    partition: Option<i32>,
    from: Option<i64>,
    limit: Option<usize>,
}

/// Lists notifications of a partition from an offset on, one a line.
pub(crate) async fn list(
    State(state): State<AppState>,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<impl IntoResponse> {
    let most = page_entries(&state, query.limit)?;
    let from = query.from.unwrap_or(0);
    if from < 0 {
        return Err(Problem::bad("from must be 0 or more").at("from"));
    }
    let partitions = state.api.outbox.partitions().await?;
    let partition = Partition(query.partition.unwrap_or(0));
    if !usize::try_from(partition.0).is_ok_and(|number| number < partitions) {
        let error = format!("there are partitions 0 to {}", partitions.saturating_sub(1));
        return Err(Problem::bad(error).at("partition"));
    }
    let (lines, next) = state.api.outbox.read(partition, from, most).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson".to_owned()),
        (NEXT_OFFSET, next.to_string()),
        (PARTITIONS, partitions.to_string()),
    ];
    Ok((headers, lines))
}

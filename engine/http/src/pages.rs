//! Query and path parameters, and the paging of lists.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::{Problem, Result};
use crate::state::AppState;

/// Query parameters; invalid ones are answered with 400 and a [`ProblemBody`](crate::ProblemBody).
pub(crate) struct QueryParams<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<AppState> for QueryParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<QueryParams<T>, Problem> {
        let query: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        query.map(|Query(params)| QueryParams(params)).map_err(|error| {
            let text = error.body_text();
            Problem::bad(text.rsplit(": ").next().unwrap_or(&text)).at("the query")
        })
    }
}

/// Path parameters; invalid ones are answered with 400 and a [`ProblemBody`](crate::ProblemBody).
pub(crate) struct PathParams<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<AppState> for PathParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<PathParams<T>, Problem> {
        let path: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, state).await;
        path.map(|Path(params)| PathParams(params))
            .map_err(|error| Problem::bad(error.body_text()).at("the path"))
    }
}

/// Returns the size of a page: the requested one, at most `page_entries`.
pub(crate) fn page_entries(state: &AppState, requested: Option<usize>) -> Result<usize> {
    let most = state.options.page_entries;
    match requested {
        None => Ok(most),
        Some(0) => Err(Problem::bad("limit must be at least 1").at("limit")),
        Some(limit) => Ok(limit.min(most)),
    }
}

/// Parses the `after` parameter, which is the `next` of the previous page.
pub(crate) fn read_cursor<T: DeserializeOwned>(after: Option<&str>) -> Result<Option<T>> {
    let read = after.map(serde_json::from_str).transpose();
    read.map_err(|_| Problem::bad("after must be the `next` of the previous page").at("after"))
}

/// Returns the `next` of a page: the key of its last entry, or `None` if the page is not full, and
/// so the last one.
pub(crate) fn write_cursor<T, C: serde::Serialize>(
    page: &[T],
    most: usize,
    cursor: impl Fn(&T) -> C,
) -> Option<String> {
    let last = page.last().filter(|_| page.len() == most)?;
    Some(serde_json::to_string(&cursor(last)).expect("cursors are plain text and numbers"))
}

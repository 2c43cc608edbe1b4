//! Query and path parameters, and the paging of lists.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::{Answer, Refusal};
use crate::state::State;

/// Query parameters; invalid ones are answered with 400 and a [`Problem`](crate::Problem).
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<State> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Asked<T>, Refusal> {
        let query: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        query.map(|Query(asked)| Asked(asked)).map_err(|error| {
            let text = error.body_text();
            Refusal::bad(text.rsplit(": ").next().unwrap_or(&text)).at("the query")
        })
    }
}

/// Path parameters; invalid ones are answered with 400 and a [`Problem`](crate::Problem).
pub(crate) struct Named<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<State> for Named<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Named<T>, Refusal> {
        let path: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, state).await;
        path.map(|Path(named)| Named(named)).map_err(|error| Refusal::bad(error.body_text()).at("the path"))
    }
}

/// Returns the size of a page: the requested one, at most `page_entries`.
pub(crate) fn page_entries(state: &State, asked: Option<usize>) -> Answer<usize> {
    let most = state.options.page_entries;
    match asked {
        None => Ok(most),
        Some(0) => Err(Refusal::bad("limit must be at least 1").at("limit")),
        Some(limit) => Ok(limit.min(most)),
    }
}

/// Parses the `after` parameter, which is the `next` of the previous page.
pub(crate) fn read_cursor<T: DeserializeOwned>(after: Option<&str>) -> Answer<Option<T>> {
    let read = after.map(serde_json::from_str).transpose();
    read.map_err(|_| Refusal::bad("after must be the `next` of the page before").at("after"))
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

//! Queries, and the pages of lists.

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::{Answer, Refusal};
use crate::state::State;

/// A query whose mistakes are answered in words.
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

/// A part of the path whose mistakes are answered in words.
pub(crate) struct Named<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<State> for Named<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Named<T>, Refusal> {
        let path: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, state).await;
        path.map(|Path(named)| Named(named)).map_err(|error| Refusal::bad(error.body_text()).at("the path"))
    }
}

/// How many entries a page has: what was asked for, within the limit.
pub(crate) fn page_entries(state: &State, asked: Option<usize>) -> Answer<usize> {
    let most = state.options.page_entries;
    match asked {
        None => Ok(most),
        Some(0) => Err(Refusal::bad("limit must be at least 1").at("limit")),
        Some(limit) => Ok(limit.min(most)),
    }
}

/// A place in a list, as the page before gave it.
pub(crate) fn read_cursor<T: DeserializeOwned>(after: Option<&str>) -> Answer<Option<T>> {
    let read = after.map(serde_json::from_str).transpose();
    read.map_err(|_| Refusal::bad("after must be the `next` of the page before").at("after"))
}

/// The place behind a page that may not be the last.
pub(crate) fn write_cursor<T, C: serde::Serialize>(
    page: &[T],
    most: usize,
    cursor: impl Fn(&T) -> C,
) -> Option<String> {
    let last = page.last().filter(|_| page.len() == most)?;
    Some(serde_json::to_string(&cursor(last)).expect("cursors are plain text and numbers"))
}

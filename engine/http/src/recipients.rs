//! `/v1/recipients`: writes, lists and deletes addresses of users.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use pricedrop_model::UserId;
use pricedrop_model::dispatch::Recipient;
use serde::{Deserialize, Serialize};

use crate::body::{Body, Entries, LineError, read_recipient};
use crate::pages::{QueryParams, page_entries, read_cursor, write_cursor};
use crate::problem::{Problem, Result};
use crate::state::AppState;
use crate::watches::Deleted;

/// The answer to written recipients.
#[derive(Serialize)]
pub(crate) struct Written {
    written: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<LineError>,
}

/// Writes addresses. Of several, the valid ones are written and the others are listed as errors. A
/// single invalid one is answered with 400.
pub(crate) async fn put(State(state): State<AppState>, Body(body): Body) -> Result<Json<Written>> {
    let entries = Entries::of(&body, state.options.body_entries)?;
    let single = entries.single;
    let (recipients, mut errors) = entries.read_lines(read_recipient);
    let recipients = normalize(&state, recipients, &mut errors).await;
    if let (true, Some(error)) = (single, errors.first()) {
        return Err(Problem::bad(error.reason.clone()).at("the body"));
    }
    let written = recipients.len();
    if written > 0 {
        state.api.recipients.put(recipients).await?;
    }
    Ok(Json(Written { written, errors }))
}

/// Normalizes addresses with the plugins of their channels. Those that a plugin refuses are added
/// to `errors`.
async fn normalize(
    state: &AppState,
    recipients: Vec<(usize, Recipient)>,
    errors: &mut Vec<LineError>,
) -> Vec<Recipient> {
    let mut by_channel: BTreeMap<String, Vec<(usize, Recipient)>> = BTreeMap::new();
    for (line, recipient) in recipients {
        by_channel.entry(recipient.channel.clone()).or_default().push((line, recipient));
    }
    let mut good = Vec::new();
    for (channel, of_channel) in by_channel {
        let addresses = of_channel.iter().map(|(_, recipient)| recipient.address.clone()).collect();
        let answers = state.api.engine.normalize(&channel, addresses).await;
        for ((line, recipient), answer) in of_channel.into_iter().zip(answers) {
            match answer {
                Ok(address) => good.push(Recipient { address, ..recipient }),
                Err(reason) => {
                    errors.push(LineError { line, reason: format!("address of {channel}: {reason}") });
                }
            }
        }
    }
    errors.sort_by_key(|error| error.line);
    good
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    user: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
pub(crate) struct Page {
    recipients: Vec<Recipient>,
    next: Option<String>,
}

/// Lists all addresses of one user, or a page of all users' addresses.
pub(crate) async fn list(
    State(state): State<AppState>,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<Json<Page>> {
    if let Some(user) = &query.user {
        let user = UserId::new(user).map_err(|error| Problem::bad(error.to_string()).at("user"))?;
        let recipients = state.api.recipients.of(&[user]).await?.into_iter().flatten().collect();
        return Ok(Json(Page { recipients, next: None }));
    }
    let most = page_entries(&state, query.limit)?;
    let after = read_cursor(query.after.as_deref())?.map(cursor_entry);
    let recipients = state.api.recipients.list(after.as_ref(), most).await?;
    let next = write_cursor(&recipients, most, |last| {
        (last.user_id.clone(), last.channel.clone(), last.address.clone())
    });
    Ok(Json(Page { recipients, next }))
}

/// A recipient with only the key of a cursor; the other fields are not used.
fn cursor_entry((user_id, channel, address): (UserId, String, String)) -> Recipient {
    Recipient { user_id, channel, address, locale: None, attributes: Vec::new() }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteQuery {
    user: String,
    channel: String,
    address: String,
}

/// Deletes one address, as given or in its normalized form.
pub(crate) async fn delete(
    State(state): State<AppState>,
    QueryParams(query): QueryParams<DeleteQuery>,
) -> Result<Json<Deleted>> {
    let user = UserId::new(&query.user).map_err(|error| Problem::bad(error.to_string()).at("user"))?;
    let recipients = &state.api.recipients;
    let mut deleted = recipients.delete(&user, &query.channel, &query.address).await?;
    if !deleted {
        // The address is normally stored in its normalized form.
        let canonical = state.api.engine.normalize(&query.channel, vec![query.address]).await;
        if let Some(Ok(address)) = canonical.into_iter().next() {
            deleted = recipients.delete(&user, &query.channel, &address).await?;
        }
    }
    Ok(Json(Deleted { deleted, effective_by: None }))
}

//! `/v1/watches`: writes, lists and deletes watches.

use axum::Json;
use axum::extract::State;
use pricedrop_model::{Mode, Price, ProductId, UserId, WallTime, Watch};
use serde::{Deserialize, Serialize};

use crate::body::{Body, Entries, LineError, read_watch};
use crate::pages::{QueryParams, page_entries, read_cursor, write_cursor};
use crate::problem::{Problem, Result};
use crate::state::AppState;

/// The answer to written watches.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Written {
    written: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    updated_at: Option<WallTime>,
    /// From this time on every drop sees the watches. Present if the cache could not be invalidated.
    #[serde(skip_serializing_if = "Option::is_none")]
    effective_by: Option<WallTime>,
    #[serde(flatten)]
    initial_state: Option<InitialState>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<LineError>,
}

/// The initial state of a single watch: whether it is armed at the current price.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InitialState {
    armed: bool,
    current_price: Option<Price>,
    /// Whether the current price is at or below the threshold. No notification is sent for it, only
    /// for a later drop.
    reached: bool,
    /// The watch is armed again above this price. An exact JSON number.
    #[serde(skip_serializing_if = "Option::is_none")]
    rearms_above: Option<Box<serde_json::value::RawValue>>,
}

/// Writes watches. Of several, the valid ones are written and the others are listed as errors. A
/// single invalid one is answered with 400.
pub(crate) async fn put(State(state): State<AppState>, Body(body): Body) -> Result<Json<Written>> {
    let entries = Entries::of(&body, state.options.body_entries)?;
    let single = entries.single;
    let (watches, errors) = entries.read(read_watch);
    if let (true, Some(error)) = (single, errors.first()) {
        return Err(Problem::bad(error.reason.clone()).at("the body"));
    }
    let written = watches.len();
    let one = watches.first().filter(|_| single).cloned();
    let stored = match written {
        0 => None,
        _ => Some(state.api.watches.put(watches).await?),
    };
    let initial_state = match one {
        Some(watch) => Some(initial_state(&state, &watch).await?),
        None => None,
    };
    Ok(Json(Written {
        written,
        updated_at: stored.map(|stored| stored.updated_at),
        effective_by: stored.and_then(|stored| stored.effective_by),
        initial_state,
        errors,
    }))
}

/// Returns the initial state of a new watch: that of every watch with its threshold.
async fn initial_state(state: &AppState, watch: &Watch) -> Result<InitialState> {
    let rules = &state.api.rules;
    let currency = watch.currency.unwrap_or(rules.currency);
    let current = state.api.prices.of(&watch.product_id, currency).await?;
    let crossing = watch.mode.unwrap_or(rules.mode) != Mode::EveryDrop;
    let floor = current.filter(|_| crossing).map(|(_, floor)| floor);
    let above = floor.and_then(|floor| floor.rearms_above(watch.price_watch_value, rules.hysteresis));
    let number = above.map(|price| serde_json::value::RawValue::from_string(price.to_string()));
    let current_price = current.map(|(evaluated, _)| evaluated.price);
    Ok(InitialState {
        armed: above.is_none(),
        current_price,
        reached: current_price.is_some_and(|price| price <= watch.price_watch_value),
        rearms_above: number.transpose().expect("a decimal is a JSON number"),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListQuery {
    product: Option<String>,
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
pub(crate) struct Page {
    watches: Vec<Watch>,
    next: Option<String>,
}

/// Lists a page of watches, in order of product, threshold, user.
pub(crate) async fn list(
    State(state): State<AppState>,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<Json<Page>> {
    let most = page_entries(&state, query.limit)?;
    let product = query.product.as_deref().map(ProductId::new).transpose();
    let product = product.map_err(|error| Problem::bad(error.to_string()).at("product"))?;
    let after = read_cursor(query.after.as_deref())?.map(cursor_entry);
    let watches = state.api.watches.list(product.as_ref(), after.as_ref(), most).await?;
    let next = write_cursor(&watches, most, |last| {
        (last.product_id.clone(), last.price_watch_value, last.user_id.clone())
    });
    Ok(Json(Page { watches, next }))
}

/// A watch with only the key of a cursor; the other fields are not used.
fn cursor_entry((product_id, price_watch_value, user_id): (ProductId, Price, UserId)) -> Watch {
    Watch { product_id, price_watch_value, user_id, mode: None, currency: None, updated_at: None }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteQuery {
    product: String,
    user: String,
    price: String,
}

/// The answer to a deletion: whether there was an entry.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Deleted {
    pub(crate) deleted: bool,
    /// From this time on every drop sees the deletion. Present if the cache could not be invalidated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) effective_by: Option<WallTime>,
}

/// Deletes one watch by product, threshold and user.
pub(crate) async fn delete(
    State(state): State<AppState>,
    QueryParams(query): QueryParams<DeleteQuery>,
) -> Result<Json<Deleted>> {
    let product =
        ProductId::new(&query.product).map_err(|error| Problem::bad(error.to_string()).at("product"))?;
    let user = UserId::new(&query.user).map_err(|error| Problem::bad(error.to_string()).at("user"))?;
    let price = Price::parse(&query.price).map_err(|error| Problem::bad(error.to_string()).at("price"))?;
    let deleted = state.api.watches.delete(&product, price, &user).await?;
    Ok(Json(Deleted { deleted: deleted.existed, effective_by: deleted.effective_by }))
}

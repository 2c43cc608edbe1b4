//! Lists in the order of names, over partitions that Cassandra keeps in the
//! order of their hashes.
//!
//! All partition keys are read once, and the smallest ones behind the list's
//! place are kept, in order. A list that goes on where the last page ended takes
//! its next keys from there, so that reading all keys again is needed every
//! `LIST_KEYS` keys only. Memory is bounded by that; names created meanwhile are
//! found by the next list.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use pricedrop_model::ports::Error;
use pricedrop_model::sync::lock;
use pricedrop_model::{Cursor, ProductId, Watch, WatchPage};
use scylla::response::{PagingState, PagingStateResponse};

use super::error::misfit;
use super::limits::LIST_KEYS;
use super::part::Partition;
use super::requests::Values;
use super::rows::Bounds;
use super::shared::Shared;
use super::source::Query;
use super::statements::Prepared;

/// Keys in order, from behind `behind` on.
#[derive(Debug, Default)]
struct Window {
    /// The key the last page ended in; keys before it are gone.
    behind: String,
    keys: VecDeque<String>,
    /// Whether there are no keys behind these.
    whole: bool,
}

/// What is remembered between two pages of a list.
#[derive(Debug, Default)]
pub(super) struct Listing(Mutex<Window>);

impl Listing {
    /// Takes the keys behind `after`, or reads them.
    async fn keys(&self, shared: &Shared, prepared: &Prepared, after: Option<&str>) -> Result<Window, Error> {
        let window = std::mem::take(&mut *lock(&self.0));
        match after {
            Some(after) if window.behind == after && (window.whole || !window.keys.is_empty()) => Ok(window),
            _ => read_keys(shared, prepared, after).await,
        }
    }

    /// The next key behind `after`, in order.
    pub(super) async fn next_key(
        &self,
        shared: &Shared,
        prepared: &Prepared,
        after: Option<&str>,
    ) -> Result<Option<String>, Error> {
        let mut window = self.keys(shared, prepared, after).await?;
        let next = window.keys.pop_front();
        if let Some(next) = &next {
            window.behind.clone_from(next);
        }
        *lock(&self.0) = window;
        Ok(next)
    }

    /// A page of all watches behind `after`.
    pub(super) async fn page(
        &self,
        shared: &Arc<Shared>,
        after: Option<&Watch>,
        most: usize,
    ) -> Result<Vec<Watch>, Error> {
        let mut page = match after {
            Some(last) => list_product(shared, &last.product_id, after, most).await?,
            None => Vec::new(),
        };
        let mut behind = after.map(|after| after.product_id.to_string());
        while page.len() < most {
            let products = &shared.statements.alerts.products;
            let Some(key) = self.next_key(shared, products, behind.as_deref()).await? else { break };
            if let Ok(product) = ProductId::new(&key) {
                page.extend(list_product(shared, &product, None, most - page.len()).await?);
            }
            behind = Some(key);
        }
        Ok(page)
    }
}

/// Reads all keys of a table and keeps the smallest behind `after`.
async fn read_keys(shared: &Shared, prepared: &Prepared, after: Option<&str>) -> Result<Window, Error> {
    let mut smallest = BTreeSet::new();
    let (mut state, mut whole) = (PagingState::start(), true);
    loop {
        let (rows, next) = shared.requests.page(prepared, &Values::new(), state).await?;
        let table = shared.requests.name(prepared.table);
        for row in rows.rows::<(&str,)>().map_err(misfit(table))? {
            let (key,) = row.map_err(misfit(table))?;
            if after.is_none_or(|after| key > after) {
                smallest.insert(key.to_owned());
            }
            if smallest.len() > LIST_KEYS {
                smallest.pop_last();
                whole = false;
            }
        }
        match next {
            PagingStateResponse::HasMorePages { state: next } => state = next,
            PagingStateResponse::NoMorePages => break,
        }
    }
    Ok(Window { behind: after.unwrap_or_default().to_owned(), keys: smallest.into_iter().collect(), whole })
}

/// A page of one product's watches behind `after`.
pub(super) async fn list_product(
    shared: &Arc<Shared>,
    product: &ProductId,
    after: Option<&Watch>,
    most: usize,
) -> Result<Vec<Watch>, Error> {
    let after = after.map(|after| Cursor {
        bucket: None,
        threshold: after.price_watch_value,
        user: after.user_id.clone(),
    });
    let mut query = Query::new(shared, Partition::Product(product.clone()), Bounds::ALL, after.as_ref())?;
    let (mut watches, mut page, mut more) = (Vec::new(), WatchPage::default(), true);
    while more && watches.len() < most {
        page.clear();
        more = query.next(&mut page).await?;
        for row in page.iter().take(most - watches.len()) {
            watches.push(super::rows::watch(product, &row)?);
        }
    }
    Ok(watches)
}

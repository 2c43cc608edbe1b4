//! Lists keys in order of name, although Cassandra keeps partitions in order of their hashes.
//!
//! All partition keys are read once, and the smallest ones after the list's position are kept, in
//! order. The next page of the same list takes its keys from there, so all keys are read again
//! only once per `LIST_KEYS` keys, and memory is bounded. Keys created meanwhile are found when
//! the keys are read again.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

use pricedrop_model::ports::Error;
use pricedrop_model::sync::lock;
use pricedrop_model::{Cursor, ProductId, Watch, WatchPage};
use scylla::response::{PagingState, PagingStateResponse};

use super::error::misfit;
use super::limits::LIST_KEYS;
use super::page_stream::Query;
use super::part::Partition;
use super::requests::Values;
use super::rows::Bounds;
use super::shared::Shared;
use super::statements::Prepared;

/// Keys in order, all of them after `behind`.
#[derive(Debug, Default)]
struct Window {
    /// The last key that was taken; it and all keys before it are no longer in `keys`.
    behind: String,
    keys: VecDeque<String>,
    /// Whether there are no keys after these.
    whole: bool,
}

/// The keys that are kept in memory between two pages of a list.
#[derive(Debug, Default)]
pub(super) struct Listing(Mutex<Window>);

impl Listing {
    /// Takes the remembered keys after `after`, or reads them.
    async fn keys(&self, shared: &Shared, prepared: &Prepared, after: Option<&str>) -> Result<Window, Error> {
        let window = std::mem::take(&mut *lock(&self.0));
        match after {
            Some(after) if window.behind == after && (window.whole || !window.keys.is_empty()) => Ok(window),
            _ => read_keys(shared, prepared, after).await,
        }
    }

    /// Returns the next key after `after`, in order.
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

    /// Returns a page of all watches after `after`, at most `most`.
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

/// Reads all keys of a table and keeps the smallest ones after `after`.
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

/// Returns a page of one product's watches after `after`, at most `most`.
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

//! An in-memory cache of watches: the simplest one that passes the conformance suite. An entry is
//! stored, is being filled, or is being written by a number of writers.

use std::collections::HashMap;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;
use pricedrop_model::cache::{Cached, Shelf, ShelfCache};
use pricedrop_model::sync::lock;

/// A cache of watches in memory.
#[derive(Default)]
pub struct MemoryShelves(Mutex<State>);

#[derive(Default)]
struct State {
    shelves: HashMap<Shelf, Place>,
    last_token: u64,
}

#[derive(Default)]
struct Place {
    stored: Option<Bytes>,
    filler: Option<u64>,
    writers: usize,
}

impl MemoryShelves {
    fn with<T>(&self, with: impl FnOnce(&mut State) -> T) -> T {
        with(&mut lock(&self.0))
    }

    fn empty(&self, shelves: &[Shelf], writers: impl Fn(usize) -> usize) {
        self.with(|state| {
            for shelf in shelves {
                let place = state.shelves.entry(shelf.clone()).or_default();
                *place = Place { writers: writers(place.writers), ..Place::default() };
            }
        });
    }
}

impl State {
    fn get(&mut self, shelf: &Shelf) -> Cached {
        let place = self.shelves.entry(shelf.clone()).or_default();
        match (&place.stored, place.filler, place.writers) {
            (Some(bytes), ..) => Cached::Hit(bytes.clone()),
            (None, None, 0) => {
                self.last_token += 1;
                place.filler = Some(self.last_token);
                Cached::Fill(self.last_token)
            }
            _ => Cached::Pass,
        }
    }
}

#[async_trait]
impl ShelfCache for MemoryShelves {
    async fn get(&self, shelves: &[Shelf]) -> Vec<Cached> {
        self.with(|state| shelves.iter().map(|shelf| state.get(shelf)).collect())
    }

    async fn fill(&self, shelf: &Shelf, token: u64, bytes: Bytes) {
        self.with(|state| {
            let place = state.shelves.get_mut(shelf).filter(|place| place.filler == Some(token));
            if let Some(place) = place {
                (place.stored, place.filler) = (Some(bytes), None);
            }
        });
    }

    async fn mark(&self, shelves: &[Shelf]) -> Option<u64> {
        self.empty(shelves, |writers| writers + 1);
        None
    }

    async fn drop(&self, shelves: &[Shelf]) -> Option<u64> {
        self.empty(shelves, |writers| writers.saturating_sub(1));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::MemoryShelves;

    async fn open() -> (MemoryShelves, ()) {
        (MemoryShelves::default(), ())
    }

    crate::conform!(open, cache);
}

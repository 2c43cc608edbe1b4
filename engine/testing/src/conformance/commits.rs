//! The conformance suite for implementations of the `Committer` port.

use pricedrop_model::ports::{Commit, Committer};
use pricedrop_model::{
    Currency, EventTime, FanOutBlock, Partition, Pending, Position, Price, Priced, ProductId, ProductState,
    StateKey, WallTime, fan_out::ToldList,
};

/// Returns a price whose update is at this offset.
pub fn priced(price: &str, offset: i64) -> Priced {
    Priced {
        price: Price::parse(price).expect("a price"),
        position: Position { partition: Partition(0), offset },
        original: None,
        event_time: EventTime(1_700_000_000_000 + offset),
        occurred_at: Some(EventTime(1_700_000_000_000 + offset)),
        title: Some("A \"title\"".into()),
        url: None,
    }
}

/// Returns a block that notifies these users of a price.
pub fn block(product: &str, price: &str, offset: i64, users: &[String]) -> FanOutBlock {
    let mut told = ToldList::default();
    for user in users {
        told.push(user, Price::parse("80").expect("a price"));
    }
    FanOutBlock {
        product: ProductId::new(product).expect("a short name"),
        currency: Currency::USD,
        priced: priced(price, offset),
        previous: None,
        told,
    }
}

fn key(product: &str, currency: &str) -> StateKey {
    StateKey {
        partition: Partition(0),
        product: ProductId::new(product).expect("a short name"),
        currency: Currency::new(currency).expect("a currency"),
    }
}

fn state(sequence: i64, held: bool) -> ProductState {
    let held = held.then(|| Pending {
        first: Price::ZERO,
        last: priced("9", 1),
        lowest: priced("8", 1),
        count: 2,
        since: WallTime(1),
        due: WallTime(2),
        released: false,
    });
    ProductState { sequence: Some(sequence), pending: held, ..ProductState::default() }
}

fn commit(states: Vec<(StateKey, ProductState)>, next: i64) -> Commit {
    Commit { states, offsets: vec![(Partition(0), next)], ..Commit::default() }
}

/// A fresh store starts every partition at offset 0.
pub async fn nothing_committed_restores_nothing<C: Committer>(mut committer: C) {
    let restored = committer.restore().await.expect("restored");
    assert!(restored.offsets.iter().all(|(_, next)| *next == 0));
    assert!(restored.unfinished.is_empty());
}

/// Offsets and states are those of the last commit.
pub async fn committed_offsets_and_states_come_back<C: Committer>(mut committer: C) {
    committer.restore().await.expect("restored");
    for next in 1..=3 {
        let states = vec![(key("P", "USD"), state(next, false))];
        committer.commit(commit(states, next)).await.expect("committed");
    }
    assert_eq!(committer.restore().await.expect("restored").offsets, [(Partition(0), 3)]);
    let products = [(Partition(0), key("P", "USD").product), (Partition(0), key("Q", "USD").product)];
    let loaded = committer.load(&products).await.expect("loaded");
    assert_eq!(loaded, [(key("P", "USD"), state(3, false))]);
}

/// A restore returns states with held updates, and no others.
pub async fn only_unfinished_states_are_restored<C: Committer>(mut committer: C) {
    committer.restore().await.expect("restored");
    let states = vec![
        (key("done", "USD"), state(1, false)),
        (key("held", "USD"), state(2, true)),
        (key("was held", "USD"), state(3, true)),
    ];
    committer.commit(commit(states, 1)).await.expect("committed");
    committer.commit(commit(vec![(key("was held", "USD"), state(4, false))], 2)).await.expect("committed");
    let restored = committer.restore().await.expect("restored");
    assert_eq!(restored.unfinished, [(key("held", "USD"), state(2, true))]);
    committer.commit(commit(vec![(key("held", "USD"), state(5, false))], 3)).await.expect("committed");
    assert!(committer.restore().await.expect("restored").unfinished.is_empty());
}

/// An empty state is loaded as none, or as an empty one.
pub async fn a_forgotten_state_is_gone<C: Committer>(mut committer: C) {
    committer.restore().await.expect("restored");
    committer.commit(commit(vec![(key("P", "USD"), state(1, true))], 1)).await.expect("committed");
    let forgotten = vec![(key("P", "USD"), ProductState::default())];
    committer.commit(commit(forgotten, 2)).await.expect("committed");
    let loaded = committer.load(&[(Partition(0), key("P", "USD").product)]).await.expect("loaded");
    assert!(loaded.iter().all(|(_, state)| *state == ProductState::default()));
    assert!(committer.restore().await.expect("restored").unfinished.is_empty());
}

/// Products with similar names are not loaded.
pub async fn every_currency_of_a_product_is_loaded<C: Committer>(mut committer: C) {
    committer.restore().await.expect("restored");
    let keys = [key("P", "EUR"), key("P", "USD"), key("P1", "USD"), key("P\u{0}", "USD")];
    let states = keys.iter().map(|key| (key.clone(), state(1, false))).collect();
    committer.commit(commit(states, 1)).await.expect("committed");
    let mut loaded = committer.load(&[(Partition(0), keys[0].product.clone())]).await.expect("loaded");
    loaded.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(loaded.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), keys[..2]);
}

//! Current prices: the highest offset wins, in whatever order prices are written. An unavailable
//! server is reported, and used again when it returns.
#![allow(clippy::unwrap_used)]

mod rig;

use std::sync::Arc;
use std::time::{Duration, Instant};

use pricedrop_cassandra::CassandraPrices;
use pricedrop_cassandra::{Cassandra, Options, Table, schema};
use pricedrop_harness::servers::Own;
use pricedrop_model::cache::NoCache;
use pricedrop_model::dispatch::CurrentPrices;
use pricedrop_model::ports::{Error, PriceRow, PriceSink, WatchStore, WatchWriter};
use pricedrop_model::{Currency, Evaluated, Floor, Partition, Price, ProductId, StateKey, WallTime};
use pricedrop_testing::conformance::watches::watch;
use rig::open;

async fn fresh() -> (CassandraPrices, Cassandra) {
    let cassandra = open(&[Table::Alerts, Table::Prices]).await;
    (cassandra.prices(), cassandra)
}

pricedrop_testing::conform!(fresh, prices);

fn row(offset: i64, price: Option<&str>, floor: Floor) -> PriceRow {
    let product = ProductId::new("P").unwrap();
    let last =
        price.map(|price| Evaluated { price: Price::parse(price).unwrap(), at: WallTime(offset * 10) });
    let key = StateKey { partition: Partition(3), product, currency: Currency::USD };
    PriceRow { key, next_offset: offset, revision: 0, last, floor }
}

async fn shown(cassandra: &Cassandra) -> Option<(Evaluated, Floor)> {
    cassandra.prices().of(&ProductId::new("P").unwrap(), Currency::USD).await.unwrap()
}

async fn until(cassandra: &Cassandra, price: Option<&str>) -> Option<(Evaluated, Floor)> {
    let began = Instant::now();
    loop {
        let now = shown(cassandra).await;
        if now.map(|(last, _)| last.price) == price.map(|price| Price::parse(price).unwrap()) {
            return now;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "{price:?} awaited, {now:?} shown");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_older_price_never_wins() {
    let cassandra = open(&[Table::Alerts, Table::Prices]).await;
    assert_eq!(shown(&cassandra).await, None);
    let prices = cassandra.prices();
    let floor = Floor::Rise(Price::parse("12").unwrap());
    prices.show(vec![row(20, Some("9.99"), floor)]);
    let seen = until(&cassandra, Some("9.99")).await;
    assert_eq!(seen, Some((Evaluated { price: Price::parse("9.99").unwrap(), at: WallTime(200) }, floor)));
    prices.show(vec![row(19, Some("5"), Floor::Infinite)]);
    prices.show(vec![
        row(21, Some("8"), Floor::Drop(Price::parse("8").unwrap())),
        row(18, None, Floor::Infinite),
    ]);
    until(&cassandra, Some("8")).await;
    prices.show(vec![row(20, None, Floor::Infinite)]);
    prices.show(vec![row(22, Some("7.5"), Floor::Infinite)]);
    assert_eq!(until(&cassandra, Some("7.5")).await.unwrap().1, Floor::Infinite);
    // A price that a timer released has no record of its own: same offset, next revision.
    prices.show(vec![PriceRow { revision: 1, ..row(22, Some("7"), Floor::Infinite) }]);
    until(&cassandra, Some("7")).await;
    prices.show(vec![row(30, None, Floor::Infinite)]);
    until(&cassandra, None).await;
}

#[tokio::test]
async fn a_server_that_stops_is_reported_at_once_and_reconnected() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Own::cassandra(folder.path()).unwrap();
    let mut options = Options::new(vec![server.address().to_owned()], "away");
    (options.request_ms, options.connect_ms) = (10_000, 30_000);
    assert!(schema::apply(&options).await.unwrap()[0].contains("keyspace away"));
    let cassandra = options.connect(Arc::new(NoCache)).await.unwrap();
    let watches = cassandra.watches();
    watches.put(vec![watch("P", "10", "u")]).await.unwrap();
    server.kill().unwrap();
    let began = Instant::now();
    let put = watches.put(vec![watch("P", "11", "u")]).await.map(|_| ());
    for outcome in [watches.view().await.map(|_| ()), put] {
        assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    cassandra.prices().show(vec![row(5, Some("3"), Floor::Infinite)]);
    server.restart().unwrap();
    let began = Instant::now();
    while watches.view().await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(60), "it was not found again");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    until(&cassandra, Some("3")).await;
    assert!(!watches.list(None, None, 10).await.unwrap().is_empty());
}

//! The conformance suite for stores of current prices: a price that is written can be read soon afterwards.

use std::time::{Duration, Instant};

use pricedrop_model::dispatch::CurrentPrices;
use pricedrop_model::ports::{PriceRow, PriceSink};
use pricedrop_model::{Currency, Evaluated, Floor, Partition, Price, ProductId, StateKey, WallTime};

const PATIENCE: Duration = Duration::from_secs(30);

fn product() -> ProductId {
    ProductId::new("P").expect("a short name")
}

/// Returns a row of partition 0 with this next offset. No price: a tombstone removed it.
pub fn row(offset: i64, price: Option<&str>, currency: Currency, floor: Floor) -> PriceRow {
    let last =
        price.map(|price| Evaluated { price: Price::parse(price).expect("a price"), at: WallTime(offset) });
    let key = StateKey { partition: Partition(0), product: product(), currency };
    PriceRow { key, next_offset: offset, revision: 0, last, floor }
}

async fn until<P: CurrentPrices>(prices: &P, currency: Currency, wanted: Option<&str>) -> Option<Floor> {
    let wanted = wanted.map(|price| Price::parse(price).expect("a price"));
    let began = Instant::now();
    loop {
        let now = prices.of(&product(), currency).await.expect("an answer");
        if now.map(|(last, _)| last.price) == wanted {
            return now.map(|(_, floor)| floor);
        }
        assert!(began.elapsed() < PATIENCE, "{wanted:?} awaited, {now:?} shown");
        tokio::task::yield_now().await;
    }
}

/// The last row wins, with its own floor.
pub async fn the_last_price_is_shown_in_the_end<P: PriceSink + CurrentPrices>(prices: P) {
    assert_eq!(until(&prices, Currency::USD, None).await, None);
    let floor = |price| Floor::Rise(Price::parse(price).expect("a price"));
    prices.show(vec![row(1, Some("9"), Currency::USD, floor("10"))]);
    assert_eq!(until(&prices, Currency::USD, Some("9")).await, Some(floor("10")));
    for offset in 2..20 {
        prices.show(vec![row(offset, Some(&offset.to_string()), Currency::USD, Floor::Infinite)]);
    }
    assert_eq!(until(&prices, Currency::USD, Some("19")).await, Some(Floor::Infinite));
}

/// After a tombstone in one currency, the price in the other currency stays.
pub async fn a_price_is_of_its_currency_until_it_is_forgotten<P: PriceSink + CurrentPrices>(prices: P) {
    let euro = Currency::new("EUR").expect("a currency");
    prices.show(vec![
        row(1, Some("9"), Currency::USD, Floor::Infinite),
        row(1, Some("8"), euro, Floor::Infinite),
    ]);
    until(&prices, Currency::USD, Some("9")).await;
    until(&prices, euro, Some("8")).await;
    prices.show(vec![row(2, None, euro, Floor::Infinite)]);
    until(&prices, euro, None).await;
    until(&prices, Currency::USD, Some("9")).await;
}

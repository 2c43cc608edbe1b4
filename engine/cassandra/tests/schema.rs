//! Missing tables are created; tables of another shape are reported and not changed; a table of
//! watches needs only three columns to be read.
#![allow(clippy::unwrap_used)]

mod rig;

use std::sync::Arc;
use std::time::{Duration, Instant};

use pricedrop_cassandra::schema::{self, FindingKind};
use pricedrop_cassandra::{Error, Options, Table};
use pricedrop_model::cache::NoCache;
use pricedrop_model::ports::{self, WatchStore, WatchWriter};
use pricedrop_model::{Mode, Price, ProductId, Removal, UserId, Watch, WriteTime};
use pricedrop_testing::conformance::watches::{from_price, rows, watch};
use rig::{fresh_options, options, session};

fn name(options: &Options, table: Table) -> String {
    format!("{}.{}", options.keyspace, options.tables.name(table))
}

#[tokio::test]
async fn applying_the_schema_twice_creates_everything_once() {
    let options = fresh_options().await;
    let missing = schema::check(&options).await.unwrap();
    assert_eq!(missing.len(), 6);
    assert!(missing.iter().all(|finding| finding.weight == FindingKind::Missing));
    assert_eq!(schema::apply(&options).await.unwrap().len(), 6);
    assert_eq!(schema::check(&options).await.unwrap(), []);
    assert_eq!(schema::apply(&options).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_table_with_other_columns_is_refused_and_not_altered() {
    let options = fresh_options().await;
    let alerts = name(&options, Table::Alerts);
    let cql = format!(
        "CREATE TABLE {alerts} (product_id text, price_watch_value double, user_id text, owner int, \
         PRIMARY KEY ((product_id, owner), user_id))"
    );
    session().await.query_unpaged(cql, ()).await.unwrap();
    let refused = schema::apply(&options).await.unwrap_err().to_string();
    for words in ["price_watch_value is double, not decimal", "its key has a column owner", "not touched"] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    let findings = schema::check(&options).await.unwrap();
    assert_eq!(findings.iter().filter(|it| it.weight == FindingKind::Missing).count(), 5, "nothing was made");
    let connected = options.connect(Arc::new(NoCache)).await;
    assert!(matches!(connected.err().unwrap(), Error::Schema(_)));
}

#[tokio::test]
async fn a_missing_table_of_watches_names_the_remedy() {
    let options = fresh_options().await;
    let refused = options.connect(Arc::new(NoCache)).await.err().unwrap().to_string();
    assert!(refused.contains("pricedrop schema apply"), "{refused}");
}

#[tokio::test]
async fn a_row_of_three_columns_is_read() {
    let options = fresh_options().await;
    let (alerts, session) = (name(&options, Table::Alerts), session().await);
    let cql = format!(
        "CREATE TABLE {alerts} (product_id text, price_watch_value decimal, user_id text, \
         PRIMARY KEY ((product_id), price_watch_value, user_id))"
    );
    session.query_unpaged(cql, ()).await.unwrap();
    let insert =
        format!("INSERT INTO {alerts} (product_id, price_watch_value, user_id) VALUES ('P', 79.90, 'u')");
    session.query_unpaged(insert, ()).await.unwrap();
    assert_eq!(
        schema::check(&options).await.unwrap().iter().filter(|it| it.weight == FindingKind::Advice).count(),
        3
    );
    let cassandra = options.connect(Arc::new(NoCache)).await.unwrap();
    let watches = cassandra.watches();
    let product = ProductId::new("P").unwrap();
    let mut view = watches.view().await.unwrap();
    let seen = rows(&mut *view, from_price(&product, "79.9"), 10).await;
    assert_eq!(seen, [(Price::parse("79.9").unwrap(), "u".to_owned(), None, None, WriteTime(0))]);
    watches.put(vec![watch("P", "80", "v")]).await.unwrap();
    assert_eq!(watches.list(Some(&product), None, 10).await.unwrap().len(), 2);
    let once = Watch { mode: Some(Mode::Once), ..watch("P", "81", "w") };
    let refused = watches.put(vec![once]).await.unwrap_err();
    assert!(
        matches!(&refused, ports::Error::Fatal(words) if words.as_str().contains("no column mode")),
        "{refused}"
    );
    let removal = Removal {
        product: product.clone(),
        threshold: Price::parse("80").unwrap(),
        user: UserId::new("v").unwrap(),
        write_time: WriteTime(0),
    };
    let refused = watches.remove_told(&[removal]).await.unwrap_err();
    assert!(refused.to_string().contains("once"), "{refused}");
    assert!(
        watches
            .delete(&product, Price::parse("80").unwrap(), &UserId::new("v").unwrap())
            .await
            .unwrap()
            .existed
    );
    assert_eq!(watches.list(Some(&product), None, 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn rows_that_are_not_watches_are_counted_and_skipped() {
    let options = options(&[Table::Alerts]).await;
    let (alerts, session) = (name(&options, Table::Alerts), session().await);
    for (value, user, mode) in [
        ("0.0000000001", "fine", ""),
        ("-1", "debt", ""),
        ("1e30", "large", ""),
        ("7", "odd", "never"),
        ("8", "good", "once"),
    ] {
        let insert = format!(
            "INSERT INTO {alerts} (product_id, price_watch_value, user_id, mode) VALUES ('P', {value}, '{user}', '{mode}')"
        );
        session.query_unpaged(insert, ()).await.unwrap();
    }
    let cassandra = options.connect(Arc::new(NoCache)).await.unwrap();
    let product = ProductId::new("P").unwrap();
    let mut view = cassandra.watches().view().await.unwrap();
    let seen = rows(&mut *view, from_price(&product, "0"), 10).await;
    assert_eq!(seen.iter().map(|row| row.1.as_str()).collect::<Vec<_>>(), ["good"]);
    assert_eq!(cassandra.metrics().unreadable_rows.get(), 3, "below zero was not even read");
}

#[tokio::test]
async fn a_server_that_does_not_exist_is_reported_at_once() {
    let began = Instant::now();
    let options = Options::new(vec!["127.0.0.1:1".into()], "nowhere");
    let refused = options.connect(Arc::new(NoCache)).await.err().unwrap();
    assert!(matches!(&refused, Error::Unreachable { .. }), "{refused}");
    assert!(refused.to_string().contains("127.0.0.1:1"), "{refused}");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

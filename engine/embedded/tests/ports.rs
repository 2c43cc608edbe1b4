//! The embedded adapters pass the conformance suites of their ports.
#![allow(clippy::unwrap_used)]

use pricedrop_embedded::{
    Embedded, EmbeddedCommitter, EmbeddedDeadLetters, EmbeddedLeases, EmbeddedNotifications,
    EmbeddedPolicies, EmbeddedPrices, EmbeddedRecipients, EmbeddedRetries, EmbeddedSource, EmbeddedWatches,
    Error, Options, PriceIntake,
};
use pricedrop_model::intake::{NewRecord, PriceIntake as _};
use tempfile::TempDir;

fn open() -> (Embedded, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Options::new(folder.path()).build().unwrap(), folder)
}

macro_rules! suite {
    ($suite:ident, $adapter:ty, $method:ident) => {
        mod $suite {
            use super::*;
            async fn fresh() -> ($adapter, TempDir) {
                let (embedded, folder) = open();
                (embedded.$method(), folder)
            }
            pricedrop_testing::conform!(fresh, $suite);
        }
    };
}

suite!(watches, EmbeddedWatches, watches);

mod exact_summaries {
    use super::*;
    async fn fresh() -> (EmbeddedWatches, TempDir) {
        let (embedded, folder) = open();
        (embedded.watches(), folder)
    }
    pricedrop_testing::conform!(fresh, exact_summaries);
}

suite!(commits, EmbeddedCommitter, committer);
suite!(leases, EmbeddedLeases, leases);
suite!(retries, EmbeddedRetries, retries);
suite!(recipients, EmbeddedRecipients, recipients);
suite!(dead_letters, EmbeddedDeadLetters, dead_letters);
suite!(policies, EmbeddedPolicies, policies);
suite!(prices, EmbeddedPrices, prices);

mod input {
    use super::*;

    struct Input(PriceIntake, EmbeddedSource, EmbeddedCommitter);

    impl pricedrop_testing::conformance::input::Input for Input {
        type Source = EmbeddedSource;
        type Committer = EmbeddedCommitter;
        fn source(&mut self) -> &mut EmbeddedSource {
            &mut self.1
        }
        fn committer(&mut self) -> &mut EmbeddedCommitter {
            &mut self.2
        }
        fn append(&self, values: &[&str]) {
            let record = |value: &&str| NewRecord { key: None, value: Some(value.to_string().into()) };
            let (intake, records) = (self.0.clone(), values.iter().map(record).collect());
            tokio::spawn(async move { intake.post(records, None).await });
        }
    }

    async fn fresh() -> (Input, TempDir) {
        let (embedded, folder) = open();
        let (intake, source) = embedded.source().unwrap();
        (Input(intake, source, embedded.committer()), folder)
    }

    pricedrop_testing::conform!(fresh, input);
}

mod log {
    use super::*;

    struct Log(Embedded);

    impl pricedrop_testing::conformance::log::Log for Log {
        type Committer = EmbeddedCommitter;
        type Reader = EmbeddedNotifications;
        fn committer(&self) -> EmbeddedCommitter {
            self.0.committer()
        }
        fn reader(&self) -> EmbeddedNotifications {
            self.0.notifications("dispatcher")
        }
    }

    async fn fresh() -> (Log, TempDir) {
        let (embedded, folder) = open();
        (Log(embedded), folder)
    }

    pricedrop_testing::conform!(fresh, log);
}

#[test]
fn a_folder_in_use_is_refused_by_name_and_free_after_closing() {
    let (embedded, folder) = open();
    let refused = Options::new(folder.path()).build().err().unwrap();
    assert!(matches!(refused, Error::InUse(_)));
    assert!(refused.to_string().contains(folder.path().to_str().unwrap()), "{refused}");
    drop(embedded);
    Options::new(folder.path()).build().unwrap();
}

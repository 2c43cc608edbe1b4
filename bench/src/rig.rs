//! A notifier with an embedded store in this process, without the API.

use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use pricedrop_embedded::{Embedded, Options, PriceIntake};
use pricedrop_model::intake::{NewRecord, PriceIntake as _};
use pricedrop_model::plugin::Plugins;
use pricedrop_model::ports::WatchWriter;
use pricedrop_model::time::SystemClock;
use pricedrop_model::{Mode, Price, ProductId, UserId, Watch};
use pricedrop_pipeline::notifier;
use tokio::runtime::Runtime;

/// A running notifier over an embedded store.
pub struct Rig {
    runtime: Runtime,
    /// The store.
    pub store: Embedded,
    intake: PriceIntake,
    notifier: Option<JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Rig {
    /// Starts a notifier over an empty store.
    pub fn start(plugins: Arc<dyn Plugins>, bucket_threshold: u64) -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let store = Options { bucket_threshold, ..Options::new(folder.path()) }.build().unwrap();
        store.set_plugins(plugins.clone());
        let runtime = Runtime::new().unwrap();
        let (intake, source) = store.source().unwrap();
        let notifier = notifier::Options::default().build(
            Box::new(source),
            Box::new(store.committer()),
            Arc::new(store.watches()),
            plugins,
            Arc::new(SystemClock),
        );
        let handle = runtime.handle().clone();
        let notifier = std::thread::spawn(move || {
            let (_keep, never) = tokio::sync::watch::channel(false);
            handle.block_on(notifier.run(never)).unwrap();
        });
        Rig { runtime, store, intake, notifier: Some(notifier), _folder: folder }
    }

    /// Writes watches in batches of ten thousand.
    pub fn watch(&self, watches: impl Iterator<Item = Watch>) {
        let store = self.store.watches();
        let mut watches = watches.peekable();
        while watches.peek().is_some() {
            let batch: Vec<Watch> = watches.by_ref().take(10_000).collect();
            self.runtime.block_on(store.put(batch)).unwrap();
        }
    }

    /// Posts updates, a thousand in a request and eight requests at a time. Waits until all are durable.
    pub fn post(&self, updates: &[Bytes]) {
        self.runtime.block_on(async {
            let mut posts = tokio::task::JoinSet::new();
            for chunk in updates.chunks(1_000) {
                if posts.len() == 8 {
                    posts.join_next().await.unwrap().unwrap();
                }
                let records: Vec<_> =
                    chunk.iter().map(|value| NewRecord { key: None, value: Some(value.clone()) }).collect();
                let intake = self.intake.clone();
                posts.spawn(async move {
                    intake.post(records, None).await.unwrap();
                });
            }
            while let Some(done) = posts.join_next().await {
                done.unwrap();
            }
        });
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.intake.close();
        let _ = self.notifier.take().map(JoinHandle::join);
    }
}

/// Returns a watch.
pub fn watch(product: usize, price: Price, user: usize, mode: Mode) -> Watch {
    Watch {
        product_id: ProductId::new(&format!("P{product}")).unwrap(),
        price_watch_value: price,
        user_id: UserId::new(&format!("user-{user:08}")).unwrap(),
        mode: Some(mode),
        currency: None,
        updated_at: None,
    }
}

/// Returns an update as it is posted.
pub fn update(product: usize, price: Price) -> Bytes {
    Bytes::from(format!(r#"{{"productId":"P{product}","newPrice":{price}}}"#))
}

/// Returns a price of so many cents.
pub fn cents(cents: i64) -> Price {
    Price::new(cents, 2).unwrap()
}

//! Stores the addresses of users: one row per user, channel and address.

use std::sync::Arc;

use async_trait::async_trait;
use pricedrop_model::UserId;
use pricedrop_model::dispatch::{Recipient, Recipients};
use pricedrop_model::ports::Error;

use super::shared::Inner;
use super::tables::Table;
use super::{keys, rows};

/// The addresses in the store.
#[derive(Clone)]
pub struct EmbeddedRecipients(Arc<Inner>);

impl EmbeddedRecipients {
    pub(super) fn new(inner: Arc<Inner>) -> EmbeddedRecipients {
        EmbeddedRecipients(inner)
    }
}

fn key(recipient: &Recipient) -> Vec<u8> {
    keys::names(&[recipient.user_id.as_str(), &recipient.channel, &recipient.address])
}

#[async_trait]
impl Recipients for EmbeddedRecipients {
    async fn of(&self, users: &[UserId]) -> Result<Vec<Vec<Recipient>>, Error> {
        self.0.shared.store.read(|store| {
            let of_user = |user: &UserId| {
                let rows = store.prefix(Table::Recipients, &keys::name(user.as_str()));
                rows.map(|guard| Ok(rows::from_json(&guard.value()?)?)).collect()
            };
            users.iter().map(of_user).collect()
        })
    }

    async fn put(&self, recipients: Vec<Recipient>) -> Result<(), Error> {
        let written = self.0.writer().write(move |txn| {
            for recipient in recipients {
                txn.put(Table::Recipients, key(&recipient), rows::to_json(&recipient));
            }
            Ok(())
        });
        Ok(written.await?)
    }

    async fn delete(&self, user: &UserId, channel: &str, address: &str) -> Result<bool, Error> {
        let key = keys::names(&[user.as_str(), channel, address]);
        let deleted = self.0.writer().write(move |txn| {
            let existed = txn.get(Table::Recipients, &key)?.is_some();
            if existed {
                txn.remove(Table::Recipients, key);
            }
            Ok(existed)
        });
        Ok(deleted.await?)
    }

    async fn list(&self, after: Option<&Recipient>, most: usize) -> Result<Vec<Recipient>, Error> {
        let from = after.map(|after| keys::next(key(after))).unwrap_or_default();
        self.0.shared.store.read(|store| {
            let rows = fjall::Readable::range(&store.snapshot(), store.table(Table::Recipients), from..);
            rows.take(most).map(|guard| Ok(rows::from_json(&guard.value()?)?)).collect()
        })
    }
}

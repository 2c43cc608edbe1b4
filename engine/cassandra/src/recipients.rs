//! Stores the addresses of users: one row per user, channel and address.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt};
use pricedrop_model::dispatch::{Recipient, Recipients};
use pricedrop_model::ports::Error;
use pricedrop_model::{Cause, UserId};

use super::error::misfit;
use super::limits::BATCHES;
use super::list::Listing;
use super::part::text;
use super::shared::Shared;
use super::statements::Channels;
use super::tables::Table;
use super::write::at;

/// The addresses in Cassandra.
#[derive(Clone)]
pub struct CassandraRecipients {
    shared: Arc<Shared>,
    listing: Arc<Listing>,
}

type ChannelRow = (String, String, Option<String>, Option<String>);

impl CassandraRecipients {
    pub(super) fn new(shared: Arc<Shared>) -> CassandraRecipients {
        CassandraRecipients { shared, listing: Arc::default() }
    }

    fn statements(&self) -> Result<&Channels, Error> {
        let name = self.shared.requests.name(Table::Channels);
        let missing =
            || Error::Fatal(format!("the table {name} is missing; run `pricedrop schema apply`").into());
        self.shared.statements.channels.as_ref().ok_or_else(missing)
    }

    async fn of_user(&self, user: UserId) -> Result<Vec<Recipient>, Error> {
        let requests = &self.shared.requests;
        let table = requests.name(Table::Channels);
        let rows = requests.read(&self.statements()?.of_user, &vec![text(user.as_str())]).await?;
        let mut found = Vec::new();
        for row in rows.rows::<ChannelRow>().map_err(misfit(table))? {
            let (channel, address, locale, attributes) = row.map_err(misfit(table))?;
            let attributes =
                attributes.filter(|text| !text.is_empty()).map(|text| serde_json::from_str(&text));
            found.push(Recipient {
                user_id: user.clone(),
                channel,
                address,
                locale: locale.filter(|locale| !locale.is_empty()),
                attributes: attributes.transpose().map_err(misfit(table))?.unwrap_or_default(),
            });
        }
        Ok(found)
    }

    async fn put_one(&self, recipient: Recipient) -> Result<(), Error> {
        let attributes = match recipient.attributes.is_empty() {
            true => String::new(),
            false => serde_json::to_string(&recipient.attributes)
                .map_err(|error| Error::Fatal(Cause::of(error)))?,
        };
        let mut values = vec![
            text(recipient.user_id.as_str()),
            text(&recipient.channel),
            text(&recipient.address),
            text(&recipient.locale.unwrap_or_default()),
            text(&attributes),
        ];
        values.extend(at(self.shared.write_timestamps.next().write_time.0));
        self.shared.requests.write(&[(&self.statements()?.insert, values)]).await
    }
}

fn place(recipient: &Recipient) -> (&str, &str, &str) {
    (recipient.user_id.as_str(), &recipient.channel, &recipient.address)
}

#[async_trait]
impl Recipients for CassandraRecipients {
    async fn of(&self, users: &[UserId]) -> Result<Vec<Vec<Recipient>>, Error> {
        let mut reads = Vec::with_capacity(users.len());
        for user in users {
            reads.push(self.of_user(user.clone()));
        }
        let at_once = self.shared.options.in_flight.max(1);
        futures::stream::iter(reads).buffered(at_once).try_collect().await
    }

    async fn put(&self, recipients: Vec<Recipient>) -> Result<(), Error> {
        // Of two writes of one address the later one wins, so only that is written.
        let mut last = std::collections::BTreeMap::new();
        for recipient in recipients {
            let (user, channel, address) = place(&recipient);
            last.insert((user.to_owned(), channel.to_owned(), address.to_owned()), recipient);
        }
        let mut writes = Vec::with_capacity(last.len());
        for recipient in last.into_values() {
            writes.push(self.put_one(recipient));
        }
        futures::stream::iter(writes).buffer_unordered(BATCHES).try_collect::<Vec<()>>().await?;
        Ok(())
    }

    async fn delete(&self, user: &UserId, channel: &str, address: &str) -> Result<bool, Error> {
        let statements = self.statements()?;
        let key = vec![text(user.as_str()), text(channel), text(address)];
        let existed = self.shared.requests.read(&statements.one, &key).await?.rows_num() > 0;
        let values = [at(self.shared.write_timestamps.next().write_time.0), key].concat();
        self.shared.requests.write(&[(&statements.delete, values)]).await?;
        Ok(existed)
    }

    async fn list(&self, after: Option<&Recipient>, most: usize) -> Result<Vec<Recipient>, Error> {
        let mut page: Vec<Recipient> = Vec::new();
        if let Some(after) = after {
            let all = self.of_user(after.user_id.clone()).await?;
            page.extend(all.into_iter().filter(|it| place(it) > place(after)).take(most));
        }
        let mut behind = after.map(|after| after.user_id.to_string());
        while page.len() < most {
            let users = &self.statements()?.users;
            let Some(key) = self.listing.next_key(&self.shared, users, behind.as_deref()).await? else {
                break;
            };
            if let Ok(user) = UserId::new(&key) {
                page.extend(self.of_user(user).await?.into_iter().take(most - page.len()));
            }
            behind = Some(key);
        }
        Ok(page)
    }
}

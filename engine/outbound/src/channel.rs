//! What one channel may reach, read from its access, with its connections.

use std::collections::BTreeMap;

use pricedrop_model::channel::Access;

use super::clients::Clients;
use super::credential::Bound;
use super::hosts::Hosts;
use super::limits::Options;
use super::mail::MailPool;

/// One channel's access, ready to use. A changed access makes a new one; the
/// connections of the old one end with what is in flight.
pub(super) struct ChannelAccess {
    pub(super) access: Access,
    pub(super) hosts: Hosts,
    pub(super) credentials: BTreeMap<String, Bound>,
    pub(super) clients: Clients,
    pub(super) mail: Option<MailPool>,
}

impl ChannelAccess {
    /// The error says in words what is wrong with the access.
    pub(super) fn new(
        access: &Access,
        options: &Options,
        tls: &rustls::ClientConfig,
    ) -> Result<ChannelAccess, String> {
        let bound = |(name, credential)| match Bound::new(credential) {
            Ok(bound) => Ok((String::clone(name), bound)),
            Err(error) => Err(format!("credential {name}: {error}")),
        };
        let mail = access.mail.as_ref().map(|account| MailPool::new(account, options));
        Ok(ChannelAccess {
            hosts: Hosts::parse(&access.hosts).map_err(|error| error.to_string())?,
            credentials: access.credentials.iter().map(bound).collect::<Result<_, _>>()?,
            clients: Clients::new(options, tls)?,
            mail: mail.transpose().map_err(|error| format!("mail: {error}"))?,
            access: access.clone(),
        })
    }
}

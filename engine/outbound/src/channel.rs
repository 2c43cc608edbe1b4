//! The parsed access of one channel: its allowed hosts, its credentials, and its connection pools.

use std::collections::BTreeMap;

use pricedrop_model::channel::Access;

use super::clients::Clients;
use super::credential::Bound;
use super::hosts::Hosts;
use super::limits::Options;
use super::mail::MailPool;

/// The parts of an access that are parsed from text.
pub(super) struct Parts {
    hosts: Hosts,
    credentials: BTreeMap<String, Bound>,
    mail: Option<MailPool>,
}

impl Parts {
    /// Parses an access.
    ///
    /// # Errors
    /// A host, a credential or the mail account is invalid; the text says which and why.
    pub(super) fn of(access: &Access, options: &Options) -> Result<Parts, String> {
        let bound = |(name, credential)| match Bound::new(credential) {
            Ok(bound) => Ok((String::clone(name), bound)),
            Err(error) => Err(format!("credential {name}: {error}")),
        };
        let mail = access.mail.as_ref().map(|account| MailPool::new(account, options));
        Ok(Parts {
            hosts: Hosts::parse(&access.hosts).map_err(|error| error.to_string())?,
            credentials: access.credentials.iter().map(bound).collect::<Result<_, _>>()?,
            mail: mail.transpose().map_err(|error| format!("mail: {error}"))?,
        })
    }
}

/// One channel's access, ready to use. A changed access replaces it; the old connections close
/// after their last request.
pub(super) struct ChannelAccess {
    pub(super) access: Access,
    pub(super) hosts: Hosts,
    pub(super) credentials: BTreeMap<String, Bound>,
    pub(super) clients: Clients,
    pub(super) mail: Option<MailPool>,
}

impl ChannelAccess {
    /// Parses an access.
    ///
    /// # Errors
    /// A host, a credential or the mail account is invalid; the text says which and why.
    pub(super) fn new(
        access: &Access,
        options: &Options,
        tls: &rustls::ClientConfig,
    ) -> Result<ChannelAccess, String> {
        let Parts { hosts, credentials, mail } = Parts::of(access, options)?;
        let clients = Clients::new(options, tls)?;
        Ok(ChannelAccess { access: access.clone(), hosts, credentials, clients, mail })
    }
}

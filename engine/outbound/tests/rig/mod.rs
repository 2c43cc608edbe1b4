//! Builds requests, access rules and a sender for tests against the servers of dev/peers.
#![allow(dead_code)] // each test file uses its part

pub mod script;

pub use pricedrop_harness::peers::Peer;
use pricedrop_model::UserId;
use pricedrop_model::channel::{
    Access, Credential, CredentialScheme, HttpRequest, Mail, Method, Outgoing, Recipient, Reply, Secret,
    SendError, SendRequest, Sender,
};
use pricedrop_outbound::{Options, Outbound};

/// Returns an access that allows these hosts.
pub fn access(hosts: &[&str]) -> Access {
    Access { hosts: hosts.iter().map(ToString::to_string).collect(), ..Access::default() }
}

pub fn get(url: &str) -> HttpRequest {
    HttpRequest {
        method: Method::Get,
        url: url.into(),
        headers: Vec::new(),
        body: Vec::new(),
        credential: None,
    }
}

pub fn mail() -> Mail {
    Mail { subject: "Schuhe für 79,90".into(), text: "now 79.90\n".into(), html: None, headers: Vec::new() }
}

pub fn outbound() -> Outbound {
    Outbound::new(Options::default()).unwrap()
}

pub const TIMEOUT_MS: u64 = 4_000;

/// Writes a secret into a file of this folder.
pub fn secret(folder: &std::path::Path, name: &str, value: &str) -> Secret {
    let path = folder.join(name);
    std::fs::write(&path, value).unwrap();
    Secret::File(path)
}

/// Returns an access that allows only this peer, with this credential for it.
pub fn with_credential(peer: &Peer, scheme: CredentialScheme) -> Access {
    let credential = Credential { hosts: vec![peer.host()], scheme };
    Access {
        hosts: vec![peer.host()],
        credentials: [("it".to_owned(), credential)].into(),
        ..Access::default()
    }
}

pub async fn send(
    outbound: &Outbound,
    access: &Access,
    address: &str,
    outgoing: Outgoing,
) -> Result<Reply, SendError> {
    send_with(outbound, access, address, outgoing, None).await
}

/// Sends it with an unsubscribe URL.
pub async fn send_with(
    outbound: &Outbound,
    access: &Access,
    address: &str,
    outgoing: Outgoing,
    unsubscribe_url: Option<&str>,
) -> Result<Reply, SendError> {
    let to = Recipient {
        user_id: UserId::new("u1").unwrap(),
        channel: "channel-test".into(),
        address: address.into(),
        locale: None,
        attributes: Vec::new(),
    };
    let request = SendRequest {
        channel: "channel-test",
        access,
        to: &to,
        outgoing: &outgoing,
        idempotency_key: "id:channel-test:a",
        unsubscribe_url,
        timeout_ms: TIMEOUT_MS,
    };
    outbound.send(request).await
}

//! OAuth 2.0 tokens: fetched once, kept, replaced when they are refused, and never printed.
#![allow(clippy::unwrap_used)]

mod rig;

use futures::future::join_all;
use pricedrop_model::channel::{CredentialScheme, HttpRequest, Outgoing, Reply};
use rig::{Peer, get, outbound, secret, send, with_credential};

const CLIENT_SECRET: &str = "cl13nt-s3cret";

fn oauth(peer: &Peer, folder: &std::path::Path, path: &str) -> CredentialScheme {
    CredentialScheme::Oauth2 {
        token_url: format!("http://{}{path}", peer.host()),
        client_id: "shop".into(),
        client_secret: secret(folder, "client", CLIENT_SECRET),
        scopes: vec!["push".into(), "read".into()],
        audience: Some("https://api.example/".into()),
    }
}

fn ask(peer: &Peer, path: &str) -> Outgoing {
    let url = format!("http://{}{path}", peer.host());
    Outgoing::Http(HttpRequest { credential: Some("it".into()), ..get(&url) })
}

fn asked(peer: &Peer, path: &str) -> usize {
    peer.records().iter().filter(|record| record["path"] == path).count()
}

#[tokio::test]
async fn many_requests_at_once_share_one_token() {
    let (peer, folder) = (Peer::http().unwrap(), tempfile::tempdir().unwrap());
    let access = with_credential(&peer, oauth(&peer, folder.path(), "/token"));
    let outbound = outbound();
    let all = (0..100).map(|_| send(&outbound, &access, "ann", ask(&peer, "/bearer/token-1")));
    for reply in join_all(all).await {
        assert!(matches!(reply, Ok(Reply::Http { status: 200, .. })), "{reply:?}");
    }
    assert_eq!(asked(&peer, "/token"), 1);
    let records = peer.records();
    let request = records.iter().find(|record| record["path"] == "/token").unwrap();
    let form = "grant_type=client_credentials&scope=push+read&audience=https%3A%2F%2Fapi.example%2F";
    assert_eq!(request["body"], form);
    // shop:cl13nt-s3cret
    assert_eq!(request["headers"]["authorization"], "Basic c2hvcDpjbDEzbnQtczNjcmV0");
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_at_the_next_attempt() {
    let (peer, folder) = (Peer::http().unwrap(), tempfile::tempdir().unwrap());
    let access = with_credential(&peer, oauth(&peer, folder.path(), "/token"));
    let outbound = outbound();
    let statuses = [401, 200, 200];
    for status in statuses {
        let reply = send(&outbound, &access, "ann", ask(&peer, "/bearer/token-2")).await;
        assert!(matches!(reply, Ok(Reply::Http { status: got, .. }) if got == status), "{reply:?}");
    }
    assert_eq!(asked(&peer, "/token"), 2);
}

#[tokio::test]
async fn a_token_server_that_misbehaves_is_one_clear_reason_without_the_secret() {
    let (peer, folder) = (Peer::http().unwrap(), tempfile::tempdir().unwrap());
    for path in ["/status/500", "/garbage", "/giant", "/slow-headers", "/slow-body", "/ok", "/reset"] {
        let access = with_credential(&peer, oauth(&peer, folder.path(), path));
        let reply = send(&outbound(), &access, "ann", ask(&peer, "/ok")).await;
        let Ok(Reply::Unanswered(reason)) = reply else { panic!("{path}: {reply:?}") };
        assert!(reason.contains("the credential is unavailable"), "{path}: {reason}");
        assert!(!reason.contains(CLIENT_SECRET), "{path}: {reason}");
        assert!(!format!("{access:?}").contains(CLIENT_SECRET));
    }
    assert!(peer.records().iter().all(|record| record["path"] != "/ok" || record["method"] == "POST"));
}

//! HTTP requests to a server with faults, and to hosts that are not allowed.
#![allow(clippy::unwrap_used)]

mod rig;

use std::collections::BTreeMap;

use pricedrop_model::channel::{
    Access, Credential, CredentialScheme, HttpRequest, Method, Outgoing, Reply, Secret, SendError,
};
use pricedrop_outbound::{Options, Outbound};
use rig::{Peer, TIMEOUT_MS, access, get, outbound, send};

const SIGNATURE: &str = "adbde1ce40c89c14215687d5d762a47df6dfaefcfad61e2e86718ffc8498571b";

async fn fetch(peer: &Peer, path: &str) -> Result<Reply, SendError> {
    let host = format!("127.0.0.1:{}", peer.port);
    send(&outbound(), &access(&[&host]), "u1", Outgoing::Http(get(&format!("http://{host}/{path}")))).await
}

fn status(reply: Result<Reply, SendError>) -> (u16, String, bool) {
    match reply.unwrap() {
        Reply::Http { status, body, truncated, .. } => (status, body, truncated),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_request_arrives_with_the_key_the_credential_and_its_body() {
    let peer = Peer::http().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "s3cret\n").unwrap();
    let host = format!("127.0.0.1:{}", peer.port);
    let secret = Secret::File(token.clone());
    let scheme = |scheme| Credential { hosts: vec![host.clone()], scheme };
    let credentials = BTreeMap::from([
        ("bearer".to_string(), scheme(CredentialScheme::Bearer { token: secret.clone() })),
        (
            "hmac".to_string(),
            scheme(CredentialScheme::Hmac {
                key: secret,
                header: "x-signature".into(),
                timestamp_header: None,
            }),
        ),
    ]);
    let access = Access { credentials, ..access(&[&host]) };
    let outbound = outbound();
    let request = |credential: &str| {
        Outgoing::Http(HttpRequest {
            method: Method::Post,
            headers: vec![("Content-Type".into(), "application/json".into())],
            body: b"{}".to_vec(),
            credential: Some(credential.into()),
            ..get(&format!("http://{host}/ok"))
        })
    };
    for credential in ["bearer", "hmac"] {
        let reply = send(&outbound, &access, "u1", request(credential)).await;
        assert_eq!(status(reply), (200, "ok".into(), false));
    }
    std::fs::write(&token, "another\n").unwrap();
    send(&outbound, &access, "u1", request("bearer")).await.unwrap();
    let records = peer.records();
    assert_eq!(records[0]["headers"]["idempotency-key"], "id:channel-test:a");
    assert_eq!(records[0]["headers"]["authorization"], "Bearer s3cret");
    assert_eq!(records[0]["body"], "{}");
    // printf '{}' | openssl dgst -sha256 -hmac s3cret
    assert_eq!(records[1]["headers"]["x-signature"], SIGNATURE);
    assert!(records[1]["headers"].get("authorization").is_none());
    assert_eq!(records[2]["headers"]["authorization"], "Bearer another");
    // All requests shared one connection.
    assert!(records.iter().all(|record| record["connection"] == records[0]["connection"]));
    let unknown = send(&outbound, &access, "u1", request("nothing")).await;
    assert!(matches!(unknown, Err(SendError::Refused(reason)) if reason.contains("no credential")));
}

#[tokio::test]
async fn a_credential_goes_to_its_hosts_only() {
    let peer = Peer::http().unwrap();
    let host = format!("127.0.0.1:{}", peer.port);
    let scheme = CredentialScheme::Bearer { token: Secret::Env("PATH".into()) };
    let credential = Credential { hosts: vec!["api.example.com".into()], scheme };
    let access = Access { credentials: BTreeMap::from([("c".into(), credential)]), ..access(&[&host]) };
    let request = HttpRequest { credential: Some("c".into()), ..get(&format!("http://{host}/ok")) };
    let reply = send(&outbound(), &access, "u1", Outgoing::Http(request)).await;
    assert!(matches!(reply, Err(SendError::Refused(_))), "{reply:?}");
    assert!(peer.records().is_empty());
}

#[tokio::test]
async fn timeouts_resets_and_invalid_responses_are_reported_as_unanswered() {
    let peer = Peer::http().unwrap();
    let started = std::time::Instant::now();
    for path in ["slow-headers", "reset", "garbage"] {
        let reply = fetch(&peer, path).await;
        assert!(matches!(reply, Ok(Reply::Unanswered(_))), "{path}: {reply:?}");
    }
    assert!(started.elapsed().as_millis() < u128::from(TIMEOUT_MS) * 3);
    let nobody = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    let host = nobody.to_string();
    let reply =
        send(&outbound(), &access(&[&host]), "u1", Outgoing::Http(get(&format!("http://{host}/")))).await;
    let Ok(Reply::Unanswered(reason)) = reply else { panic!("{reply:?}") };
    assert!(reason.contains("refused") && !reason.contains("http://"), "{reason}");
}

#[tokio::test]
async fn a_response_that_breaks_off_keeps_its_status() {
    let peer = Peer::http().unwrap();
    assert_eq!(status(fetch(&peer, "slow-body").await), (200, "so far".into(), true));
    let (code, body, truncated) = status(fetch(&peer, "half").await);
    assert_eq!((code, truncated), (200, true));
    assert!(body.len() <= 50);
}

#[tokio::test]
async fn a_response_body_is_truncated_at_the_limit() {
    let peer = Peer::http().unwrap();
    let (code, body, truncated) = status(fetch(&peer, "giant").await);
    assert_eq!((code, body.len(), truncated), (200, Options::default().response_bytes, true));
}

#[tokio::test]
async fn a_redirect_is_returned_and_not_followed() {
    let peer = Peer::http().unwrap();
    assert_eq!(status(fetch(&peer, "redirect").await).0, 302);
    assert_eq!(peer.records().len(), 1);
}

#[tokio::test]
async fn the_reply_has_the_retry_after_header() {
    let peer = Peer::http().unwrap();
    for path in ["retry-seconds", "retry-date"] {
        let Ok(Reply::Http { status: 429, headers, .. }) = fetch(&peer, path).await else { panic!("{path}") };
        assert!(headers.iter().any(|(name, _)| name == "retry-after"), "{headers:?}");
    }
    for expected in [503, 503, 200] {
        assert_eq!(status(fetch(&peer, "flaky/2/a").await).0, expected);
    }
}

#[tokio::test]
async fn a_host_that_resolves_to_a_private_address_is_refused_unless_listed_as_private() {
    let peer = Peer::http().unwrap();
    let url = format!("http://localhost:{}/ok", peer.port);
    let listed = format!("localhost:{}", peer.port);
    let reply = send(&outbound(), &access(&[&listed]), "u1", Outgoing::Http(get(&url))).await;
    let Err(SendError::Refused(reason)) = reply else { panic!("{reply:?}") };
    assert_eq!(reason, "localhost resolves to a private address; list it as private:localhost to allow that");
    let listed = format!("private:localhost:{}", peer.port);
    let reply = send(&outbound(), &access(&[&listed]), "u1", Outgoing::Http(get(&url))).await;
    assert_eq!(status(reply).0, 200);
    assert_eq!(peer.records().len(), 1);
}

#[tokio::test]
async fn a_certificate_of_an_untrusted_authority_is_refused() {
    let peer = Peer::https().unwrap();
    let access = access(&[&format!("private:localhost:{}", peer.port)]);
    let request = || Outgoing::Http(get(&format!("https://localhost:{}/ok", peer.port)));
    let reply = send(&outbound(), &access, "u1", request()).await;
    assert!(matches!(&reply, Ok(Reply::Unanswered(reason)) if reason.contains("certificate")), "{reply:?}");
    let ca_file = Some(peer.hello["ca"].as_str().unwrap().into());
    let trusting = Outbound::new(Options { ca_file, ..Options::default() }).unwrap();
    assert_eq!(status(send(&trusting, &access, "u1", request()).await).0, 200);
    assert_eq!(peer.records().len(), 1);
}

#[tokio::test]
async fn a_request_that_breaks_a_rule_is_not_sent() {
    let peer = Peer::http().unwrap();
    let host = format!("127.0.0.1:{}", peer.port);
    let url = format!("http://{host}/ok");
    let header = |name: &str| vec![(name.to_string(), "x".to_string())];
    let big = vec![b'x'; Options::default().request_bytes + 1];
    for request in [
        get("http://[::ffff:127.0.0.1]/"),
        get(&format!("http://127.0.0.1:{}/ok", peer.port ^ 1)),
        get(&format!("http://user:pw@{host}/ok")),
        get("file:///etc/passwd"),
        get("/ok"),
        HttpRequest { headers: header("Host"), ..get(&url) },
        HttpRequest { headers: header("Idempotency-Key"), ..get(&url) },
        HttpRequest { headers: header("transfer-encoding"), ..get(&url) },
        HttpRequest { method: Method::Post, body: big, ..get(&url) },
    ] {
        let shown = request.url.clone();
        let reply = send(&outbound(), &access(&[&host]), "u1", Outgoing::Http(request)).await;
        assert!(matches!(reply, Err(SendError::Refused(_))), "{shown}: {reply:?}");
    }
    let reply = send(&outbound(), &access(&[&host]), "no url", Outgoing::Http(get("no url"))).await;
    assert!(matches!(reply, Err(SendError::BadRecipient(_))), "{reply:?}");
    assert!(peer.records().is_empty());
}

#[tokio::test]
async fn lines_are_written_whole_and_a_closed_output_is_a_temporary_failure() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let outbound = Outbound::with_output(Options::default(), Box::new(writer)).unwrap();
    let line = |text: &str| Outgoing::Line(text.into());
    let reply = send(&outbound, &Access::default(), "u1", line("told\nu2: forged")).await;
    assert_eq!(reply, Ok(Reply::Done));
    let mut text = [0; 16];
    std::io::Read::read_exact(&mut reader, &mut text).unwrap();
    assert_eq!(&text, b"told u2: forged\n");
    drop(reader);
    for _ in 0..2 {
        let reply = send(&outbound, &Access::default(), "u1", line("x")).await;
        assert!(
            matches!(&reply, Ok(Reply::Unanswered(reason)) if reason.contains("standard output")),
            "{reply:?}"
        );
    }
}

//! Signatures and encryption of this crate are accepted by the libraries that receivers use.
#![allow(clippy::unwrap_used)]

mod rig;

use std::path::Path;
use std::process::Command;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pricedrop_harness::peers::verify;
use pricedrop_model::channel::{
    Access, Credential, CredentialScheme, Dkim, HttpRequest, MailAccount, MailTls, Outgoing, Reply, Secret,
    Urgency, WebPush,
};
use rig::{Peer, get, mail, outbound, secret, send, with_credential};
use serde_json::{Value, json};

/// The keys of the example in RFC 8291, section 5: the browser's and the sender's.
const BROWSER_PRIVATE: &str = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";
const BROWSER_PUBLIC: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const BROWSER_AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";
const SENDER_PRIVATE: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
const SENDER_PUBLIC: &str =
    "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8";

fn post(url: &str) -> Outgoing {
    let body = br#"{"productId":"P7","newPrice":79.9}"#.to_vec();
    let method = pricedrop_model::channel::Method::Post;
    Outgoing::Http(HttpRequest { method, body, credential: Some("it".into()), ..get(url) })
}

fn push(endpoint: String, payload: Vec<u8>) -> WebPush {
    WebPush {
        endpoint,
        p256dh: BROWSER_PUBLIC.into(),
        auth: BROWSER_AUTH.into(),
        payload,
        ttl_s: 3600,
        topic: Some("P7".into()),
        urgency: Urgency::High,
        credential: Some("it".into()),
    }
}

fn vapid(folder: &Path) -> CredentialScheme {
    CredentialScheme::Vapid {
        private_key: secret(folder, "vapid", SENDER_PRIVATE),
        public_key: SENDER_PUBLIC.into(),
        subject: "mailto:ops@shop.test".into(),
    }
}

#[tokio::test]
async fn a_push_message_can_be_decrypted_and_its_signature_is_valid() {
    let (peer, folder) = (Peer::http().unwrap(), tempfile::tempdir().unwrap());
    let access = with_credential(&peer, vapid(folder.path()));
    let outbound = outbound();
    // From an empty payload to the largest that fits into one record.
    for payload in ["", "Rote Schuhe für 79,90 €", &"x".repeat(3_993)] {
        let message = push(format!("http://{}/push/ann", peer.host()), payload.as_bytes().to_vec());
        let reply = send(&outbound, &access, "ann", Outgoing::WebPush(message)).await.unwrap();
        assert!(matches!(reply, Reply::Http { status: 201, .. }), "{reply:?}");
        let record = peer.records().pop().unwrap();
        let given = json!({
            "body": record["body_base64"], "private_key": BROWSER_PRIVATE, "auth": BROWSER_AUTH,
        });
        assert_eq!(verify("web-push", &given).unwrap()["payload"], payload);
        let headers = &record["headers"];
        for (name, value) in
            [("ttl", "3600"), ("topic", "P7"), ("urgency", "high"), ("content-encoding", "aes128gcm")]
        {
            assert_eq!(headers[name], value, "{name}");
        }
        let given = json!({
            "authorization": headers["authorization"],
            "audience": format!("http://{}", peer.host()),
            "public_key": SENDER_PUBLIC,
        });
        assert_eq!(verify("vapid", &given).unwrap()["sub"], "mailto:ops@shop.test");
    }
}

#[tokio::test]
async fn a_malformed_subscription_is_a_bad_recipient() {
    let (peer, folder) = (Peer::http().unwrap(), tempfile::tempdir().unwrap());
    let access = with_credential(&peer, vapid(folder.path()));
    let good = push(format!("http://{}/push/ann", peer.host()), b"x".to_vec());
    let zero_point = "BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for bad in [
        WebPush { p256dh: "AAAA".into(), ..good.clone() },
        WebPush { p256dh: zero_point.into(), ..good.clone() },
        WebPush { auth: "%%%".into(), ..good.clone() },
        WebPush { endpoint: "no url".into(), ..good.clone() },
    ] {
        let error = send(&outbound(), &access, "ann", Outgoing::WebPush(bad.clone())).await.unwrap_err();
        let is_bad = matches!(error, pricedrop_model::channel::SendError::BadRecipient(_));
        assert!(is_bad, "{bad:?}: {error}");
    }
    assert_eq!(peer.records(), [] as [Value; 0]);
}

#[tokio::test]
async fn a_webhook_is_verified_by_the_old_key_and_the_new_one() {
    let (peer, folder) = (Peer::http().unwrap(), tempfile::tempdir().unwrap());
    let keys = ["old", "new"].map(|name| format!("whsec_{}", STANDARD.encode(name.repeat(8))));
    let files = keys.iter().enumerate();
    let files = files.map(|(at, key)| secret(folder.path(), &format!("key-{at}"), key)).collect();
    let access = with_credential(&peer, CredentialScheme::StandardWebhooks { keys: files });
    let reply = send(&outbound(), &access, "ann", post(&format!("http://{}/ok", peer.host()))).await.unwrap();
    assert!(matches!(reply, Reply::Http { status: 200, .. }), "{reply:?}");
    let record = peer.records().pop().unwrap();
    let given =
        |key: &str| json!({"secret": key, "body": record["body_base64"], "headers": record["headers"]});
    for key in &keys {
        assert_eq!(verify("standard-webhooks", &given(key)).unwrap()["productId"], "P7");
    }
    let other = format!("whsec_{}", STANDARD.encode("another".repeat(4)));
    assert!(verify("standard-webhooks", &given(&other)).is_err());
    assert_eq!(record["headers"]["webhook-id"], record["headers"]["idempotency-key"]);
}

fn openssl(folder: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Sends a mail that is signed with this key, and verifies the signature against the
/// public key in the DNS.
async fn is_signed(key: Secret, public: &str) {
    let peer = Peer::smtp(&["--no-starttls"]).unwrap();
    let account = MailAccount {
        from: "Price drops <alerts@shop.test>".into(),
        host: "localhost".into(),
        hello: None,
        port: peer.port,
        tls: MailTls::None,
        username: None,
        password: None,
        ca_file: None,
        dkim: Some(Dkim { domain: "shop.test".into(), selector: "prices".into(), key }),
    };
    let access = Access { mail: Some(account), ..Access::default() };
    let unsubscribe = Some("https://prices.test/u/t0k3n");
    let reply =
        rig::send_with(&outbound(), &access, "ann@example.test", Outgoing::Mail(mail()), unsubscribe).await;
    assert!(matches!(reply, Ok(Reply::Smtp(250, _))), "{reply:?}");
    let record = peer.records().pop().unwrap();
    let records = json!({"prices._domainkey.shop.test": format!("v=DKIM1; {public}")});
    let given = |mail: &Value| json!({"mail": mail, "records": records});
    assert_eq!(verify("dkim", &given(&record["raw_base64"])).unwrap()["verified"], true);
    let raw = String::from_utf8(STANDARD.decode(record["raw_base64"].as_str().unwrap()).unwrap()).unwrap();
    assert!(raw.contains("List-Unsubscribe: <https://prices.test/u/t0k3n>"), "{raw}");
    assert!(raw.contains("List-Unsubscribe-Post: List-Unsubscribe=One-Click"), "{raw}");
    // A changed link breaks the signature.
    let changed = STANDARD.encode(raw.replace("t0k3n", "other"));
    assert!(verify("dkim", &given(&json!(changed))).is_err());
}

#[tokio::test]
async fn a_mail_carries_a_dkim_signature_by_rsa_that_covers_the_unsubscribe_headers() {
    let folder = tempfile::tempdir().unwrap();
    let key = String::from_utf8(openssl(folder.path(), &["genrsa", "-traditional", "2048"])).unwrap();
    let key = secret(folder.path(), "dkim.pem", &key);
    let public = openssl(folder.path(), &["rsa", "-in", "dkim.pem", "-pubout", "-outform", "DER"]);
    is_signed(key, &format!("k=rsa; p={}", STANDARD.encode(public))).await;
}

#[tokio::test]
async fn a_mail_carries_a_dkim_signature_by_ed25519_that_covers_the_unsubscribe_headers() {
    let folder = tempfile::tempdir().unwrap();
    let seed = [7; 32];
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let key = secret(folder.path(), "dkim", &STANDARD.encode(seed));
    is_signed(key, &format!("k=ed25519; p={}", STANDARD.encode(pair.public_key()))).await;
}

/// A server that verifies signatures accepts the request, and refuses it with another secret.
#[tokio::test]
async fn an_s3_server_accepts_a_signed_request() {
    let (server, folder) = (pricedrop_harness::servers::s3(), tempfile::tempdir().unwrap());
    for (secret_key, expected) in [("admin-secret", 200), ("another", 403)] {
        let scheme = CredentialScheme::AwsSigv4 {
            access_key_id: secret(folder.path(), "id", "admin"),
            secret_access_key: secret(folder.path(), "secret", secret_key),
            session_token: None,
            region: "us-east-1".into(),
            service: "s3".into(),
        };
        let credential = Credential { hosts: vec![server.clone()], scheme };
        let access = Access {
            hosts: vec![server.clone()],
            credentials: [("it".to_owned(), credential)].into(),
            ..Access::default()
        };
        let url = format!("http://{server}/pricedrop/signed/a%20b?x-id=PutObject");
        let request = Outgoing::Http(HttpRequest {
            method: pricedrop_model::channel::Method::Put,
            body: b"79.9".to_vec(),
            credential: Some("it".into()),
            ..get(&url)
        });
        let reply = send(&outbound(), &access, "ann", request).await.unwrap();
        assert!(matches!(reply, Reply::Http { status, .. } if status == expected), "{reply:?}");
    }
}

//! Every channel that sends over HTTP, from a posted price to its provider.

use pricedrop_harness::peers::{Peer, verify};
use pricedrop_harness::wait_for;
use serde_json::{Value, json};

use crate::support::{arrived, dead_letters, home, join, metric, post, run_cli};

/// The subscription and the sender's keys of the example in RFC 8291, section 5.
const P256DH: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";
const BROWSER_PRIVATE: &str = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";
const VAPID_PRIVATE: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
const VAPID_PUBLIC: &str =
    "BP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A8";

fn update() -> Value {
    json!({"productId": "P7", "newPrice": 79.9, "currency": "USD", "title": "Red shoes"})
}

fn subscription(peer: &Peer, path: &str) -> String {
    json!({
        "endpoint": format!("http://{}/{path}", peer.host()),
        "expirationTime": null,
        "keys": {"p256dh": P256DH, "auth": AUTH},
    })
    .to_string()
}

fn webpush_sidecar(peer: &Peer) -> String {
    format!(
        r#"
        hosts = ["{host}"]
        [settings]
        credential = "push"
        [credentials.push]
        hosts = ["{host}"]
        scheme = "vapid"
        private_key = {{ env = "VAPID_KEY" }}
        public_key = "{VAPID_PUBLIC}"
        subject = "mailto:ops@shop.test"
        "#,
        host = peer.host()
    )
}

#[test]
fn a_push_message_reaches_the_browser_and_the_key_is_shown_to_nobody() {
    let peer = Peer::http().unwrap();
    let (folder, mut home) = home("channel-webpush", &webpush_sidecar(&peer));
    home.environment.push(("VAPID_KEY".into(), VAPID_PRIVATE.into()));
    let engine = home.start().unwrap();
    join(&home, &engine, "ann", "channel-webpush", &subscription(&peer, "push/ann"));
    join(&home, &engine, "bob", "channel-webpush", &subscription(&peer, "status/410"));
    assert_eq!(post(&engine, &update()), 2);
    let records = arrived(&peer, 2);
    let record = records.iter().find(|record| record["path"] == "/push/ann").unwrap();
    let given = json!({"body": record["body_base64"], "private_key": BROWSER_PRIVATE, "auth": AUTH});
    let payload = verify("web-push", &given).unwrap()["payload"].as_str().unwrap().to_owned();
    let payload: Value = serde_json::from_str(&payload).unwrap();
    let text = format!("{} {}", payload["title"], payload["body"]);
    assert!(text.contains("Red shoes") && text.contains("$79.90"), "{payload}");
    assert_eq!(payload["tag"], record["headers"]["topic"]);
    // An expired subscription is a bad recipient, and is tried only once.
    let dead = dead_letters(&home, 1);
    assert!(dead[0]["reason"].as_str().unwrap().starts_with("bad recipient: "), "{dead:?}");
    // The log is one of the places where a secret must not appear.
    let log = std::fs::read_to_string(folder.path().join("engine.log")).unwrap();
    let answers = engine.request("GET", "/v1/plugins", b"").unwrap();
    for place in [log, answers, format!("{dead:?}")] {
        assert!(!place.contains(VAPID_PRIVATE));
    }
}

#[test]
fn an_address_is_kept_in_its_canonical_form_and_a_wrong_one_is_refused() {
    let peer = Peer::http().unwrap();
    let (_folder, mut home) = home("channel-webpush", &webpush_sidecar(&peer));
    home.environment.push(("VAPID_KEY".into(), VAPID_PRIVATE.into()));
    let _engine = home.start().unwrap();
    home.run(&["recipient", "add", "ann", "channel-webpush", &subscription(&peer, "push/ann")]).unwrap();
    let listed = run_cli(&home, &["recipient", "list", "ann", "--json"]);
    assert!(!listed.contains("expirationTime"), "{listed}");
    let wrong = home.command(&["recipient", "add", "ann", "channel-webpush", "{}"]).output().unwrap();
    assert!(!wrong.status.success());
    let reason = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(reason.contains("address of channel-webpush"), "{reason}");
}

#[test]
fn every_channel_over_http_sends_what_its_provider_reads() {
    let peer = Peer::http().unwrap();
    let base = format!("http://{}/ok", peer.host());
    let listing = format!("hosts = [\"{}\"]\n[settings]\n", peer.host());
    let cases = [
        ("channel-fcm", format!("project = \"shop\"\nbase-url = \"{base}\"\n"), "token-1".to_owned()),
        (
            "channel-sms",
            format!("account-sid = \"AC1\"\nbase-url = \"{base}\"\nsenders = [\"+49=Shop\"]\n"),
            "+49 151 2345678".to_owned(),
        ),
        ("channel-slack", String::new(), base.clone()),
        ("channel-ntfy", format!("server = \"http://{}\"\n", peer.host()), "prices".to_owned()),
    ];
    for (at, (channel, settings, address)) in cases.into_iter().enumerate() {
        let (_folder, home) = home(channel, &format!("{listing}{settings}"));
        let engine = home.start().unwrap();
        join(&home, &engine, "ann", channel, &address);
        assert_eq!(post(&engine, &update()), 1, "{channel}");
        let record = &arrived(&peer, at + 1)[at];
        let body = record["body"].as_str().unwrap();
        let body = body.replace('+', " ").replace("%24", "$");
        assert!(body.contains("Red shoes") && body.contains("$79.90"), "{channel}: {body}");
        let delivered = format!("pricedrop_deliveries_total{{channel=\"{channel}\",outcome=\"delivered\"}}");
        wait_for("the confirmation", || (metric(&engine, &delivered) == 1).then_some(())).unwrap();
    }
    let sms = &peer.records()[1];
    assert_eq!(sms["path"], "/ok/2010-04-01/Accounts/AC1/Messages.json");
    assert!(sms["body"].as_str().unwrap().contains("To=%2B491512345678"), "{sms}");
}

#[test]
fn a_preview_prints_the_message_in_the_recipients_language_without_an_engine() {
    let (_folder, home) = home("channel-email", "");
    let german = run_cli(&home, &["plugin", "preview", "--channel", "channel-email", "--locale", "de-CH"]);
    assert!(german.contains("Subject: Price drop: Red shoes <1> jetzt $ 79.90"), "{german}");
    assert!(german.contains("Red shoes &lt;1&gt;</a> kostet jetzt"), "{german}");
    let digest = run_cli(&home, &["plugin", "preview", "--channel", "channel-email", "--items", "3"]);
    assert!(digest.contains("3 prices dropped"), "{digest}");
    let none = home.command(&["plugin", "preview", "--channel", "channel-nothing"]).output().unwrap();
    assert!(!none.status.success());
}

//! The mail channel, over STARTTLS and AUTH.

use pricedrop_harness::peers::Peer;
use pricedrop_harness::{Home, wait_for};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{self, arrived, dead_letters, join, post, run_cli};

const CHANNEL: &str = "channel-email";

/// Creates a home whose mail goes to this server.
fn home(peer: &Peer) -> (TempDir, Home) {
    let sidecar = format!(
        r#"
        [mail]
        from = "Price drops <alerts@shop.test>"
        host = "localhost"
        port = {}
        username = "shop"
        password = {{ env = "SMTP_PASSWORD" }}
        ca_file = {}
        "#,
        peer.port, peer.hello["ca"],
    );
    let (folder, mut home) = support::home(CHANNEL, &sidecar);
    home.environment.push(("SMTP_PASSWORD".into(), "s3cret".into()));
    (folder, home)
}

fn server() -> Peer {
    Peer::smtp(&["--auth", "shop:s3cret"]).unwrap()
}

fn header<'a>(mail: &'a Value, name: &str) -> Option<&'a str> {
    let mut headers = mail["headers"].as_array().unwrap().iter();
    headers.find(|header| header[0] == name).and_then(|header| header[1].as_str())
}

/// Returns the plain text and the HTML of a mail.
fn parts(mail: &Value) -> (&str, &str) {
    let part = |kind: &str| {
        let mut parts = mail["parts"].as_array().unwrap().iter();
        parts.find(|part| part[0] == kind).unwrap()[1].as_str().unwrap()
    };
    (part("text/plain"), part("text/html"))
}

#[test]
fn a_posted_price_reaches_the_mailbox() {
    let peer = server();
    let (_folder, home) = home(&peer);
    let engine = home.start().unwrap();
    join(&home, &engine, "ann", CHANNEL, "ann@example.test");
    assert_eq!(post(&engine, &json!({"productId": "P7", "newPrice": 95})), 0);
    let link = "https://shop.example/p/7?a=1&b=2";
    assert_eq!(
        post(&engine, &json!({"productId": "P7", "newPrice": 79.9, "title": "Schuhe für Ann", "url": link})),
        1
    );
    let mail = &arrived(&peer, 1)[0];
    assert_eq!((&mail["from"], &mail["to"]), (&json!("alerts@shop.test"), &json!(["ann@example.test"])));
    assert_eq!((&mail["user"], &mail["tls"]), (&json!("shop"), &json!(true)));
    assert_eq!(header(mail, "From"), Some("Price drops <alerts@shop.test>"));
    assert_eq!(header(mail, "Subject"), Some("Price drop: Schuhe für Ann now $79.90"));
    let (text, html) = parts(mail);
    let told =
        "Schuhe für Ann now costs $79.90.\nYou asked to be told at $80.00 or less.\nIt cost $95.00 before.\n";
    assert!(text.replace("\r\n", "\n").starts_with(&format!("{told}\n{link}\n")), "{text}");
    let anchor = "<a href=\"https://shop.example/p/7?a=1&amp;b=2\">Schuhe für Ann</a> now costs <strong>$79.90</strong>";
    assert!(html.contains(anchor), "{html}");
}

#[test]
fn hostile_titles_and_links_stay_harmless() {
    let peer = server();
    let (_folder, home) = home(&peer);
    let engine = home.start().unwrap();
    join(&home, &engine, "ann", CHANNEL, "ann@example.test");
    let title = "Shoes\r\nBcc: eve@example.test\r\n\r\n<script>alert(1)</script>\r\n.\r\nMAIL FROM:<eve@example.test>";
    let update = json!({"productId": "P7", "newPrice": 79, "title": title, "url": "javascript:alert(document.cookie)"});
    assert_eq!(post(&engine, &update), 1);
    let mails = arrived(&peer, 1);
    assert_eq!(mails.len(), 1);
    let mail = &mails[0];
    assert_eq!(mail["to"], json!(["ann@example.test"]), "nobody else gets it");
    assert_eq!(header(mail, "Bcc"), None);
    let subject = header(mail, "Subject").unwrap();
    assert!(subject.starts_with("Price drop: Shoes Bcc: eve@example.test <script>"), "{subject}");
    let (text, html) = parts(mail);
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{html}");
    for wrong in ["<script", "javascript:", "href"] {
        assert!(!html.contains(wrong), "{html}");
    }
    assert!(!text.contains("javascript:"), "{text}");
    assert!(text.lines().next().unwrap().ends_with("now costs $79.00."), "the title is one line: {text}");
}

#[test]
fn a_busy_server_gets_the_mail_at_a_later_attempt() {
    let peer = server();
    let (_folder, home) = home(&peer);
    let engine = home.start().unwrap();
    join(&home, &engine, "bob", CHANNEL, "busy-3-bob@example.test");
    assert_eq!(post(&engine, &json!({"productId": "P7", "newPrice": 79})), 1);
    assert_eq!(arrived(&peer, 1)[0]["to"], json!(["busy-3-bob@example.test"]));
    assert_eq!(dead_letters(&home, 0), [] as [Value; 0]);
}

#[test]
fn a_refused_mail_becomes_a_dead_letter_and_arrives_after_a_replay() {
    let peer = server();
    let (_folder, home) = home(&peer);
    let engine = home.start().unwrap();
    join(&home, &engine, "cyd", CHANNEL, "moving-2-cyd@example.test");
    assert_eq!(post(&engine, &json!({"productId": "P7", "newPrice": 79})), 1);

    let item = &dead_letters(&home, 1)[0];
    let id = item["id"].as_str().unwrap();
    let line = run_cli(&home, &["dlq", "list"]);
    assert!(line.contains("P7 to cyd by channel-email"), "{line}");
    assert!(line.contains("bad recipient") && line.contains("no such mailbox yet"), "{line}");
    let shown = run_cli(&home, &["dlq", "show", id]);
    assert!(shown.contains("moving-2-cyd@example.test") && shown.contains("channel-email@"), "{shown}");

    // It is refused again, and becomes a dead letter again.
    run_cli(&home, &["dlq", "replay", id]);
    let again = wait_for("the dead letter to come back", || {
        dead_letters(&home, 0).into_iter().find(|again| again["id"] != item["id"])
    });
    let again = again.unwrap();
    let again = again["id"].as_str().unwrap();
    assert_eq!(peer.records(), [] as [Value; 0]);
    run_cli(&home, &["dlq", "replay", again]);
    assert_eq!(arrived(&peer, 1)[0]["to"], json!(["moving-2-cyd@example.test"]));
    assert_eq!(dead_letters(&home, 0), [] as [Value; 0]);
}

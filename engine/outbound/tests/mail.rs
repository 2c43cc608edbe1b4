//! Mails to a real SMTP server with STARTTLS and AUTH, which also injects faults.
#![allow(clippy::unwrap_used)]

mod rig;

use pricedrop_model::channel::{Access, Mail, MailAccount, MailTls, Outgoing, Reply, Secret, SendError};
use pricedrop_outbound::Outbound;
use rig::{Peer, TIMEOUT_MS, mail, outbound, send};

const AUTH: [&str; 2] = ["--auth", "shop:s3cret"];

/// Returns an access with the account of the peer, and this password in a file.
fn access(peer: &Peer, password: &str) -> Access {
    let path = peer.folder().join("password");
    std::fs::write(&path, password).unwrap();
    let account = MailAccount {
        from: "Price drops <alerts@shop.test>".into(),
        host: "localhost".into(),
        hello: None,
        port: peer.port,
        tls: MailTls::Starttls,
        username: Some("shop".into()),
        password: Some(Secret::File(path)),
        ca_file: Some(peer.hello["ca"].as_str().unwrap().into()),
        dkim: None,
    };
    Access { mail: Some(account), ..Access::default() }
}

async fn post(outbound: &Outbound, access: &Access, to: &str) -> Result<Reply, SendError> {
    send(outbound, access, to, Outgoing::Mail(mail())).await
}

fn code(reply: Result<Reply, SendError>) -> u16 {
    match reply.unwrap() {
        Reply::Smtp(code, _) => code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_mail_goes_through_starttls_and_auth_and_arrives_as_written() {
    let peer = Peer::smtp(&AUTH).unwrap();
    let (outbound, access) = (outbound(), access(&peer, "s3cret"));
    let written = Mail {
        html: Some("<b>79,90</b>".into()),
        headers: vec![("List-Unsubscribe".into(), "<https://shop.test/u>".into())],
        ..mail()
    };
    let reply = send(&outbound, &access, "ann@example.test", Outgoing::Mail(written)).await;
    assert_eq!(code(reply), 250);
    let record = &peer.records()[0];
    assert_eq!(record["from"], "alerts@shop.test");
    assert_eq!(record["to"][0], "ann@example.test");
    assert_eq!((&record["user"], &record["tls"]), (&"shop".into(), &true.into()));
    let header = |name: &str| {
        let headers = record["headers"].as_array().unwrap();
        let found: Vec<_> =
            headers.iter().filter(|header| header[0] == name).map(|header| &header[1]).collect();
        assert_eq!(found.len(), 1, "{name}");
        found[0].as_str().unwrap().to_owned()
    };
    assert_eq!(header("Subject"), "Schuhe für 79,90");
    assert_eq!(header("To"), "ann@example.test");
    assert_eq!(header("List-Unsubscribe"), "<https://shop.test/u>");
    assert!(header("Message-ID").ends_with("@shop.test>"));
    assert!(!header("Date").is_empty());
    assert_eq!(record["parts"][0][0], "text/plain");
    assert_eq!(record["parts"][1][1].as_str().unwrap().trim(), "<b>79,90</b>");
}

#[tokio::test]
async fn a_title_that_looks_like_an_encoded_word_is_shown_as_it_is() {
    let peer = Peer::smtp(&AUTH).unwrap();
    let (outbound, access) = (outbound(), access(&peer, "s3cret"));
    let long = format!("=?utf-8?q?{}?= \u{1f45f}", "\u{1f45f}x".repeat(40));
    let titles = [
        "=?utf-8?q?fake?=",
        "Shoes =?UTF-8?B?ZmFrZQ==?= now 79.90",
        "=?utf-8?q?fake f\u{fc}r 79,90",
        "=?utf-8?q?two words?=",
        "a=?b and ?=",
        "=?=?=?",
        long.as_str(),
    ];
    for title in titles {
        let headers = vec![("X-Title".into(), title.chars().take(100).collect::<String>())];
        let written = Mail { subject: title.into(), headers, ..mail() };
        let reply = send(&outbound, &access, "ann@example.test", Outgoing::Mail(written)).await;
        assert_eq!(code(reply), 250, "{title}");
    }
    for (record, title) in peer.records().iter().zip(titles) {
        let headers = record["headers"].as_array().unwrap();
        let header = |name: &str| headers.iter().find(|header| header[0] == name).unwrap()[1].clone();
        assert_eq!(header("Subject"), title);
        assert_eq!(header("X-Title"), title.chars().take(100).collect::<String>());
    }
    assert_eq!(peer.records().len(), titles.len());
}

#[tokio::test]
async fn a_wrong_password_is_a_temporary_failure_until_the_file_is_corrected() {
    let peer = Peer::smtp(&AUTH).unwrap();
    let (outbound, wrong) = (outbound(), access(&peer, "wrong"));
    let Ok(Reply::Unanswered(reason)) = post(&outbound, &wrong, "ann@example.test").await else { panic!() };
    assert!(reason.contains("535") && !reason.contains("wrong"), "{reason}");
    let mended = access(&peer, "s3cret");
    assert_eq!(mended, wrong);
    assert_eq!(code(post(&outbound, &mended, "ann@example.test").await), 250);
    assert_eq!(peer.records().len(), 1);
}

#[tokio::test]
async fn refusals_keep_their_codes_and_the_next_mail_is_sent() {
    let peer = Peer::smtp(&AUTH).unwrap();
    let (outbound, access) = (outbound(), access(&peer, "s3cret"));
    for (to, expected) in [
        ("busy-1-a@example.test", 451),
        ("busy-1-a@example.test", 250),
        ("full@example.test", 452),
        ("nobody@example.test", 550),
        ("refused@example.test", 554),
        ("closing@example.test", 421),
        ("ann@example.test", 250),
    ] {
        assert_eq!(code(post(&outbound, &access, to).await), expected, "{to}");
    }
    assert_eq!(peer.records().len(), 2);
}

#[tokio::test]
async fn a_connection_that_hangs_or_drops_is_a_temporary_failure_and_is_not_reused() {
    let peer = Peer::smtp(&AUTH).unwrap();
    let (outbound, access) = (outbound(), access(&peer, "s3cret"));
    for to in ["drop@example.test", "hang@example.test"] {
        let started = std::time::Instant::now();
        let reply = post(&outbound, &access, to).await;
        assert!(matches!(reply, Ok(Reply::Unanswered(_))), "{to}: {reply:?}");
        assert!(started.elapsed().as_millis() < u128::from(TIMEOUT_MS) * 2);
        assert_eq!(code(post(&outbound, &access, "ann@example.test").await), 250, "after {to}");
    }
    assert_eq!(peer.records().len(), 2);
}

#[tokio::test]
async fn many_mails_share_a_few_connections() {
    let peer = Peer::smtp(&AUTH).unwrap();
    let (outbound, access) = (outbound(), access(&peer, "s3cret"));
    for round in 0..3 {
        let mails = (0..8).map(|_| post(&outbound, &access, "ann@example.test"));
        let replies = futures::future::join_all(mails).await;
        assert!(replies.into_iter().all(|reply| code(reply) == 250), "round {round}");
    }
    assert_eq!(peer.records().len(), 24);
}

#[tokio::test]
async fn without_starttls_or_a_trusted_certificate_nothing_is_sent() {
    let peer = Peer::smtp(&["--no-starttls"]).unwrap();
    let reply = post(&outbound(), &access(&peer, "s3cret"), "ann@example.test").await;
    assert!(matches!(&reply, Ok(Reply::Unanswered(reason)) if reason.contains("STARTTLS")), "{reply:?}");
    assert!(peer.records().is_empty());

    let peer = Peer::smtp(&AUTH).unwrap();
    let mut untrusting = access(&peer, "s3cret");
    untrusting.mail.as_mut().unwrap().ca_file = None;
    let reply = post(&outbound(), &untrusting, "ann@example.test").await;
    assert!(matches!(reply, Ok(Reply::Unanswered(_))), "{reply:?}");
    assert!(peer.records().is_empty());
}

#[tokio::test]
async fn an_address_cannot_inject_an_smtp_command() {
    let peer = Peer::smtp(&AUTH).unwrap();
    let access = access(&peer, "s3cret");
    for to in ["ann@example.test>\r\nRCPT TO:<all@example.test", "ann", "", "a@b@c", "Ann <ann@example.test>"]
    {
        let reply = post(&outbound(), &access, to).await;
        assert!(matches!(reply, Err(SendError::BadRecipient(_))), "{to:?}: {reply:?}");
    }
    assert!(peer.records().is_empty());
}

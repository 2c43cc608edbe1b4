//! Replies of mail servers that are unusual and valid, or broken and clear.
#![allow(clippy::unwrap_used)]

mod rig;

use pricedrop_model::channel::{MailTls, Outgoing, Reply, SendError};
use rig::script::{Replies, Script};
use rig::{mail, outbound, send};

async fn reply_with(replies: Replies, to: &str) -> (Script, Result<Reply, SendError>) {
    let server = Script::start(replies).await;
    let reply = send(&outbound(), &server.access(), to, Outgoing::Mail(mail())).await;
    (server, reply)
}

fn code(reply: &Result<Reply, SendError>) -> u16 {
    match reply {
        Ok(Reply::Smtp(code, _)) => *code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_code_of_a_reply_decides_whatever_text_follows() {
    let long = [b"550 ".as_slice(), &[b'x'; 5_000], b"\r\n"].concat();
    let many = [b"250-line\r\n".repeat(500), b"250 end\r\n".to_vec()].concat();
    for (command, reply, expected) in [
        (".", b"250\r\n".to_vec(), 250),
        (".", b"250 \r\n".to_vec(), 250),
        (".", b"250-2.0.0 queued\r\n250\r\n".to_vec(), 250),
        (".", many, 250),
        (".", b"250 accept\xe9\n".to_vec(), 250),
        ("RCPT", b"550 Bo\xeete inconnue\r\n".to_vec(), 550),
        ("RCPT", b"550\r\n".to_vec(), 550),
        ("RCPT", b"550-5.1.1 no\r\n550-\xff\r\n550 such box\r\n".to_vec(), 550),
        ("RCPT", b"571 5.7.1 not authorized\r\n".to_vec(), 571),
        ("RCPT", long, 550),
        ("MAIL", b"451\r\n".to_vec(), 451),
        ("<", b"220\r\n".to_vec(), 250),
        ("EHLO", b"250\r\n".to_vec(), 250),
        ("DATA", b"354\r\n".to_vec(), 250),
        ("DATA", b"554 \x80\r\n".to_vec(), 554),
    ] {
        let shown = String::from_utf8_lossy(&reply).into_owned();
        let (_, reply) = reply_with(vec![(command, reply)], "ann@example.test").await;
        assert_eq!(code(&reply), expected, "{command}: {shown:?}");
    }
}

#[tokio::test]
async fn after_an_endless_reply_the_connection_is_not_reused() {
    let endless = [b"250 ".as_slice(), &[b'x'; 300_000]].concat();
    let server = Script::start(vec![(".", endless)]).await;
    let outbound = outbound();
    for _ in 0..2 {
        let reply = send(&outbound, &server.access(), "ann@example.test", Outgoing::Mail(mail())).await;
        assert_eq!(code(&reply), 250);
    }
    assert_eq!(server.commands("EHLO").len(), 2);
}

#[tokio::test]
async fn a_reply_without_a_code_is_a_temporary_failure_that_shows_it() {
    let (_, reply) = reply_with(vec![("RCPT", b"HTTP/1.1 400 Bad Request\r\n".to_vec())], "a@b.test").await;
    assert!(matches!(&reply, Ok(Reply::Unanswered(reason)) if reason.contains("HTTP/1.1 400")), "{reply:?}");
}

#[tokio::test]
async fn a_domain_outside_ascii_is_sent_in_its_ascii_form() {
    for to in ["info@b\u{fc}cher.example", "info@B\u{dc}CHER.example", "info@b\u{fc}cher\u{3002}example"] {
        let (server, reply) = reply_with(Vec::new(), to).await;
        assert_eq!(code(&reply), 250, "{to}");
        assert_eq!(server.commands("MAIL"), ["MAIL FROM:<alerts@shop.test>"]);
        assert_eq!(server.commands("RCPT"), ["RCPT TO:<info@xn--bcher-kva.example>"]);
    }
}

#[tokio::test]
async fn an_address_that_the_server_cannot_send_to_is_a_bad_recipient_and_the_connection_stays() {
    let server = Script::start(Vec::new()).await;
    let outbound = outbound();
    for to in [
        "jos\u{e9}@example.com",
        "\u{43f}\u{43e}\u{447}\u{442}\u{430}@\u{43f}\u{440}\u{438}\u{43c}\u{435}\u{440}.\u{440}\u{444}",
    ] {
        let reply = send(&outbound, &server.access(), to, Outgoing::Mail(mail())).await;
        assert!(
            matches!(&reply, Err(SendError::BadRecipient(reason)) if reason.contains("SMTPUTF8")),
            "{reply:?}"
        );
    }
    let reply = send(&outbound, &server.access(), "ann@example.test", Outgoing::Mail(mail())).await;
    assert_eq!(code(&reply), 250);
    assert_eq!(server.commands("EHLO").len(), 1);
    assert_eq!(server.commands("RCPT"), ["RCPT TO:<ann@example.test>"]);
}

#[tokio::test]
async fn a_server_with_smtputf8_gets_the_address_as_it_is() {
    let offers = b"250-mx.test\r\n250-8BITMIME\r\n250 smtputf8\r\n".to_vec();
    let (server, reply) = reply_with(vec![("EHLO", offers)], "jos\u{e9}@b\u{fc}cher.example").await;
    assert_eq!(code(&reply), 250);
    assert!(server.commands("MAIL")[0].starts_with("MAIL FROM:<alerts@shop.test> SMTPUTF8"));
    assert_eq!(server.commands("RCPT"), ["RCPT TO:<jos\u{e9}@xn--bcher-kva.example>"]);
}

#[tokio::test]
async fn the_sidecar_names_the_engine_and_a_refusal_shows_the_words_of_the_server() {
    let refusal = b"504-5.5.2 <laptop>: Helo command rejected:\r\n504 need fully-qualified hostname\r\n";
    let server = Script::start(vec![("EHLO laptop", refusal.to_vec())]).await;
    let mut access = server.access();
    let mut post = async |hello: &str| {
        access.mail.as_mut().unwrap().hello = Some(hello.into());
        send(&outbound(), &access, "ann@example.test", Outgoing::Mail(mail())).await
    };
    let refused = post("laptop").await;
    let words = "EHLO: 504 5.5.2 <laptop>: Helo command rejected: need fully-qualified hostname";
    assert!(matches!(&refused, Ok(Reply::Unanswered(reason)) if reason.contains(words)), "{refused:?}");
    assert_eq!(code(&post("mail.shop.test").await), 250);
    assert_eq!(code(&post("[192.0.2.1]").await), 250);
    assert_eq!(server.commands("EHLO")[1..], ["EHLO mail.shop.test", "EHLO [192.0.2.1]"]);
    assert!(matches!(post("shop test").await, Err(SendError::Refused(reason)) if reason.contains("hello")));
}

#[tokio::test]
async fn a_reply_that_no_command_asked_for_ends_the_connection_and_is_nobody_elses() {
    let extra = b"250 accepted\r\n550 5.1.1 no such user\r\n".to_vec();
    let server = Script::start(vec![(".", extra)]).await;
    let outbound = outbound();
    for _ in 0..2 {
        let reply = send(&outbound, &server.access(), "ann@example.test", Outgoing::Mail(mail())).await;
        assert_eq!(code(&reply), 250);
    }
    assert_eq!(server.commands("EHLO").len(), 2);
    for command in ["<", "EHLO", "MAIL", "RCPT"] {
        let usual = if command == "<" { "220 mx.test\r\n" } else { "250 ok\r\n" };
        let twice = [usual, "250 more\r\n"].concat().into_bytes();
        let (server, reply) = reply_with(vec![(command, twice)], "ann@example.test").await;
        assert!(
            matches!(&reply, Ok(Reply::Unanswered(reason)) if reason.contains("no command asked for")),
            "{command}: {reply:?}"
        );
        assert_eq!(server.commands("DATA").len(), 0, "{command}");
    }
}

#[tokio::test]
async fn what_is_sent_before_the_encryption_begins_ends_the_connection() {
    let offer = b"250-mx.test\r\n250 STARTTLS\r\n".to_vec();
    let injected = b"220 go on\r\n250-mx.test\r\n250 AUTH PLAIN\r\n".to_vec();
    let server = Script::start(vec![("EHLO", offer), ("STARTTLS", injected)]).await;
    let mut access = server.access();
    access.mail.as_mut().unwrap().tls = MailTls::Starttls;
    let reply = send(&outbound(), &access, "ann@example.test", Outgoing::Mail(mail())).await;
    assert!(
        matches!(&reply, Ok(Reply::Unanswered(reason)) if reason.contains("no command asked for")),
        "{reply:?}"
    );
}

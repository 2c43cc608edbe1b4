//! Tests that mistakes in a plugin's sidecar file are reported when the file is loaded: in its
//! hosts, credentials and mail account.
#![allow(clippy::unwrap_used)]

use pricedrop_model::channel::{Access, Credential, CredentialScheme, Dkim, MailAccount, MailTls, Secret};
use pricedrop_outbound::{Options, check};

fn account() -> MailAccount {
    MailAccount {
        from: "Prices <a@shop.test>".into(),
        host: "smtp.shop.test".into(),
        hello: None,
        port: 587,
        tls: MailTls::Starttls,
        username: None,
        password: None,
        ca_file: None,
        dkim: None,
    }
}

fn problem(change: impl FnOnce(&mut Access)) -> String {
    let mut access = Access { mail: Some(account()), ..Access::default() };
    change(&mut access);
    check(&access, &Options::default()).err().unwrap_or_default()
}

#[test]
fn every_mistake_in_a_sidecar_is_named_with_its_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "no certificate\n").unwrap();
    let mail = |access: &mut Access, change: fn(&mut MailAccount)| change(access.mail.as_mut().unwrap());
    let token = |secret| Credential {
        hosts: vec!["h.example".into()],
        scheme: CredentialScheme::Bearer { token: secret },
    };
    assert_eq!(problem(|_| ()), "");
    for (problem, words) in [
        (problem(|access| mail(access, |mail| mail.from = "Acme, Prices <a@shop.test>".into())), "in quotes"),
        (problem(|access| mail(access, |mail| mail.hello = Some("a b".into()))), "hello"),
        (
            problem(|access| mail(access, |mail| mail.ca_file = Some("/no/such.pem".into()))),
            "ca_file /no/such.pem",
        ),
        (
            problem(|access| access.mail.as_mut().unwrap().ca_file = Some(empty.clone())),
            "there is no certificate in it",
        ),
        (
            problem(|access| mail(access, |mail| mail.password = Some(Secret::File("/no/such".into())))),
            "mail: password: /no/such",
        ),
        (
            problem(|access| {
                let key = Secret::File("/no/such.pem".into());
                let dkim = Dkim { domain: "shop.test".into(), selector: "prices".into(), key };
                access.mail.as_mut().unwrap().dkim = Some(dkim);
            }),
            "mail: dkim.key: /no/such.pem",
        ),
        (problem(|access| access.hosts = vec!["https://h.example".into()]), "without a scheme"),
        (
            problem(|access| {
                let secret = Secret::Env("PRICEDROP_TEST_NOT_SET".into());
                access.credentials.insert("hook".into(), token(secret));
            }),
            "credential hook: token: the environment variable PRICEDROP_TEST_NOT_SET is not set; provide it",
        ),
        (
            problem(|access| {
                let secret = Secret::File(empty.with_file_name("missing"));
                access.credentials.insert("hook".into(), token(secret));
            }),
            "provide it, or correct the sidecar",
        ),
    ] {
        assert!(problem.contains(words), "{words}: {problem}");
    }
}

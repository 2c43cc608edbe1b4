//! The channel contract through the real host: digests, unsubscribe links and callbacks reach the
//! plugin unchanged, and templates are files of the channel.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;

use common::{Place, built, eventually, fixture, problem};
use pricedrop_host::{AccessCheck, Host, Limits};
use pricedrop_model::channel::{
    Answer, CallbackOutcome, CallbackRequest, Channel, Classification, Item, Mail, Message, Money, Outgoing,
    Reason, Received, Recipient, Reply, Scope,
};
use pricedrop_model::plugin::Plugins;
use pricedrop_model::{Currency, Price, UserId};
use std::sync::Arc;

fn item(product: &str, price: &str) -> Item {
    let amount = Price::parse(price).unwrap();
    Item {
        notification: format!("n-{product}"),
        product: product.into(),
        new_price: Money { amount, currency: Currency::USD, text: format!("${price}") },
        watch_price: None,
        previous_price: None,
        occurred_ms: None,
        attributes: Vec::new(),
    }
}

fn message(locale: &str, items: Vec<Item>) -> Message {
    Message {
        key: "k1:digest".into(),
        attempt: 1,
        reason: if items.len() > 1 { Reason::Digest } else { Reason::PriceDrop },
        to: Recipient {
            user_id: UserId::new("ann").unwrap(),
            channel: "channel".into(),
            address: "ann@example.com".into(),
            locale: Some(locale.into()),
            attributes: Vec::new(),
        },
        items,
        unsubscribe_url: Some("https://prices.example/u/t0k3n".into()),
        callback_url: Some("https://prices.example/callbacks/t0k3n".into()),
        collapse_key: Some("P1".into()),
        expires_ms: Some(1_700_000_600_000),
        sent_ms: 1_700_000_000_000,
        attributes: vec![("strategy".into(), "first".into())],
    }
}

fn mail(channel: &Arc<dyn Channel>, message: &Message) -> Mail {
    match channel.render(std::slice::from_ref(message)).remove(0).unwrap().unwrap() {
        Outgoing::Mail(mail) => mail,
        other => panic!("no mail: {other:?}"),
    }
}

fn contract(place: &Place) -> Host {
    place.put_plugin("channel", &fixture("channel-contract"));
    place.host()
}

#[test]
fn a_digest_with_its_links_reaches_the_channel_unchanged() {
    let place = Place::new();
    let host = contract(&place);
    let channel = host.channel("channel").unwrap();
    assert_eq!(channel.address_kind(), "contract");
    let digest = message("en", vec![item("P1", "79.90"), item("P2", "5"), item("P3", "0.01")]);
    let text = mail(&channel, &digest).text;
    for line in [
        "reason digest",
        "item P1 $79.90",
        "item P2 $5",
        "item P3 $0.01",
        "unsubscribe https://prices.example/u/t0k3n",
        "callback https://prices.example/callbacks/t0k3n",
        "collapse P1",
        "expires 1700000600000",
        "message.strategy first",
    ] {
        assert!(text.lines().any(|it| it == line), "{line:?} is not in:\n{text}");
    }
}

#[test]
fn a_callback_becomes_events_a_challenge_or_an_error() {
    let place = Place::new();
    let host = contract(&place);
    let channel = host.channel("channel").unwrap();
    let receive = |body: &str| {
        let request = CallbackRequest {
            key: "k1".into(),
            query: Vec::new(),
            headers: vec![("content-type".into(), "text/plain".into())],
            body: body.as_bytes().to_vec(),
            received_ms: 1_700_000_000_000,
        };
        channel.receive(&request).unwrap()
    };
    let Ok(Received::Events(events)) = receive("bounced-hard bob@example.com e1\ndelivered - e2") else {
        panic!("two events were reported");
    };
    assert_eq!(events[0].outcome, CallbackOutcome::BouncedHard);
    assert_eq!(events[0].address.as_deref(), Some("bob@example.com"));
    assert_eq!((events[1].outcome, events[1].address.as_deref()), (CallbackOutcome::Delivered, None));
    assert_eq!(receive("challenge 42"), Ok(Received::Challenge("42".into())));
    assert!(receive("what is this").is_err());
    // A channel without callbacks returns an error, and continues to serve.
    place.put_plugin("channel", &built("channel-console"));
    host.reload();
    let console = host.channel("channel").unwrap();
    let nothing = CallbackRequest {
        key: String::new(),
        query: Vec::new(),
        headers: Vec::new(),
        body: Vec::new(),
        received_ms: 0,
    };
    assert_eq!(console.receive(&nothing).unwrap(), Err("the channel does not export callbacks".into()));
}

#[test]
fn replies_are_classified_in_order_with_scope_and_time() {
    let place = Place::new();
    let host = contract(&place);
    let channel = host.channel("channel").unwrap();
    let message = message("en", vec![item("P1", "1")]);
    let replies = ["delivered m-1", "provider 7000", "bad-recipient 1699999999000", "what"]
        .map(|body| Reply::Http { status: 200, headers: Vec::new(), body: body.into(), truncated: false });
    let answers: Vec<Answer<'_>> =
        replies.iter().map(|reply| Answer { message: &message, reply, step: 0 }).collect();
    let classified: Vec<Classification> =
        channel.classify(&answers).into_iter().map(Result::unwrap).collect();
    assert_eq!(classified[0], Classification::Delivered(Some("m-1".into())));
    assert!(matches!(
        classified[1],
        Classification::Temporary { retry_after_ms: Some(7_000), scope: Scope::Provider, .. }
    ));
    assert!(matches!(classified[2], Classification::BadRecipient { since_ms: Some(1_699_999_999_000), .. }));
    assert_eq!(classified[3], Classification::Standard);
}

#[test]
fn addresses_are_answered_in_their_canonical_form() {
    let place = Place::new();
    place.put_plugin("channel", &built("channel-email"));
    let host = place.host();
    let channel = host.channel("channel").unwrap();
    let answers = channel.normalize(&[" Ann@Example.COM ".into(), "ann".into()]);
    let answers: Vec<Result<String, String>> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers[0], Ok("Ann@example.com".into()));
    assert!(answers[1].as_ref().is_err_and(|reason| reason.contains("not a mail address")), "{answers:?}");
}

/// Writes a template as an editor does, into the folder of a plugin.
fn put_template(place: &Place, stem: &str, name: &str, text: &str) {
    let folder = place.file(&format!("{stem}.d"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), text).unwrap();
}

fn subject(host: &Host, locale: &str) -> String {
    mail(&host.channel("channel").unwrap(), &message(locale, vec![item("P1", "79.90")])).subject
}

#[test]
fn an_edited_template_is_used_without_a_rebuild_and_a_broken_one_is_refused() {
    let place = Place::new();
    place.put_plugin("channel", &built("channel-email"));
    let host = place.host();
    let _watching = host.watch().unwrap();
    assert_eq!(subject(&host, "de-CH"), "Price drop: P1 jetzt $79.90");
    put_template(&place, "channel", "de-CH.subject", "{{ item.title }} nur {{ item.price }}");
    eventually("the new template serves", || subject(&host, "de-CH") == "P1 nur $79.90");
    assert_eq!(subject(&host, "de-AT"), "Price drop: P1 jetzt $79.90", "the language is the fallback");
    assert_eq!(subject(&host, "fr"), "Price drop: P1 now $79.90", "and then the default");
    for (text, wanted) in [
        ("{{ item.titel }}", "template de-CH.subject: with sample data: line 1"),
        ("{% for x in items %}", "template de-CH.subject: line 1: syntax error"),
        ("{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}", "takes too long"),
    ] {
        put_template(&place, "channel", "de-CH.subject", text);
        eventually(wanted, || problem(&host, "channel").contains(wanted));
        assert_eq!(subject(&host, "de-CH"), "P1 nur $79.90", "the previous set keeps serving");
    }
    fs::remove_dir_all(place.file("channel.d")).unwrap();
    eventually("the defaults serve again", || subject(&host, "de-CH") == "Price drop: P1 jetzt $79.90");
    assert_eq!(problem(&host, "channel"), "");
}

#[test]
fn a_broken_template_does_not_leave_a_restarted_engine_without_its_channel() {
    let place = Place::new();
    place.put_plugin("channel", &built("channel-email"));
    put_template(&place, "channel", "en.subject", "{{ item.title }} for {{ item.price }}");
    let host = place.host();
    assert_eq!(subject(&host, "en"), "P1 for $79.90");
    drop(host);
    put_template(&place, "channel", "en.subject", "{{ nothing }}");
    let host = place.host();
    assert_eq!(subject(&host, "en"), "P1 for $79.90", "the last good set serves, its templates included");
    assert!(problem(&host, "channel").contains("template en.subject"), "{}", problem(&host, "channel"));
}

#[test]
fn a_template_with_a_wrong_name_or_beside_another_kind_is_refused() {
    let place = Place::new();
    place.put_plugin("channel", &built("channel-email"));
    put_template(&place, "channel", "subject", "x");
    let host = place.host();
    let said = problem(&host, "channel");
    assert!(said.contains("channel.d/subject: is not named <locale>.<part>"), "{said}");
    let place = Place::new();
    place.put_floor("floor", "10");
    put_template(&place, "floor", "en.subject", "x");
    let error = place.options().build().map(|host| problem(&host, "floor"));
    let said = error.unwrap_or_else(|error| error.to_string());
    assert!(said.contains("a bucketing plugin has no templates"), "{said}");
}

#[test]
fn a_sidecar_that_cannot_send_is_refused_until_what_it_names_exists() {
    let place = Place::new();
    let secret = place.root().join("secret");
    let (needed, mut options) = (secret.clone(), place.options());
    options.access_check =
        Some(AccessCheck::new(move |access| match access.hosts.iter().any(|host| host.contains("://")) {
            true => Err("hosts: write the name only".into()),
            false if access.mail.is_some() && !needed.exists() => Err("mail: there is no password".into()),
            false => Ok(()),
        }));
    place.put_plugin("hook", &built("channel-webhook"));
    place.put("hook.toml", "hosts = [\"h.example\"]\n");
    let host = options.clone().build().unwrap();
    let _watching = host.watch().unwrap();
    let hosts = |host: &Host| host.channel("hook").unwrap().access().hosts.clone();
    assert_eq!(problem(&host, "hook"), "");

    place.put("hook.toml", "hosts = [\"https://h.example\"]\n");
    eventually("it is refused", || {
        problem(&host, "hook").starts_with("hook.toml: hosts: write the name only; channel-webhook@")
    });
    assert_eq!(hosts(&host), ["h.example"], "the old one serves");
    let restarted = options.build().unwrap();
    assert_eq!(hosts(&restarted), ["h.example"], "also after a restart");
    assert!(problem(&restarted, "hook").contains("write the name only"));

    let mail = "hosts = [\"m.example\"]\n[mail]\nfrom = \"a@b.test\"\nhost = \"m\"\ntls = \"none\"\n";
    place.put("hook.toml", mail);
    eventually("its secret is missing", || problem(&host, "hook").contains("there is no password"));
    assert_eq!(hosts(&host), ["h.example"]);
    fs::write(&secret, "x").unwrap();
    eventually("it serves", || hosts(&host) == ["m.example"]);
    assert_eq!(problem(&host, "hook"), "");

    let report = |check: &AccessCheck| {
        pricedrop_host::check(&place.file("hook.wasm"), None, &Limits::default(), Some(check)).unwrap()
    };
    assert_eq!(report(&AccessCheck::new(|_| Ok(()))).problems, Vec::<String>::new());
    let problems = report(&AccessCheck::new(|_| Err("mail: no password".into()))).problems;
    assert_eq!(problems, ["hook.toml: mail: no password"]);
}

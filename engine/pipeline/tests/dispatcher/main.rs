//! The guarantees of the dispatcher, over in-memory stores and a sender that responds as each test says.
#![allow(clippy::unwrap_used)]

mod moves;
mod rig;

use pricedrop_model::dispatch::{
    Access, Claim, Classification, DeadWhat, Leases, RenderError, Reply, RetryQueue, SendError,
};
use pricedrop_model::{Clock, Currency, Evaluated, Price, ProductId, WallTime};
use pricedrop_pipeline::dispatcher::{BreakerState, FailingProvider, Options, replay};
use pricedrop_testing::channel::{FakeChannel, NEVER, http, post, trap};
use rig::{CHANNEL, LEASE_MS, Rig, key, notification, recipient};

#[test]
fn every_notification_reaches_every_address_once_and_its_offset_is_committed() {
    let rig = Rig::new(|_| Ok(http(200, &[])));
    rig.block_on(rig.stores_recipients(&[recipient("u1", "a"), recipient("u1", "b")]));
    rig.stores.notify((0..500).map(|n| notification(n, if n % 2 == 0 { "u1" } else { "u2" })));
    // A store takes a while to make writes durable; those that arrive meanwhile share the next call.
    rig.stores.set_delay_ms(3);
    let running = rig.start();
    rig.until("all offsets are committed", |rig| rig.stores.committed() == 500);
    running.stop().unwrap();
    let mut keys: Vec<_> = rig.sender.sent().into_iter().map(|sent| sent.key).collect();
    assert_eq!(keys.len(), 750);
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 750);
    assert!(keys.contains(&key(0, "b")) && keys.contains(&key(1, "u2")));
    assert!(rig.stores.calls() < 300, "{} calls for 750 deliveries", rig.stores.calls());
}

#[test]
fn a_crash_between_send_and_confirm_does_not_lose_the_alert_and_repeats_with_the_same_key() {
    let rig = Rig::new(|_| Ok(http(200, &[])));
    let stores = rig.stores.clone();
    rig.sender.answer(move |_| {
        stores.set_away(true);
        Ok(http(200, &[]))
    });
    rig.stores.notify([notification(1, "u1")]);
    let running = rig.start();
    rig.until("it is sent", |rig| rig.sender.sent().len() == 1);
    running.kill();
    assert_eq!(rig.stores.committed(), 0);

    rig.stores.set_away(false);
    rig.sender.answer(|_| Ok(http(200, &[])));
    let running = rig.start();
    rig.until("the dead one's lease is a retry", |rig| rig.stores.retries().len() == 1);
    rig.until("the retry is safe, so the offset is free", |rig| rig.stores.committed() == 1);
    assert_eq!(rig.sender.sent().len(), 1);
    rig.clock.advance(LEASE_MS);
    rig.until("it is confirmed", |rig| {
        rig.stores.claim_of(&key(1, "u1")) == Some(Claim::Delivered) && rig.stores.retries().is_empty()
    });
    running.stop().unwrap();
    let keys: Vec<_> = rig.sender.sent().into_iter().map(|sent| sent.key).collect();
    assert_eq!(keys, [key(1, "u1"), key(1, "u1")]);
}

#[test]
fn a_delivery_leased_by_another_worker_is_retried_when_the_lease_ends() {
    let rig = Rig::new(|_| Ok(http(200, &[])));
    let until = WallTime(rig.clock.now().0 + 5_000);
    let keys = [key(1, "u1")];
    rig.block_on(async { rig.stores.claim(&keys, rig.clock.now(), until).await.unwrap() });
    rig.stores.notify([notification(1, "u1")]);
    let running = rig.start();
    rig.until("it waits", |rig| rig.stores.retries().len() == 1);
    let retry = &rig.stores.retries()[0];
    assert_eq!((retry.due, retry.attempt), (until, 1));
    assert_eq!(rig.sender.sent(), []);
    rig.clock.advance(5_000);
    rig.until("it is delivered", |rig| rig.stores.claim_of(&keys[0]) == Some(Claim::Delivered));
    running.stop().unwrap();
}

#[test]
fn a_confirmed_delivery_is_not_sent_again() {
    let rig = Rig::new(|_| Ok(http(200, &[])));
    rig.block_on(async { rig.stores.confirm(&[key(1, "u1")], rig.clock.now()).await.unwrap() });
    rig.stores.notify([notification(1, "u1")]);
    let running = rig.start();
    rig.until("the offset is committed", |rig| rig.stores.committed() == 1);
    running.stop().unwrap();
    assert_eq!(rig.sender.sent(), []);
}

#[test]
fn offsets_never_pass_an_unfinished_notification() {
    let rig = Rig::new(|sent| match sent.address.as_str() {
        "slow" => Ok(Reply::Smtp(NEVER, String::new())),
        _ => Ok(http(200, &[])),
    });
    rig.stores.notify([notification(0, "u1"), notification(1, "slow")]);
    rig.stores.notify((2..50).map(|n| notification(n, "u1")));
    let running = rig.start();
    rig.until("the others are delivered", |rig| {
        rig.stores.claim_of(&key(49, "u1")) == Some(Claim::Delivered)
    });
    rig.until("the first is committed", |rig| rig.stores.committed() == 1);
    running.kill();
    assert_eq!(rig.stores.committed(), 1);
}

#[test]
fn an_open_breaker_delays_only_its_provider_until_a_trial_request_succeeds() {
    let rig = Rig::new(|sent| match sent.address.as_str() {
        "down" => Ok(Reply::Unanswered("connection refused".into())),
        _ => Ok(http(200, &[])),
    });
    rig.channel(FakeChannel {
        render: Box::new(|delivery| {
            Ok(Ok(post(&format!("https://{}.test/", delivery.to.address), &delivery.key)))
        }),
        ..FakeChannel::default()
    });
    rig.stores.notify((0..40).map(|n| notification(n, if n % 2 == 0 { "down" } else { "up" })));
    let running = rig.start();
    rig.until("the healthy provider got all", |rig| rig.delivered() == 20);
    rig.until("all of the failing one wait", |rig| rig.stores.retries().len() == 20);
    rig.until("what waits is safe", |rig| rig.stores.committed() == 40);
    let open = &rig.metrics.breakers()[..];
    let [FailingProvider { name, state: BreakerState::Open, reason }] = open else { panic!("{open:?}") };
    assert_eq!((name.as_str(), reason.as_str()), (&*format!("{CHANNEL} down.test"), "connection refused"));
    let tried = rig.sender.sent().iter().filter(|sent| sent.address == "down").count();
    assert!(tried <= 20, "{tried}");

    rig.sender.answer(|_| Ok(http(200, &[])));
    rig.until("the queue has drained", |rig| {
        rig.clock.advance(1_000);
        rig.delivered() == 40
    });
    assert_eq!(rig.metrics.breakers(), []);
    running.stop().unwrap();
}

#[test]
fn waiting_for_a_breaker_uses_up_no_attempt() {
    let rig = Rig::new(|_| Ok(http(503, &[])));
    rig.stores.notify((0..3).map(|n| notification(n, "u1")));
    let running =
        rig.start_with(Options { max_attempts: 3, breaker_threshold: 1, concurrency: 1, ..Rig::options() });
    rig.until("all wait", |rig| rig.stores.retries().len() == 3);
    let mut attempts: Vec<_> = rig.stores.retries().iter().map(|retry| retry.attempt).collect();
    attempts.sort();
    assert_eq!(attempts, [1, 1, 2]);
    running.stop().unwrap();
}

#[test]
fn retry_after_of_a_provider_is_honored() {
    let rig = Rig::new(|_| Ok(http(429, &[("retry-after", "120")])));
    rig.stores.notify([notification(1, "u1")]);
    let running = rig.start();
    rig.until("it waits", |rig| rig.stores.retries().len() == 1);
    let retry = &rig.stores.retries()[0];
    let wait = retry.due.0 - rig.clock.now().0;
    assert!((120_000..=121_000).contains(&wait), "{wait}");
    assert_eq!(retry.attempt, 2);
    rig.sender.answer(|_| Ok(http(200, &[])));
    rig.clock.advance(122_000);
    rig.until("it is delivered", |rig| rig.delivered() == 1);
    running.stop().unwrap();
}

#[test]
fn a_longer_retry_after_than_the_limit_waits_for_the_limit() {
    for (value, expected) in [
        ("3600", Some(3_600_000)),
        ("86400", Some(3_600_000)),
        ("18446744073709551", Some(3_600_000)),
        ("99999999999999999999999999", Some(3_600_000)),
        (" 7 ", Some(7_000)),
        ("Fri, 31 Dec 9999 23:59:59 GMT", Some(3_600_000)),
        ("-5", None),
        ("-86400", None),
        ("1.5", Some(2_000)),
        ("86400.5", Some(3_600_000)),
        ("", None),
    ] {
        let rig = Rig::new(move |_| Ok(http(429, &[("retry-after", value)])));
        rig.stores.notify([notification(1, "u1")]);
        let running = rig.start();
        rig.until("it waits", |rig| rig.stores.retries().len() == 1);
        let wait = rig.stores.retries()[0].due.0 - rig.clock.now().0;
        let allowed = match expected {
            Some(ms) => ms..=ms + 1_000,
            // A value that is neither seconds nor a date: the first backoff.
            None => 0..=1_000,
        };
        assert!(allowed.contains(&wait), "{value:?}: {wait}");
        running.stop().unwrap();
    }
}

#[test]
fn a_refused_recipient_never_opens_the_breaker_of_a_provider() {
    for reply in [
        || Ok(http(404, &[])),
        || Ok(http(410, &[])),
        || Ok(http(400, &[])),
        || Ok(http(422, &[])),
        || Ok(Reply::Smtp(550, "no such mailbox".into())),
        || Ok(Reply::Smtp(571, String::new())),
        || Err(SendError::BadRecipient("no SMTPUTF8".into())),
    ] {
        let rig = Rig::new(move |_| reply());
        rig.stores.notify((0..5).map(|n| notification(n, "u1")));
        let running = rig.start_with(Options { breaker_threshold: 1, ..Rig::options() });
        rig.until("all are dead", |rig| rig.stores.dead().len() == 5);
        assert_eq!(rig.metrics.breakers(), [], "{:?}", reply());
        running.stop().unwrap();
    }
}

#[test]
fn a_delivery_without_attempts_left_is_a_dead_letter_and_a_replay_delivers_it() {
    let rig = Rig::new(|_| Ok(http(500, &[])));
    rig.stores.notify([notification(1, "u1")]);
    let running = rig.start_with(Options { max_attempts: 3, breaker_threshold: 99, ..Rig::options() });
    rig.until("it is dead", |rig| {
        rig.clock.advance(1_000);
        !rig.stores.dead().is_empty()
    });
    rig.until("its entry is gone", |rig| rig.stores.retries().is_empty());
    let item = rig.stores.dead().remove(0);
    assert_eq!(item.reason, "all 3 attempts failed; the last error: HTTP 500");
    assert!(matches!(&item.what, DeadWhat::Delivery { plugin, .. } if plugin == "fake@1"));

    rig.sender.answer(|_| Ok(http(200, &[])));
    let stores = rig.stores.clone();
    rig.block_on(async { replay(&item, &*stores, &*stores, &*stores, rig.clock.now()).await.unwrap() });
    rig.until("it is delivered", |rig| rig.delivered() == 1 && rig.stores.dead().is_empty());
    running.stop().unwrap();
    assert!(rig.sender.sent().iter().all(|sent| sent.key == key(1, "u1")));
}

#[test]
fn permanent_failures_and_refusals_are_dead_letters_at_once() {
    let rig = Rig::new(|sent| match sent.address.as_str() {
        "gone" => Ok(http(410, &[])),
        "bad" => Ok(http(400, &[])),
        _ => Err(SendError::Refused("evil.test is not allowed".into())),
    });
    rig.channel(FakeChannel {
        render: Box::new(|delivery| match delivery.to.address.as_str() {
            "nowhere" => Ok(Err(RenderError::BadRecipient("no address".into()))),
            _ => Ok(Ok(post("https://provider.test/", &delivery.key))),
        }),
        ..FakeChannel::default()
    });
    let users = ["gone", "bad", "evil", "nowhere"];
    rig.stores.notify(users.iter().zip(0..).map(|(user, n)| notification(n, user)));
    let running = rig.start();
    rig.until("all are dead", |rig| rig.stores.dead().len() == 4 && rig.stores.committed() == 4);
    running.stop().unwrap();
    let mut reasons: Vec<_> = rig.stores.dead().into_iter().map(|item| item.reason).collect();
    reasons.sort();
    assert_eq!(
        reasons,
        ["HTTP 400", "bad recipient: HTTP 410", "bad recipient: no address", "evil.test is not allowed"]
    );
}

#[test]
fn a_recheck_drops_only_deliveries_whose_newer_price_is_above_the_watch() {
    let rig = Rig::new(|_| Ok(http(503, &[])));
    let row = |user: &str, price: &str, at: i64| {
        let product = ProductId::new(&format!("P-{user}")).unwrap();
        let price = Price::parse(price).unwrap();
        rig.stores.set_price(&product, Currency::USD, Evaluated { price, at: WallTime(at) });
    };
    // The threshold of every watch is 80.
    let now = rig.clock.now().0;
    row("risen", "80.01", now + 10);
    row("within", "80", now + 10);
    row("stale", "95", now - 10);
    let users = ["risen", "within", "stale", "unknown"];
    rig.stores.notify(users.iter().zip(0..).map(|(user, n)| notification(n, user)));
    let running = rig.start_with(Options { breaker_threshold: 99, ..Rig::options() });
    rig.until("the first attempts failed", |rig| rig.stores.retries().len() == 4);
    assert_eq!(rig.sender.sent().len(), 4);
    rig.sender.answer(|_| Ok(http(200, &[])));
    rig.clock.advance(2_000);
    rig.until("the rest is delivered", |rig| rig.delivered() == 3 && rig.stores.retries().is_empty());
    running.stop().unwrap();
    let again: Vec<_> = rig.sender.sent().into_iter().skip(4).map(|sent| sent.address).collect();
    assert!(!again.contains(&"risen".to_string()) && again.len() == 3, "{again:?}");
    assert_eq!(rig.obsolete(), 1);
}

#[test]
fn a_poison_delivery_does_not_fail_its_batch() {
    let rig = Rig::new(|_| Ok(http(200, &[])));
    rig.channel(FakeChannel {
        render: Box::new(|delivery| match delivery.to.address.as_str() {
            "panic" => panic!("a delivery that makes the plugin panic"),
            "trap" => Err(trap("render")),
            _ => Ok(Ok(post("https://provider.test/", &delivery.key))),
        }),
        ..FakeChannel::default()
    });
    let user = |n| match n {
        7 => "panic",
        8 => "trap",
        _ => "u1",
    };
    rig.stores.notify((0..20).map(|n| notification(n, user(n))));
    let running = rig.start();
    rig.until("the others are delivered", |rig| rig.delivered() == 18);
    rig.until("the poison waits", |rig| rig.stores.retries().len() == 2);
    running.stop().unwrap();
}

#[test]
fn a_message_that_the_plugin_fails_to_render_is_replaced_by_the_fallback() {
    let rig = Rig::new(|_| Ok(http(200, &[])));
    rig.channel(FakeChannel { render: Box::new(|_| Err(trap("render"))), ..FakeChannel::default() });
    rig.block_on(rig.stores_recipients(&[recipient("u1", "https://provider.test/u1")]));
    rig.stores.notify([notification(1, "u1")]);
    let running = rig.start();
    rig.until("it is delivered", |rig| rig.delivered() == 1);
    running.stop().unwrap();
    let pricedrop_model::dispatch::Outgoing::Http(request) = &rig.sender.sent()[0].outgoing else {
        panic!("not a request");
    };
    assert_eq!(request.url, "https://provider.test/u1");
    let body = String::from_utf8(request.body.clone()).unwrap();
    assert!(body.contains(r#""newPrice":79.9,"watchPrice":80"#), "{body}");
}

#[test]
fn deliveries_of_a_missing_plugin_wait_until_it_is_loaded() {
    let rig = Rig::new(|_| Ok(http(200, &[])));
    rig.block_on(rig.stores_recipients(&[pricedrop_model::dispatch::Recipient {
        channel: "channel-late".into(),
        ..recipient("u1", "a")
    }]));
    rig.stores.notify([notification(1, "u1")]);
    let running = rig.start();
    rig.until("it waits", |rig| rig.stores.retries().len() == 1);
    assert_eq!(rig.stores.retries()[0].reason, "no plugin channel-late is loaded");
    rig.plugins.set("channel-late", FakeChannel::default());
    rig.clock.advance(2_000);
    rig.until("it is delivered", |rig| rig.sender.sent().len() == 1 && rig.stores.retries().is_empty());
    running.stop().unwrap();
}

#[test]
fn follow_ups_have_their_own_keys_and_end_after_three() {
    let rig = Rig::new(|_| Ok(http(200, &[])));
    rig.channel(FakeChannel {
        classify: Box::new(|message, _, step| match (message.to.address.as_str(), step) {
            ("polite", 2) => Ok(Classification::Delivered(Some("m-1".into()))),
            _ => Ok(Classification::FollowUp(post("https://provider.test/next", "more"))),
        }),
        ..FakeChannel::default()
    });
    rig.stores.notify([notification(1, "polite"), notification(2, "endless")]);
    let running = rig.start();
    rig.until("both are done", |rig| rig.delivered() == 1 && rig.stores.dead().len() == 1);
    running.stop().unwrap();
    let keys = |user: &str| -> Vec<_> {
        rig.sender.sent().into_iter().filter(|sent| sent.address == user).map(|sent| sent.key).collect()
    };
    let polite = key(1, "polite");
    assert_eq!(keys("polite"), [polite.clone(), format!("{polite}:1"), format!("{polite}:2")]);
    assert_eq!(keys("endless").len(), 4);
    assert_eq!(rig.stores.dead()[0].reason, "the plugin requested more than 3 follow-ups");
}

#[test]
fn deliveries_of_a_slow_channel_go_to_the_retry_queue_and_delay_no_other_channel() {
    let rig = Rig::new(|_| Ok(http(200, &[])));
    let access =
        Access { rate_per_second: Some(5), timeout_ms: Some(1_000), ..FakeChannel::default().access };
    rig.plugins.set("channel-slow", FakeChannel { access, ..FakeChannel::default() });
    let slow = |user: &str| pricedrop_model::dispatch::Recipient {
        channel: "channel-slow".into(),
        ..recipient(user, "a")
    };
    rig.block_on(rig.stores_recipients(&[slow("s")]));
    rig.stores.notify((0..400).map(|n| notification(n, if n % 2 == 0 { "s" } else { "u1" })));
    let options =
        Options { channel_queue: 8, channel_queue_timeout_ms: 20, batch: 16, window: 64, ..Rig::options() };
    let running = rig.start_with(options);
    rig.until("the fast channel is through", |rig| rig.delivered() == 200);
    rig.until("the offsets went on", |rig| rig.stores.committed() > 300);
    let sent = rig.sender.sent().iter().filter(|sent| sent.channel == "channel-slow").count();
    assert!(sent < 200, "{sent} at 5 a second");
    running.stop().unwrap();
    let left: u64 = rig.block_on(async { rig.stores.waiting().await.unwrap() }).iter().map(|(_, n)| n).sum();
    assert!(left > 0, "{sent} sent, {} committed, none left", rig.stores.committed());
    let other = rig.stores.retries().into_iter().find(|retry| retry.attempt != 1);
    assert_eq!(other, None);
}

#[test]
fn a_shutdown_finishes_requests_in_flight_and_releases_the_other_deliveries() {
    let rig = Rig::new(|_| Ok(http(200, &[])));
    let access = Access { rate_per_second: Some(5), ..FakeChannel::default().access };
    rig.channel(FakeChannel { access, ..FakeChannel::default() });
    rig.stores.notify((0..20).map(|n| notification(n, "u1")));
    let running = rig.start();
    rig.until("some are sent", |rig| rig.delivered() >= 1);
    running.stop().unwrap();
    let sent = rig.sender.sent().len();
    assert!(sent < 20);
    for n in 0..20 {
        let claim = rig.stores.claim_of(&key(n, "u1"));
        assert!(matches!(claim, None | Some(Claim::Delivered)), "{n}: {claim:?}");
    }
    let unfinished = (0..20).find(|n| rig.stores.claim_of(&key(*n, "u1")).is_none()).unwrap();
    assert_eq!(rig.stores.committed(), i64::from(unfinished));

    rig.channel(FakeChannel::default());
    let running = rig.start();
    rig.until("the rest is delivered", |rig| rig.stores.committed() == 20);
    running.stop().unwrap();
    assert_eq!(rig.sender.sent().len(), 20);
}

#[test]
fn delivery_continues_after_an_outage_of_the_stores() {
    let rig = Rig::new(|_| Ok(http(200, &[])));
    rig.stores.set_away(true);
    rig.stores.notify((0..10).map(|n| notification(n, "u1")));
    let running = rig.start();
    rig.until("it asked more than once", |rig| rig.stores.calls() > 2);
    rig.stores.set_away(false);
    rig.until("all is delivered", |rig| rig.stores.committed() == 10);
    running.stop().unwrap();
    assert_eq!(rig.sender.sent().len(), 10);
}

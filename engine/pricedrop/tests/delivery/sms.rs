//! The SMS channel: requests are validated against Twilio's own OpenAPI document.

use pricedrop_harness::wait_for;
use serde_json::{Value, json};

use crate::providers::{self, key, text};
use crate::support::{arrived, dead_letters, join, metric, post};

/// Twilio's error codes for numbers that cannot be reached, and test numbers that provoke them.
const BAD_NUMBERS: [(&str, &str); 3] =
    [("+15005550001", "21211"), ("+15005550009", "21614"), ("+15005551610", "21610")];
const TOO_MANY_ONCE: &str = "+15005551429";

fn drop_of_p7() -> Value {
    json!({"productId": "P7", "newPrice": 79.9, "currency": "USD", "title": "Red shoes & more"})
}

#[test]
fn a_posted_price_reaches_the_phone_in_a_form_that_twilio_takes() {
    let sms = providers::sms();
    let (_folder, home) = sms.home();
    let engine = home.start().unwrap();
    join(&home, &engine, "ann", sms.channel, "+49 (151) 234-5678");
    assert_eq!(post(&engine, &drop_of_p7()), 1);
    let record = &arrived(sms.peer(), 1)[0];
    assert_eq!((&record["prism"], &record["status"]), (&json!(201), &json!(201)), "{record}");
    let form = &record["form"];
    assert_eq!((&form["To"], &form["From"]), (&json!("+491512345678"), &json!("Shop")));
    assert!(text(&form["Body"]).starts_with("Red shoes & more now costs $79.90"), "{form}");
    let account = text(&sms.peer().hello["account"]);
    assert_eq!(record["path"], format!("/2010-04-01/Accounts/{account}/Messages.json"));
}

#[test]
fn numbers_that_twilio_refuses_are_bad_recipients_and_asked_once() {
    let sms = providers::sms();
    let (_folder, home) = sms.home();
    let engine = home.start().unwrap();
    for (number, code) in BAD_NUMBERS {
        join(&home, &engine, &format!("user-{code}"), sms.channel, number);
    }
    assert_eq!(post(&engine, &drop_of_p7()), BAD_NUMBERS.len() as u64);
    let items = dead_letters(&home, BAD_NUMBERS.len());
    for (_, code) in BAD_NUMBERS {
        let user = format!("user-{code}");
        let item = items.iter().find(|item| item.to_string().contains(&user)).unwrap();
        let reason = text(&item["reason"]);
        assert!(reason.starts_with(&format!("bad recipient: {code}")), "{reason}");
    }
    assert_eq!(sms.peer().records().len(), BAD_NUMBERS.len());
}

#[test]
fn too_many_requests_are_repeated_with_the_same_key() {
    let sms = providers::sms();
    let (_folder, home) = sms.home();
    let engine = home.start().unwrap();
    join(&home, &engine, "cyd", sms.channel, TOO_MANY_ONCE);
    assert_eq!(post(&engine, &drop_of_p7()), 1);
    let records = arrived(sms.peer(), 2);
    assert_eq!((&records[0]["status"], &records[1]["status"]), (&json!(429), &json!(201)));
    assert_eq!(key(&records[0]), key(&records[1]));
    let delivered = "pricedrop_deliveries_total{channel=\"channel-sms\",outcome=\"delivered\"}";
    wait_for("the confirmation", || (metric(&engine, delivered) == 1).then_some(())).unwrap();
    assert_eq!(sms.peer().records().len(), 2);
    assert_eq!(dead_letters(&home, 0), [] as [Value; 0]);
}

#[test]
fn a_number_is_kept_in_its_canonical_form_and_a_wrong_one_is_refused() {
    let sms = providers::sms();
    let (_folder, home) = sms.home();
    let _engine = home.start().unwrap();
    home.run(&["recipient", "add", "ann", sms.channel, "0049.151.234.5678"]).unwrap();
    let listed = home.run(&["recipient", "list", "ann", "--json"]).unwrap().stdout;
    assert!(String::from_utf8_lossy(&listed).contains("+491512345678"));
    let refused = home.command(&["recipient", "add", "ann", sms.channel, "0151 2345678"]).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("country"));
}

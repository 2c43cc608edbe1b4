//! Sample messages, for the load check of channels and for previews.

use pricedrop_model::channel::{Item, Message, Money, Reason, Recipient};
use pricedrop_model::{Currency, Price, UserId};

use crate::contract::channel::ChannelPlugin;

/// 2023-11-14T22:13:20Z.
const SENT_MS: i64 = 1_700_000_000_000;
const HOUR_MS: i64 = 60 * 60 * 1000;

/// Returns a valid sample address of this kind; none if the kind is unknown.
pub(crate) fn address(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "mail" => "ann@example.com",
        "phone" => "+4915112345678",
        "url" => "https://hooks.example.com/prices",
        "topic" => "prices",
        "user" => "ann",
        "fcm" => "cMy2Zt9aQ1S0_sample-registration-token",
        "apns" => "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0",
        "web-push" => concat!(
            r#"{"endpoint":"https://push.example.com/send/ann","#,
            r#""keys":{"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4","#,
            r#""auth":"BTBZMqHH6r4Tts7J_aSIgg"}}"#
        ),
        _ => return None,
    })
}

/// Formats an amount for a recipient's locale.
pub(crate) type Format<'a> = &'a dyn Fn(Price, Currency, Option<&str>) -> Money;

/// Returns a sample message with this many items.
pub(crate) fn message(address: &str, locale: Option<&str>, items: usize, format: Format<'_>) -> Message {
    let to = Recipient {
        user_id: UserId::new("ann").expect("a valid name"),
        channel: String::new(),
        address: address.to_owned(),
        locale: locale.map(str::to_owned),
        attributes: Vec::new(),
    };
    Message {
        key: "0f8b2c1e-5d3a-8e47-9c60-1a2b3c4d5e6f:sample".into(),
        attempt: 1,
        reason: if items > 1 { Reason::Digest } else { Reason::PriceDrop },
        items: (1..=items as i64).map(|number| item(number, locale, format)).collect(),
        to,
        unsubscribe_url: Some("https://prices.example.com/u/sample".into()),
        callback_url: Some("https://prices.example.com/callbacks/sample".into()),
        collapse_key: Some("sample-product".into()),
        expires_ms: Some(SENT_MS + HOUR_MS),
        sent_ms: SENT_MS,
        attributes: Vec::new(),
    }
}

fn item(number: i64, locale: Option<&str>, format: Format<'_>) -> Item {
    let money = |cents: i64| format(Price::new(cents, 2).expect("a valid price"), Currency::USD, locale);
    Item {
        notification: format!("0f8b2c1e-5d3a-8e47-9c60-1a2b3c4d5e{number:02x}"),
        product: format!("P{number}"),
        new_price: money(7_990 * number),
        watch_price: Some(money(8_000 * number)),
        previous_price: Some(money(9_500 * number)),
        occurred_ms: Some(SENT_MS),
        attributes: vec![
            ("title".into(), format!("Red shoes <{number}>")),
            ("url".into(), format!("https://shop.example.com/p/{number}")),
        ],
    }
}

impl ChannelPlugin {
    /// Renders samples for every locale that has templates, and without a locale. A refusal is a
    /// valid answer, because the sample address may be invalid for the channel.
    ///
    /// # Errors
    /// The plugin fails or breaks its contract: it may not serve.
    pub(crate) fn try_samples(&self) -> Result<(), String> {
        let mut locales: Vec<Option<&str>> =
            self.plugin.templates.iter().map(|template| Some(template.locale.as_str())).collect();
        locales.push(None);
        locales.sort_unstable();
        locales.dedup();
        let to = address(&self.address_kind).unwrap_or("sample");
        let plain = |amount: Price, currency: Currency, _: Option<&str>| Money {
            amount,
            currency,
            text: format!("${amount}"),
        };
        let samples: Vec<Message> = locales
            .into_iter()
            .flat_map(|locale| [1, 3].map(|items| message(to, locale, items, &plain)))
            .collect();
        self.try_render(&samples)
    }
}

//! Self-test cases of callbacks: a provider's request, and the events that the plugin must read
//! from it.

use std::collections::BTreeMap;

use pricedrop_model::channel::{CallbackEvent, CallbackOutcome, CallbackRequest, Received};
use serde::Deserialize;

use super::values::{Yes, differs, pairs};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestCase {
    key: String,
    #[serde(default)]
    query: BTreeMap<String, String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: String,
    received_ms: i64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReceivedCase {
    Events(Vec<EventCase>),
    Challenge(String),
    Unreadable(Yes),
}

/// An expected event. Fields that the case does not name are not compared.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventCase {
    outcome: CallbackOutcome,
    status: String,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    provider_message: Option<String>,
    #[serde(default)]
    address: Option<String>,
    #[serde(default)]
    at_ms: Option<i64>,
    #[serde(default)]
    reason: Option<String>,
}

impl RequestCase {
    pub(super) fn to_request(&self) -> CallbackRequest {
        CallbackRequest {
            key: self.key.clone(),
            query: pairs(&self.query),
            headers: pairs(&self.headers),
            body: self.body.clone().into_bytes(),
            received_ms: self.received_ms,
        }
    }
}

impl EventCase {
    fn is(&self, got: &CallbackEvent) -> bool {
        let same = |expect: &Option<String>, got: &Option<String>| expect.is_none() || expect == got;
        self.outcome == got.outcome
            && self.status == got.status
            && (self.at_ms.is_none() || self.at_ms == got.at_ms)
            && same(&self.id, &got.id)
            && same(&self.key, &got.key)
            && same(&self.provider_message, &got.provider_message)
            && same(&self.address, &got.address)
            && same(&self.reason, &got.reason)
    }
}

pub(super) fn compare(expect: &ReceivedCase, got: &Result<Received, String>) -> Result<(), String> {
    let same = match (expect, got) {
        (ReceivedCase::Events(expect), Ok(Received::Events(got))) => {
            expect.len() == got.len() && expect.iter().zip(got).all(|(expect, got)| expect.is(got))
        }
        (ReceivedCase::Challenge(text), Ok(Received::Challenge(got))) => text == got,
        (ReceivedCase::Unreadable(_), Err(_)) => true,
        _ => false,
    };
    if same { Ok(()) } else { Err(differs(expect, got)) }
}
